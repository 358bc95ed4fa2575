"""What has to be there before anything is measured, and what the figures depend on."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1]
ROOT = BENCH.parent
INSIDE = BENCH / "inside"
CACHE = BENCH / ".cache"
# Packages whose versions a record names.
PACKAGES = ["onnxruntime", "openvino", "torch", "ai-edge-litert", "timm", "effdet"]
RUST_PEERS = ["tract-onnx", "rten", "candle-transformers"]


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def python(given: str | None) -> str:
    """An interpreter that has the peers: the given one, else that of bench/.venv, made on the first call."""
    if given:
        return given
    venv = BENCH / ".venv"
    interpreter = venv / "bin/python"
    installed = venv / "installed"
    wanted = (BENCH / "requirements.txt").read_text()
    if not installed.exists() or installed.read_text() != wanted:
        log("installing the peers into bench/.venv: some gigabytes, once")
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        requirements = ["-r", str(BENCH / "requirements.txt")]
        if subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *requirements]).returncode:
            raise SystemExit("pip could not install the peers, see above")
        installed.write_text(wanted)
    return str(interpreter)


def effigy(given: Path | None) -> Path:
    """A built effigy: the given one, else this repository's."""
    if given:
        return given.resolve()
    log("building effigy")
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/effigy"


def rust_peers() -> Path | str:
    """The built Rust peers, or why there are none."""
    log("building tract, rten and candle (some minutes the first time)")
    target = CACHE / "rust-peers"
    command = ["cargo", "build", "--release", "--locked", "--quiet"]
    environment = os.environ | {"CARGO_TARGET_DIR": str(target)}
    done = subprocess.run(command, cwd=BENCH / "rust-peers", env=environment, capture_output=True, text=True)
    if done.returncode:
        return f"the Rust peers did not build: {last_line(done.stderr)}"
    return target / "release/rust-peers"


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


@contextlib.contextmanager
def pinned(threads: int):
    """Processes started within are kept on the same so many processors, whichever contender they are."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def peak_memory_mb(process: int) -> float | None:
    """The most memory that a running process has held."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    return None


def circumstances(interpreter: str, program: Path) -> dict:
    """What the figures depend on, but for the load, which changes."""
    fields = {}
    for line in open("/proc/cpuinfo"):
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags", "").split()
    wanted = ["avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8"]
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    version = subprocess.run([str(program), "--version"], capture_output=True, text=True)
    return {
        "processor": fields.get("model name", "unknown"),
        "processor_model": " ".join(fields.get(key, "?") for key in ["vendor_id", "cpu family", "model"]),
        "processors": len(os.sched_getaffinity(0)),
        "instructions": " ".join(flag for flag in wanted if flag in flags),
        "commit": git.stdout.strip(),
        "effigy": version.stdout.strip(),
        "versions": versions(interpreter),
    }


def versions(interpreter: str) -> dict[str, str]:
    script = "import sys, json\nfrom importlib.metadata import version, PackageNotFoundError\nfound = {}\n"
    script += "for name in sys.argv[1:]:\n    try: found[name] = version(name)\n    except PackageNotFoundError: pass\n"
    script += "print(json.dumps(found))"
    import json

    done = subprocess.run([interpreter, "-c", script, *PACKAGES], capture_output=True, text=True, check=True)
    lock = (BENCH / "rust-peers/Cargo.lock").read_text().splitlines()
    named = {line: after.split('"')[1] for line, after in zip(lock, lock[1:]) if line.startswith("name = ")}
    return json.loads(done.stdout) | {name: named.get(f'name = "{name}"', "?") for name in RUST_PEERS}


def now() -> dict:
    """The load and the time before a piece of work."""
    return {"time": time.strftime("%Y-%m-%dT%H:%M:%S"), "load_before": round(os.getloadavg()[0], 2)}
