#!/usr/bin/env python3
"""Compares effigy's speed with its peers', the same weights in each: `python3 bench/peers.py`.

Makes its own environment in bench/.venv on the first call. See bench/README.md.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from front import environment, report
from front.effigy import Program
from front.environment import BENCH, CACHE, INSIDE, log
from front.measuring import Setting, measure
from front.models import MODELS, Model
from front.peers import PEERS, Piece
from front.titles import WHAT

PRECISIONS = ["fp32", "bf16", "int8"]
# The set for a first look: under ten minutes once everything is installed.
QUICK = {
    "peers": ["onnxruntime", "openvino", "torch"],
    "pieces": [
        ("latency", "efficientnet_b0", "fp32"),
        ("latency", "efficientnet-lite0", "fp32"),
        ("latency", "efficientnet-lite0", "int8"),
        ("latency", "efficientdet_d0", "fp32"),
        ("cold", "efficientnet_b0", "fp32"),
    ],
    "seconds": 25,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Without --models, --precision, --what and --quick: the quick set. Every other call measures all "
        "combinations of what is given, each in a piece of its own; one of a kind takes about a minute.",
    )
    parser.add_argument("--quick", action="store_true", help="the quick set, whatever else is given")
    parser.add_argument("--models", nargs="+", choices=MODELS, metavar="NAME", help=", ".join(MODELS))
    parser.add_argument("--what", nargs="+", choices=WHAT, help="what is measured [default: latency]")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, help="[default: fp32]")
    parser.add_argument("--threads", nargs="+", type=int, help="[default: 1 and as many as there are processors]")
    parser.add_argument(
        "--peers", nargs="+", choices=[*PEERS, "all"], metavar="NAME",
        help=f"{', '.join(PEERS)}, or all [default: {' '.join(QUICK['peers'])}]",
    )  # fmt: skip
    parser.add_argument("--isa", choices=["avx2", "avx512", "portable"], help="effigy with this instruction set too")
    parser.add_argument("--seconds", type=float, help="for the rounds of a piece [default: 40, quick 25]")
    parser.add_argument("--check-only", action="store_true", help="prepare and compare outputs, measure nothing")
    parser.add_argument("--photos", type=Path, help="pictures to calibrate int8 with; accuracy needs labels.tsv there")
    parser.add_argument("--record", metavar="NAME", help="add the figures to bench/record/DATE-NAME.json, .md and .svg")
    parser.add_argument("--python", help="an interpreter with requirements.txt installed, instead of bench/.venv")
    parser.add_argument("--effigy", type=Path, help="a built effigy, instead of building it")
    options = parser.parse_args()
    options.quick |= not (options.models or options.what or options.precision)
    options.seconds = options.seconds or (QUICK["seconds"] if options.quick else 40)
    return options


def pieces(options: argparse.Namespace) -> list[Piece]:
    """What is asked for, as far as there is such a thing."""
    processors = len(os.sched_getaffinity(0))
    threads = options.threads or sorted({1, processors})
    if max(threads) > processors:
        raise SystemExit(f"{max(threads)} threads, but this process may use {processors} processors only")
    if options.quick:
        wanted = QUICK["pieces"]
    else:
        wanted = [
            (what, model, precision)
            for what in options.what or ["latency"]
            for precision in options.precision or ["fp32"]
            for model in options.models or MODELS
            if suits(what, MODELS[model])
        ]
    return [Piece(what, MODELS[model], precision, n) for what, model, precision in wanted for n in threads]


def suits(what: str, model: Model) -> bool:
    """Only detectors have objects to find; only what is trained can be right."""
    return {"end-to-end": model.detector, "accuracy": model.trained}.get(what, True)


def calibration_photos(given: Path | None, python: str) -> Path:
    """The given folder, else one that is filled with cuts of free photos."""
    if given:
        return given.resolve()
    folder = CACHE / "photos"
    if not folder.exists():
        script = f"import pathlib, photos; photos.ship(pathlib.Path({str(folder)!r}))"
        environment = os.environ | {"PYTHONPATH": f"{INSIDE}{os.pathsep}{BENCH}"}
        subprocess.run([python, "-c", script], env=environment, check=True)
    return folder


def main() -> None:
    options = arguments()
    wanted = pieces(options)
    labelled = options.photos and (options.photos / "labels.tsv").exists()
    if any(piece.what == "accuracy" for piece in wanted) and not labelled:
        raise SystemExit("accuracy needs --photos DIR with a file labels.tsv (columns: file, class_index)")
    CACHE.mkdir(exist_ok=True)
    python = environment.python(options.python)
    peers = options.peers or QUICK["peers"]
    peers = list(PEERS) if "all" in peers else peers
    needs_rust = any(PEERS[name].rust for name in peers) or any(p.what == "cold" for p in wanted)
    setting = Setting(
        python=python,
        rust=environment.rust_peers() if needs_rust else "",
        program=Program(environment.effigy(options.effigy), calibration_photos(options.photos, python)),
        peers=peers,
        isa=options.isa,
        seconds=options.seconds,
    )
    facts = environment.circumstances(python, setting.program.path)
    done = []
    for piece in wanted:
        done.append(measure(setting, piece, options.check_only))
        if options.record and not options.check_only:
            report.write(options.record, facts, done[-1:])
    print(report.tables(done))


if __name__ == "__main__":
    main()
