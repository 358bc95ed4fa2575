#!/usr/bin/env python3
"""Makes the detector that travels with the library: crates/effigy/assets/efficientdet-lite0.bccd.safetensors.

    python scripts/make_embedded_bccd.py BCCD/

Trains it on the pictures of the split `train` (https://github.com/Shenggan/BCCD_Dataset, its folder BCCD) as
configs/bccd-lite0.toml says, judges it by the split `test`, and lets `effigy convert` write it as f16. Takes about
40 minutes of one core. EFFIGY names the command to use; without it cargo builds one that embeds only the classifier.

Needs: cargo. No Python package.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "crates/effigy/assets/efficientdet-lite0.bccd.safetensors"
EFFIGY = "cargo run --release --package effigy-cli --no-default-features --features lite0 --"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("the folder of BCCD is wanted, with Annotations, ImageSets and JPEGImages")
    data = str(Path(sys.argv[1]).resolve())
    effigy = shlex.split(os.environ.get("EFFIGY", EFFIGY))
    with tempfile.TemporaryDirectory() as folder:
        best = f"{folder}/run/best.safetensors"
        for command in (
            ["train", "--data", data, "--out", f"{folder}/run", "configs/bccd-lite0.toml"],
            ["eval", data, "--split", "test", "--weights", best],
            ["convert", best, "--dtype", "f16", "-o", str(OUT)],
        ):
            subprocess.run([*effigy, *command], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
