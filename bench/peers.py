#!/usr/bin/env python3
"""Compares effigy's speed with its peers', the same weights in each: `python3 bench/peers.py`.

Makes its own environment in bench/.venv on the first call. See bench/README.md.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
# Threads of a peer that has just answered may still spin for a moment.
PAUSE_S = 0.05
# Largest difference of outputs, as a share of their range.
TOLERANCE = 1e-4


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["efficientnet_b0", "efficientnet-lite0"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=20, help="effigy, peer, effigy, peer, …")
    parser.add_argument("--runs", type=int, default=30, help="timed runs of each in a round")
    parser.add_argument("--warmup", type=int, default=10, help="runs of a peer before them, untimed")
    parser.add_argument("--torch", action="store_true", help="PyTorch too (channels last, frozen)")
    parser.add_argument("--check-only", action="store_true", help="compare outputs, measure nothing")
    parser.add_argument("--record", metavar="NAME", help="write bench/record/DATE-NAME.json and .md")
    parser.add_argument("--python", help="an interpreter with requirements.txt installed, instead of bench/.venv")
    parser.add_argument("--effigy", type=Path, help="a built effigy, instead of building it")
    return parser.parse_args()


def enter_environment(python: str | None) -> None:
    """Continues in an interpreter that has the peers installed."""
    if os.environ.get("EFFIGY_BENCH_ENVIRONMENT"):
        return
    if python is None:
        venv = BENCH / ".venv"
        python = str(venv / "bin/python")
        installed = venv / "installed"
        wanted = (BENCH / "requirements.txt").read_text()
        if not installed.exists() or installed.read_text() != wanted:
            log("installing the peers into bench/.venv")
            subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
            install = [python, "-m", "pip", "install", "--quiet", "-r", str(BENCH / "requirements.txt")]
            subprocess.run(install, check=True)
            installed.write_text(wanted)
    os.environ["EFFIGY_BENCH_ENVIRONMENT"] = "1"
    os.execv(python, [python, *sys.argv])


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def pinned(threads: int) -> dict:
    """Keeps a process on as many processors as it has threads; the same ones for every peer."""
    processors = sorted(os.sched_getaffinity(0))[:threads]
    return {"preexec_fn": lambda: os.sched_setaffinity(0, processors), "text": True}


class Peer:
    """A worker process: see worker.py."""

    def __init__(self, name: str, model: str, threads: int, values: Path):
        command = [sys.executable, str(BENCH / "worker.py"), name, model, str(threads), str(values)]
        pipe = subprocess.PIPE
        # onnxruntime and PyTorch size further pools by the environment.
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, **pinned(threads))

    def ask(self, **request) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        raise SystemExit(f"a peer ended with exit code {self.process.wait()}")

    def measure(self, runs: int, warmup: int) -> dict:
        times = sorted(self.ask(runs=runs, warmup=warmup)["times_ms"])
        return {"median_ms": times[len(times) // 2], "min_ms": times[0]}

    def output(self, path: Path):
        self.ask(output=str(path))
        return load(path)


class Effigy:
    """The command: a process a measurement, which warms up by itself.

    `effigy bench` makes up its weights, which changes no instruction; `output` reads the peers'.
    """

    def __init__(self, program: Path, model: str, threads: int, files):
        self.program, self.model, self.threads, self.files = program, model, threads, files

    def run(self, *rest: str) -> str:
        line = [str(self.program), "--quiet", *rest, "--threads", str(self.threads)]
        done = subprocess.run(line, stdout=subprocess.PIPE, **pinned(self.threads))
        if done.returncode:
            raise SystemExit(f"exit code {done.returncode}: {' '.join(line)}")
        return done.stdout

    def measure(self, runs: int, _warmup: int) -> dict:
        answer = json.loads(self.run("bench", self.model, "--json", "--runs", str(runs)))
        return {"median_ms": answer["median_ms"], "min_ms": answer["min_ms"]}

    def output(self, path: Path):
        network = ["--model", self.model, "--weights", str(self.files.weights)]
        picture = [str(self.files.picture), "--layer", "head.classifier", "--out", str(path)]
        self.run("features", *network, *picture)
        return load(path)


def load(path: Path):
    import numpy

    return numpy.load(path).reshape(-1)


def check(model: str, contenders: dict, folder: Path) -> float:
    """The largest difference of outputs as a share of their range; ends the program above TOLERANCE."""
    outputs = {name: contender.output(folder / f"{name}.npy") for name, contender in contenders.items()}
    ours = outputs.pop("effigy")
    worst = max(float(abs(ours - theirs).max() / (theirs.max() - theirs.min())) for theirs in outputs.values())
    log(f"{model}: outputs differ by at most {worst:.1e} of their range")
    if not worst <= TOLERANCE:
        raise SystemExit(f"{model}: that is more than {TOLERANCE}: not the same network, nothing is measured")
    return worst


def compare(contenders: dict, rounds: int, runs: int, warmup: int) -> dict:
    """Rounds of measurements: name → a list with one for each round."""
    measured = {name: [] for name in contenders}
    for number in range(rounds):
        for name, contender in contenders.items():
            time.sleep(PAUSE_S)
            measured[name].append(contender.measure(runs, warmup))
        times = "  ".join(f"{name} {rounds[-1]['median_ms']:.2f}" for name, rounds in measured.items())
        log(f"  round {number + 1}: {times} ms")
    return measured


def median(values) -> float:
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def summarise(model: str, threads: int, difference: float, measured: dict) -> list[dict]:
    """A row for each contender. `speed` is effigy's speed over the contender's in the same round."""
    rows = []
    for name, rounds in measured.items():
        pairs = [theirs["median_ms"] / ours["median_ms"] for ours, theirs in zip(measured["effigy"], rounds)]
        rows.append({
            "model": model,
            "threads": threads,
            "contender": name,
            "median_ms": median(r["median_ms"] for r in rounds),
            "best_ms": min(r["min_ms"] for r in rounds),
            "speed_median": median(pairs),
            "speed_min": min(pairs),
            "speed_max": max(pairs),
            "difference": difference,
            "rounds": rounds,
        })
    return rows


def table(rows: list[dict]) -> str:
    lines = [
        "| model | threads | | median, ms | best, ms | effigy's speed / its (median, range of rounds) |",
        "|---|---|---|---|---|---|",
    ]
    for r in rows:
        speed = f"{r['speed_median']:.2f} ({r['speed_min']:.2f} – {r['speed_max']:.2f})"
        speed = "" if r["contender"] == "effigy" else speed
        cells = [r["model"], r["threads"], r["contender"], f"{r['median_ms']:.2f}", f"{r['best_ms']:.2f}", speed]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def circumstances(options: argparse.Namespace) -> dict:
    """What the figures depend on."""
    from importlib.metadata import version

    told = [line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    peers = ["onnxruntime"] + ["torch"] * options.torch
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": told[0] if told else "unknown",
        "processors": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "effigy": git.stdout.strip(),
        **{peer: version(peer) for peer in peers},
        **{key: getattr(options, key) for key in ["rounds", "runs", "warmup"]},
    }


def record(name: str, facts: dict, rows: list[dict]) -> None:
    path = BENCH / "record" / f"{facts['date']}-{name}"
    path.with_suffix(".json").write_text(json.dumps({**facts, "results": rows}, indent=1) + "\n")
    told = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts.items())
    path.with_suffix(".md").write_text(f"# {path.name}\n\nBatch 1, fp32, network only. {told}.\n\n{table(rows)}\n")
    log(f"written: {path.relative_to(ROOT)}.json and .md")


def main() -> None:
    options = arguments()
    enter_environment(options.python)
    program = options.effigy
    if program is None:
        subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
        program = TARGET / "release/effigy"
    import models

    facts = circumstances(options)
    rows = []
    for model in options.models:
        cache = BENCH / ".cache"
        files = models.prepare(models.NETWORKS[model], cache)
        for threads in options.threads:
            contenders = {
                "effigy": Effigy(program, model, threads, files),
                "onnxruntime": Peer("onnxruntime", str(files.onnx), threads, files.input),
            }
            if options.torch:
                contenders["torch"] = Peer("torch", model, threads, files.input)
            difference = check(f"{model}, {threads} threads", contenders, cache)
            if not options.check_only:
                measured = compare(contenders, options.rounds, options.runs, options.warmup)
                rows += summarise(model, threads, difference, measured)
            for contender in contenders.values():
                if isinstance(contender, Peer):
                    contender.process.stdin.close()
                    contender.process.wait()
    if rows:
        print(table(rows))
    if rows and options.record:
        record(options.record, facts, rows)


if __name__ == "__main__":
    main()
