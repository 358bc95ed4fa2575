#!/usr/bin/env python3
"""Compares the speed of effigy's training step with PyTorch's, interleaved: `python3 bench/train.py [ROUNDS]`.

A step is forward, backward and SGD with momentum, on pictures of noise: EfficientNet-B0 at 224 in batches of 16
(lukemelas' efficientnet_pytorch), EfficientDet-D0 at 512 in batches of 2 (effdet). PyTorch runs with its default
layout and with channels_last. Each of them runs in a process of its own, in turn, for ROUNDS rounds [default: 3];
printed are the median milliseconds of a step, its first ones left out, and the peak memory.

Needs: cargo; torch, efficientnet_pytorch, timm, effdet.
"""

import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = {"efficientnet-b0": (224, 16), "efficientdet-d0": (512, 2)}
STEPS, WARM, THREADS = 5, 2, 2


def torch_step(name: str, layout: str) -> None:
    """Runs steps in this process, printing what the Rust example prints."""
    import torch

    torch.set_num_threads(THREADS)
    side, batch = NETWORKS[name]
    if name.startswith("efficientnet"):
        from efficientnet_pytorch import EfficientNet

        net = EfficientNet.from_name(name, image_size=None)
        labels = torch.arange(batch)
        loss_of = lambda outputs: torch.nn.functional.cross_entropy(outputs, labels)  # noqa: E731
    else:
        from effdet import EfficientDet, get_efficientdet_config

        net = EfficientDet(get_efficientdet_config("tf_" + name.replace("-", "_")), pretrained_backbone=False)
        loss_of = lambda outputs: sum(o.square().mean() for head in outputs for o in head)  # noqa: E731
    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    net = net.train().to(memory_format=memory)
    pictures = torch.rand(batch, 3, side, side).to(memory_format=memory)
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
    for _ in range(STEPS):
        start = time.perf_counter()
        optimiser.zero_grad()
        loss_of(net(pictures)).backward()
        optimiser.step()
        print(f"step {(time.perf_counter() - start) * 1e3:.1f}", flush=True)
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} kB")


def run(command: list[str]) -> tuple[list[float], float]:
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    steps = [float(ms) for ms in re.findall(r"^step ([\d.]+)", out, re.M)]
    return steps[WARM:], int(re.findall(r"^peak (\d+)", out, re.M)[0]) / 1e6


def main() -> None:
    if sys.argv[1:2] == ["--torch"]:
        return torch_step(*sys.argv[2:])
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    build = ["cargo", "build", "--quiet", "--release", "--package", "effigy-train", "--example", "step"]
    subprocess.run(build, cwd=ROOT, check=True)
    for name, (side, batch) in NETWORKS.items():
        ours = [str(ROOT / "target/release/examples/step"), name, str(side), str(batch), str(STEPS), str(THREADS)]
        commands = {"effigy": ours}
        for layout in ("default", "channels_last"):
            commands[f"PyTorch, {layout}"] = [sys.executable, __file__, "--torch", name, layout]
        times: dict[str, list[float]] = {who: [] for who in commands}
        peaks = dict.fromkeys(commands, 0.0)
        for _ in range(rounds):
            for who, command in commands.items():
                steps, peak = run(command)
                times[who] += steps
                peaks[who] = max(peaks[who], peak)
        for who, steps in times.items():
            ms = statistics.median(steps)
            print(f"{name} {side} x{batch}: {who}: {ms:.0f} ms a step, {batch / ms * 1e3:.1f} pictures/s, {peaks[who]:.2f} GB")


if __name__ == "__main__":
    main()
