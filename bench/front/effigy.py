"""Effigy as a contender: the command, started anew for each measurement."""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from front.environment import CACHE, last_line, log, pinned
from front.models import Model
from front.peers import Piece, Unable

# Runs of the small network whose share of the limit tells the limit.
PEAK_RUNS = 20
# The most that the limit was measured to be, of so many times.
PEAK_TIMES = 3


@dataclass
class Program:
    """A built effigy and what it has written: weights in its own format, whole or quantised."""

    path: Path
    photos: Path
    folder: Path = field(init=False)

    def __post_init__(self):
        # Another build may write other files.
        told = self.path.stat()
        self.folder = CACHE / f"effigy-{told.st_mtime_ns:x}-{told.st_size:x}"

    def run(self, *arguments: str, threads: int | None = None) -> str:
        line = [str(self.path), "--quiet", *arguments]
        if threads is None:
            done = subprocess.run(line, capture_output=True, text=True)
        else:
            with pinned(threads):
                done = subprocess.run([*line, "--threads", str(threads)], capture_output=True, text=True)
        if done.returncode:
            raise Unable(last_line(done.stderr).removeprefix("error: "))
        return done.stdout

    def knows(self, command: str, option: str) -> bool:
        return option in subprocess.run([str(self.path), command, "--help"], capture_output=True, text=True).stdout

    def weights(self, model: Model, precision: str) -> Path:
        """The network's weights as effigy likes them best, from the .pth that all contenders share."""
        quantised = precision == "int8"
        path = self.folder / f"{model.name}{'.int8' if quantised else ''}.safetensors"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            log(f"writing {path.name} with effigy")
            source = str(CACHE / f"{model.name}.pth")
            if not quantised:
                self.run("convert", source, "--model", model.name, "-o", str(path))
            elif not self.knows("--help", "quantize"):
                raise Unable("this build has no `quantize`")
            else:
                given = ["--weights", source, "--images", str(self.photos), "--out", str(path)]
                if self.knows("quantize", "--model"):
                    given += ["--model", model.name]
                if self.knows("quantize", "--size"):
                    given += ["--size", f"{model.size}x{model.size}"]
                self.run("quantize", *given)
        return path

    def peak(self, threads: int, precision: str) -> float | None:
        """GFLOP/s that so many threads do when nothing has to be loaded: the most that `bench` measures in some times."""
        found = []
        for _ in range(PEAK_TIMES):
            line = ["bench", "efficientnet-lite0", "--json", "--runs", str(PEAK_RUNS), *options(self, precision, None)]
            try:
                told = json.loads(self.run(*line, threads=threads))
            except Unable:
                return None
            found.append(2e3 * told["gmacs"] / told["median_ms"] / told["share_of_limit"])
        return max(found)


def options(program: Program, precision: str, isa: str | None) -> list[str]:
    chosen = ["--isa", isa] if isa else []
    if precision != "fp32":
        if not program.knows("bench", "--precision"):
            raise Unable("this build has no `--precision`")
        chosen += ["--precision", precision]
    return chosen


class Effigy:
    """`effigy bench` on the shared weights, in one precision and one instruction set."""

    note = ""

    def __init__(self, program: Program, name: str, piece: Piece, precision: str, isa: str | None, batch: int):
        self.program, self.name, self.piece, self.batch = program, name, piece, batch
        self.precision = precision
        size = piece.model.size
        weights = program.weights(piece.model, precision)
        self.given = ["--weights", str(weights), "--size", f"{size}x{size}", *options(program, precision, isa)]
        self.named = ["--model", piece.model.name, *self.given]
        self.memory, self.gmacs = 0.0, 0.0

    def measure(self, runs: int) -> dict:
        """Loads, warms up with three runs, and measures."""
        line = ["bench", self.piece.model.name, *self.given, "--batch", str(self.batch), "--runs", str(runs), "--json"]
        told = json.loads(self.program.run(*line, threads=self.piece.threads))
        self.gmacs = told["gmacs"]
        self.memory = max(self.memory, told.get("peak_rss_mb") or 0.0)
        after = told["post_processing_ms"] if self.piece.what == "end-to-end" else 0.0
        return {"median_ms": told["median_ms"] + after, "min_ms": told["min_ms"] + after}

    def output(self, folder: Path) -> Path:
        """The answer to the picture: logits, or of a detector, whose maps it does not tell, the objects in it."""
        picture = str(CACHE / f"{self.piece.model.name}.png")
        if not self.piece.model.detector:
            path = folder / f"{self.name}.npy"
            chosen = ["--crop-pct", "1", "--layer", "head.classifier", "--out", str(path)]
            self.program.run("features", *self.named, picture, *chosen, threads=self.piece.threads)
            return path
        path = folder / f"{self.name}.json"
        found = self.program.run("detect", *self.named, picture, "--score", "0", "--json", threads=self.piece.threads)
        detections = json.loads(found)["detections"]
        keys = ["box", "score", "class_index"]
        path.write_text(json.dumps([[detection[key] for detection in detections] for key in keys]))
        return path

    def accuracy(self, photos: Path) -> dict:
        line = ["eval", str(photos), *self.named, "--json"]
        told = json.loads(self.program.run(*line, threads=self.piece.threads))
        return {"top1": told["top1"], "top5": told["top5"], "pictures": told["images"]}

    def memory_mb(self) -> float | None:
        return self.memory or None

    def close(self) -> None:
        pass
