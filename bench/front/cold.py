"""Cold starts: whole processes, from their start to the first answer, with the network in a file."""

import os
import subprocess
import time
from pathlib import Path

from front.effigy import Program, options
from front.environment import CACHE, INSIDE, last_line, pinned
from front.peers import PEERS, Piece, Unable, described, forms, surroundings

# What a peer reads here, where that is not what it reads otherwise.
FORMS = {"openvino": "xml", "onnxruntime-optimised": "ort.onnx"}
# Without Python, and with the work of its optimiser done before; both only here.
NATIVE = {"onnxruntime-native": "onnxruntime", "onnxruntime-optimised": "onnxruntime"}


class Start:
    """A command that is started, answers, and ends."""

    note, batch = "", 1

    def __init__(self, piece: Piece, command: list[str], environment: dict[str, str]):
        self.piece, self.command, self.environment = piece, command, environment
        self.precision = piece.precision
        self.memory = 0.0
        self.measure(1)

    def measure(self, _runs: int) -> dict:
        """The time until the answer is there; the process may take longer to end."""
        with pinned(self.piece.threads):
            begun = time.perf_counter()
            process = subprocess.Popen(
                self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment, text=True
            )
        answered = None
        for line in process.stdout:
            if answered is None and line.startswith(("answer ", "{")):
                answered = (time.perf_counter() - begun) * 1e3
                refused = "unable" in line
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close(), process.stderr.close()
        if answered is None or refused or process.returncode:
            raise Unable(f"ended with exit code {process.returncode}: {last_line(errors)}")
        self.memory = max(self.memory, usage.ru_maxrss * 1024 / 1e6)
        return {"median_ms": answered, "min_ms": answered}

    def memory_mb(self) -> float | None:
        return self.memory or None

    def close(self) -> None:
        pass


def effigy(program: Program, piece: Piece, precision: str, isa: str | None) -> Start:
    """A picture's classes, or what is in it: effigy decodes the picture too, peers read their input as it is."""
    model = piece.model
    weights = program.weights(model, precision)
    command = ["detect", "--score", "0.3"] if model.detector else ["classify", "--top-k", "1"]
    network = ["--model", model.name, "--weights", str(weights), "--size", f"{model.size}x{model.size}"]
    rest = ["--threads", str(piece.threads), "--json", *options(program, precision, isa)]
    picture = str(CACHE / f"{model.name}.png")
    return Start(piece, [str(program.path), "--quiet", *command, *network, *rest, picture], dict(os.environ))


def peer(name: str, piece: Piece, python: str, rust: Path | str, prepare) -> Start:
    engine = NATIVE.get(name, name)
    # Of several quantised forms the first will do: they differ in speed, hardly in how they are loaded.
    form = FORMS.get(name, forms(engine, piece)[0])
    if piece.precision == "int8" and name in FORMS:
        raise Unable("is started in fp32 only")
    prepare(piece.model.name, [form, "picture.f32"])
    task = described(engine, piece, [form])
    environment = surroundings(engine, piece)
    if name in NATIVE:
        environment["ORT_DYLIB_PATH"] = library(python)
    elif not PEERS[name].rust:
        return Start(piece, [python, "-W", "ignore", str(INSIDE / "cold.py"), name, task], environment)
    if isinstance(rust, str):
        raise Unable(rust)
    return Start(piece, [str(rust), "--once", engine, task], environment)


def library(python: str) -> str:
    """ONNX Runtime's shared library in its wheel."""
    find = "import importlib.util as u, glob, os; folder = os.path.dirname(u.find_spec('onnxruntime').origin)\n"
    find += "print(*glob.glob(os.path.join(folder, 'capi', 'libonnxruntime.so*')))"
    found = subprocess.run([python, "-c", find], capture_output=True, text=True, check=True).stdout.split()
    if not found:
        raise Unable("this wheel of onnxruntime has no library apart from Python's")
    return found[0]
