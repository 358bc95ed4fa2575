"""Measures a piece: all its contenders in turns, round after round."""

import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from front import cold
from front.effigy import Effigy, Program
from front.environment import BENCH, CACHE, INSIDE, last_line, log, now
from front.peers import PEERS, Piece, Unable, Worker, forms

# Threads of a peer that has just answered may still spin for a moment.
PAUSE_S = 0.05
# What a contender may take for its runs in a round, and how many these are.
SLICE_S = 0.4
RUNS = range(3, 31)
ROUNDS = range(3, 11)
# Largest difference of an output from PyTorch's in fp32, as a share of their range.
OUTPUTS = {"fp32": 1e-4, "bf16": 0.05, "int8": 0.1}
# Largest share of a detector's objects that are not PyTorch's in fp32. Rounding may swap the last ones.
OBJECTS = {"fp32": 0.05, "bf16": 0.3, "int8": 0.6}


@dataclass
class Setting:
    """What all pieces of a run have in common."""

    python: str
    rust: Path | str
    program: Program
    peers: list[str]
    isa: str | None
    seconds: float
    peaks: dict[tuple[int, str], float | None] = field(default_factory=dict)

    def peak(self, threads: int, precision: str) -> float | None:
        """The machine's limit in GFLOP/s, measured once for each number of threads."""
        key = threads, precision
        if key not in self.peaks:
            self.peaks[key] = self.program.peak(threads, precision)
        return self.peaks[key]

    def prepare(self, model: str, wanted: list[str]) -> None:
        """Has the files made that are not there yet."""
        missing = [form for form in wanted if not (CACHE / f"{model}.{form}").exists()]
        if not missing:
            return
        line = [self.python, "-W", "ignore", str(INSIDE / "prepare.py"), str(CACHE), str(self.program.photos), model]
        environment = os.environ | {"PYTHONPATH": str(BENCH)}
        done = subprocess.run([*line, *missing], env=environment, stdout=subprocess.DEVNULL)
        if done.returncode:
            raise Unable(f"{', '.join(missing)}: could not be made, see above")


def contenders(setting: Setting, piece: Piece, stack: ExitStack) -> tuple[dict, dict[str, str]]:
    """Those that can, and why the others cannot."""
    able, unable = {}, {}

    def add(name: str, make) -> None:
        try:
            able[name] = make()
            stack.callback(able[name].close)
        except Unable as reason:
            unable[name] = str(reason)
            log(f"  {name}: {reason}")

    def ours(name: str, precision: str = piece.precision, isa: str | None = None, batch: int = piece.batch) -> None:
        if piece.what == "cold":
            add(name, lambda: cold.effigy(setting.program, piece, precision, isa))
        else:
            add(name, lambda: Effigy(setting.program, name, piece, precision, isa, batch))

    def peer(name: str) -> Worker | cold.Start:
        if piece.what == "cold":
            return cold.peer(name, piece, setting.python, setting.rust, setting.prepare)
        read = forms(name, piece)
        if PEERS[name].rust and isinstance(setting.rust, str):
            raise Unable(setting.rust)
        setting.prepare(piece.model.name, read)
        interpreted = [setting.python, "-W", "ignore", str(INSIDE / "worker.py")]
        return Worker(name, piece, [str(setting.rust)] if PEERS[name].rust else interpreted, read)

    ours("effigy")
    if piece.what == "throughput":
        ours("effigy-single", batch=1)
    if setting.isa:
        ours(f"effigy-{setting.isa}", isa=setting.isa)
    if piece.precision != "fp32":
        ours("effigy-fp32", precision="fp32")
    for name in setting.peers:
        # What is for throughput only is not missed elsewhere.
        if piece.what == "throughput" or not PEERS[name].single:
            add(name, lambda: peer(name))
        if piece.what == "cold" and name == "onnxruntime" and piece.precision == "fp32":
            for native in cold.NATIVE:
                add(native, lambda: peer(native))
    return able, unable


def measure(setting: Setting, piece: Piece, check_only: bool) -> dict:
    """The piece as a part of a record."""
    log(f"{piece.what}, {piece.model.name}, {piece.precision}, {piece.threads} threads")
    setting.prepare(piece.model.name, ["pth", "png", "picture.f32", "noise.f32", "reference.f32"])
    before = now()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        able, unable = contenders(setting, piece, stack)
        differences = {} if piece.what == "cold" else check(setting, piece, able, unable, folder)
        if piece.what == "accuracy":
            rows = [] if check_only else judge(able, setting.program.photos)
        else:
            rounds = {} if check_only or "effigy" not in able else compare(setting, able)
            rows = summary(able, rounds, differences)
        gmacs = getattr(able.get("effigy"), "gmacs", None)
    part = {"what": piece.what, "model": piece.model.name, "precision": piece.precision, "threads": piece.threads}
    part |= {"batch": piece.batch, "gmacs": gmacs} | before
    if gmacs and piece.what in {"latency", "throughput"}:
        part["peak_gflops"] = setting.peak(piece.threads, piece.precision)
    return part | {"rows": rows, "unable": unable}


def check(setting: Setting, piece: Piece, able: dict, unable: dict, folder: Path) -> dict[str, float]:
    """Every contender's difference from PyTorch; those too far from it are not measured."""
    differences = {}
    for name, contender in list(able.items()):
        reference = "tf.reference.f32" if name == "candle" else "reference.f32"
        try:
            setting.prepare(piece.model.name, [reference])
            answer = contender.output(folder)
            most = (OBJECTS if answer.suffix == ".json" else OUTPUTS)[contender.precision]
            compared = [str(CACHE / f"{piece.model.name}.{reference}"), str(answer), str(piece.model.size)]
            line = [setting.python, str(INSIDE / "compare.py"), *compared]
            done = subprocess.run(line, capture_output=True, text=True)
            if done.returncode:
                raise Unable(last_line(done.stderr))
            differences[name] = float(done.stdout)
            if not differences[name] <= most:
                what = "share of other objects" if answer.suffix == ".json" else "difference of outputs"
                raise Unable(f"{what} {differences[name]:.1e}, more than {most}")
        except Unable as reason:
            unable[name] = str(reason)
            log(f"  {name}: {reason}")
            able.pop(name).close()
    log("  differences: " + ", ".join(f"{name} {value:.1e}" for name, value in differences.items()))
    return differences


def judge(able: dict, photos: Path) -> list[dict]:
    """What each makes of labelled photos."""
    rows = []
    for name, contender in able.items():
        rows.append({"contender": name, "note": contender.note, **contender.accuracy(photos)})
        log(f"    {name}: top-1 {rows[-1]['top1']:.1f}, top-5 {rows[-1]['top5']:.1f}")
    return rows


def compare(setting: Setting, able: dict) -> dict[str, list[dict]]:
    """Rounds of measurements: A B C A B C …, as many as fit into the time."""
    runs, first = {}, time.perf_counter()
    for name, contender in able.items():
        once = contender.measure(1)["median_ms"] / 1e3
        runs[name] = min(max(int(SLICE_S / once), RUNS[0]), RUNS[-1])
    measured = {name: [] for name in able}
    left = setting.seconds - (time.perf_counter() - first)
    begun = time.perf_counter()
    for number in range(ROUNDS[-1]):
        if number >= ROUNDS[0] and (time.perf_counter() - begun) * (number + 1) / number > left:
            break
        for name, contender in able.items():
            time.sleep(PAUSE_S)
            measured[name].append(contender.measure(runs[name]))
        log("    " + "  ".join(f"{name} {done[-1]['median_ms']:.2f}" for name, done in measured.items()))
    return measured


def median(values) -> float:
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def summary(able: dict, rounds: dict, differences: dict) -> list[dict]:
    """A row for each contender, per picture. `speed` is effigy's speed over the contender's in the same round."""
    rows = []
    for name, of_rounds in rounds.items():
        batch = able[name].batch
        ours = [r["median_ms"] / able["effigy"].batch for r in rounds["effigy"]]
        theirs = [r["median_ms"] / batch for r in of_rounds]
        pairs = [their / our for our, their in zip(ours, theirs)]
        rows.append({
            "contender": name,
            "median_ms": median(theirs),
            "best_ms": min(r["min_ms"] for r in of_rounds) / batch,
            "speed_median": median(pairs),
            "speed_min": min(pairs),
            "speed_max": max(pairs),
            "difference": differences.get(name),
            "peak_memory_mb": able[name].memory_mb(),
            "note": able[name].note,
            "rounds_ms": [round(their, 4) for their in theirs],
        })  # fmt: skip
    return rows
