"""The peers: processes that stay warm and answer requests. `effigy.py` is the other side."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from front.environment import BENCH, CACHE, last_line, peak_memory_mb, pinned
from front.models import Model


# Runs before those that count: three, as `effigy bench` has them, but one of a network that takes long.
WARMUP = 3
LONG_MS = 200


class Unable(Exception):
    """Why a contender cannot do what it is asked for."""


@dataclass(frozen=True)
class Piece:
    """One comparison: everything in it is measured in turns."""

    what: str
    model: Model
    precision: str
    threads: int

    @property
    def batch(self) -> int:
        return 16 if self.what == "throughput" else 1


@dataclass(frozen=True)
class Peer:
    """How a peer is called, and which files it can read in which precision; it uses the fastest."""

    title: str
    forms: dict[str, list[str]]
    rust: bool = False
    # It takes pictures one by one, several at a time, instead of all at once.
    single: bool = False


QUANTISED = ["u8s8.onnx", "u8s8-conv.onnx", "s8s8.onnx", "s8s8-conv.onnx"]
ONNX = {"fp32": ["onnx"], "bf16": ["onnx"], "int8": QUANTISED}
TORCH = {"fp32": ["pth"], "bf16": ["pth"]}

PEERS = {
    "onnxruntime": Peer("ONNX Runtime", {"fp32": ["onnx"], "int8": QUANTISED}),
    "onnxruntime-streams": Peer("ONNX Runtime, a picture a thread", {"fp32": ["onnx"], "int8": QUANTISED}, single=True),
    "openvino": Peer("OpenVINO", ONNX),
    "openvino-throughput": Peer("OpenVINO, THROUGHPUT", ONNX, single=True),
    "torch": Peer("PyTorch", TORCH),
    "torch-frozen": Peer("PyTorch, frozen", TORCH),
    "torch-compile": Peer("PyTorch, compiled", TORCH),
    "litert": Peer("LiteRT (XNNPACK)", {"fp32": ["tflite"]}),
    "tract": Peer("tract", {"fp32": ["onnx"]}, rust=True),
    "rten": Peer("rten", {"fp32": ["onnx"]}, rust=True),
    "candle": Peer("candle", {"fp32": ["candle"]}, rust=True),
}
NO_PRECISION = {
    "onnxruntime": "its CPU kernels have no bf16",
    "torch": "its int8 kernels know no swish, squeeze-and-excitation or ReLU6",
    "litert": "quantising for it needs the converter of TensorFlow or JAX",
    "tract": "measured in fp32 only",
    "rten": "measured in fp32 only",
    "candle": "has fp32 only for this network",
}


def forms(name: str, piece: Piece) -> list[str]:
    """The files that a peer can read for a piece."""
    peer = PEERS[name]
    if peer.single and piece.what != "throughput":
        raise Unable("is for throughput")
    if name == "candle" and (piece.model.detector or "lite" in piece.model.name):
        raise Unable("candle-transformers has EfficientNet-B0 to B7 only")
    if piece.what == "accuracy" and peer.rust:
        raise Unable("reads no photos here; its outputs are compared")
    if piece.what == "end-to-end" and peer.rust:
        raise Unable("has no post-processing of detectors")
    if piece.what == "cold" and name == "torch-compile":
        raise Unable("compiles for minutes before its first answer")
    if piece.precision not in peer.forms:
        raise Unable(NO_PRECISION[name.partition("-")[0]])
    readable = peer.forms[piece.precision]
    return readable if piece.batch == 1 or peer.single else [batched(form) for form in readable]


def batched(form: str) -> str:
    """The file for a batch; some say nothing of it."""
    stem, dot, kind = form.rpartition(".")
    return form if kind in {"pth", "candle"} else f"{stem}{dot}b16.{kind}"


def described(name: str, piece: Piece, read: list[str]) -> str:
    """The task as a peer's process gets it."""
    at = lambda form: str(CACHE / f"{piece.model.name}.{form}")
    return json.dumps({
        "network": piece.model.name,
        "size": piece.model.size,
        "precision": piece.precision,
        "threads": piece.threads,
        "batch": piece.batch,
        "forms": read,
        "files": {form: at(form) for form in read},
        "picture": at("picture.f32"),
        "noise": at("noise.f32"),
        "reference": at("reference.f32"),
    })  # fmt: skip


def surroundings(name: str, piece: Piece) -> dict[str, str]:
    """What sizes pools that no option reaches, and where compiled code is kept."""
    return os.environ | {
        "PYTHONPATH": str(BENCH),
        "OMP_NUM_THREADS": str(1 if PEERS[name].single else piece.threads),
        "RAYON_NUM_THREADS": str(piece.threads),
        "TORCHINDUCTOR_CACHE_DIR": str(CACHE / "inductor"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }


class Worker:
    """A peer's process: see inside/worker.py."""

    def __init__(self, name: str, piece: Piece, command: list[str], read: list[str]):
        self.name, self.piece, self.batch = name, piece, piece.batch
        self.precision = piece.precision
        self.warmup = WARMUP
        self.errors = tempfile.TemporaryFile("w+")
        with pinned(piece.threads):
            self.process = subprocess.Popen(
                [*command, name, described(name, piece, read)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                env=surroundings(name, piece), text=True,
            )  # fmt: skip
        self.note = self._answer()["note"]

    def ask(self, **request) -> dict:
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self._answer()

    def _answer(self) -> dict:
        for line in self.process.stdout:
            if line.startswith("answer "):
                answer = json.loads(line.removeprefix("answer "))
                if "unable" in answer:
                    self.close()
                    raise Unable(answer["unable"].splitlines()[0])
                return answer
        code = self.process.wait()
        self.errors.seek(0)
        raise Unable(f"ended with exit code {code}: {last_line(self.errors.read())}")

    def measure(self, runs: int) -> dict:
        boxes = self.piece.what == "end-to-end"
        times = sorted(self.ask(runs=runs, warmup=self.warmup, boxes=boxes)["times_ms"])
        self.warmup = 1 if times[0] > LONG_MS else WARMUP
        return {"median_ms": times[len(times) // 2], "min_ms": times[0]}

    def output(self, folder: Path) -> Path:
        """The answer to the picture; of a detector that is measured end to end, the objects in it."""
        if self.piece.what == "end-to-end":
            path = folder / f"{self.name}.json"
            self.ask(objects=str(path))
        else:
            path = folder / f"{self.name}.f32"
            self.ask(output=str(path))
        return path

    def accuracy(self, photos: Path) -> dict:
        return self.ask(photos=str(photos))

    def memory_mb(self) -> float | None:
        return peak_memory_mb(self.process.pid)

    def close(self) -> None:
        if not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait()
