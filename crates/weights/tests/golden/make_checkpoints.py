"""Makes the checkpoints and lists that the tests of effigy-weights read.

    python make_checkpoints.py                    tiny checkpoints and names.tsv, beside this script
    python make_checkpoints.py --full FOLDER      whole checkpoints of many models, with random values

ZYLO117 names a clone of zylo117/Yet-Another-EfficientDet-Pytorch, which is no package.

Made with torch 2.15.0, torchvision 0.29.2, timm 1.0.31, efficientnet-pytorch 0.7.1,
efficientnet-lite-pytorch 0.1.0, effdet 0.4.1, safetensors 0.8.0 and numpy (any version that fits them).
"""

import argparse
import collections
import io
import json
import os
import pathlib
import sys
import warnings
import zipfile

import numpy
import torch

HERE = pathlib.Path(__file__).parent
TV = [f"efficientnet_b{i}" for i in range(8)] + [f"efficientnet_v2_{s}" for s in "sml"]
TIMM = (
    [f"tf_efficientnet_b{i}" for i in range(9)]
    + [f"efficientnet_b{i}" for i in range(9)]
    + ["tf_efficientnet_l2", "efficientnet_l2"]
    + [f"{p}efficientnet_lite{i}" for p in ("tf_", "") for i in range(5)]
    + [f"{p}efficientnet_{s}" for p in ("tf_", "") for s in ("es", "em", "el")]
    + [f"tf_efficientnetv2_{s}" for s in ("b0", "b1", "b2", "b3", "s", "m", "l", "xl")]
    + [f"efficientnetv2_{s}" for s in ("s", "m", "l", "xl")]
)
LUKEMELAS = [f"efficientnet-b{i}" for i in range(9)] + ["efficientnet-l2"]
LITE = [f"efficientnet-lite{i}" for i in range(5)]
ZYLO117 = [f"efficientdet-d{i}" for i in range(9)]
LITE_DETECTORS = [f"tf_efficientdet_lite{i}" for i in ("0", "1", "2", "3", "3x", "4")]
EFFDET = (
    [f"tf_efficientdet_d{i}" for i in ("0", "1", "2", "3", "4", "5", "6", "7", "7x")]
    + LITE_DETECTORS
    + [f"efficientdet_d{i}" for i in range(6)]
    + ["efficientdet_lite0"]
)
# Heads' normalisations by level: what a model is called with `head_bn_level_first` set otherwise.
LEVEL_FIRST = ["efficientdet_d0", "tf_efficientdet_d6", "tf_efficientdet_d7x"]


def build_effdet(name, level_first=None):
    import effdet

    config = effdet.get_efficientdet_config(name)
    if level_first is not None:
        config.head_bn_level_first = level_first
    return effdet.EfficientDet(config, pretrained_backbone=False)


def build(family, name):
    warnings.filterwarnings("ignore")
    if family == "effdet":
        return build_effdet(name)
    if family == "effdet level first":
        return build_effdet(name, level_first=True)
    if family == "zylo117":
        sys.path.insert(0, os.environ["ZYLO117"])
        from backbone import EfficientDetBackbone

        return EfficientDetBackbone(num_classes=90, compound_coef=int(name[-1]))
    if family == "torchvision":
        import torchvision

        return getattr(torchvision.models, name)()
    if family == "timm":
        import timm

        return timm.create_model(name)
    if name in LITE:
        import efficientnet_lite_pytorch

        return efficientnet_lite_pytorch.EfficientNet.from_name(name)
    import efficientnet_pytorch

    return efficientnet_pytorch.EfficientNet.from_name(name)


def models():
    families = {
        "lukemelas": LUKEMELAS + LITE,
        "timm": TIMM,
        "torchvision": TV,
        "zylo117": ZYLO117,
        "effdet": EFFDET,
        "effdet level first": LEVEL_FIRST,
    }
    for family, names in families.items():
        for name in names:
            yield family, name


def is_unused(state, key):
    """Whether inference does not need it: counters, and zylo117's weights of sums that are plain (D6 on)."""
    is_plain = "bifpn.7.p6_w1" in state
    return key.endswith("num_batches_tracked") or (is_plain and "bifpn." in key and key[-3:] in ("_w1", "_w2"))


def fnv1a(text):
    """64-bit FNV-1a of the text's UTF-8."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def write_names():
    """One line a model: how many tensors it has, and a hash of all their names and shapes."""
    rows = []
    for family, name in models():
        with torch.device("cpu" if family == "zylo117" else "meta"):
            state = build(family, name).state_dict()
        lines = [
            f"{key} {'x'.join(map(str, value.shape))}\n"
            for key, value in sorted(state.items())
            if not is_unused(state, key)
        ]
        rows.append(f"{family.split()[0]}\t{name}\t{len(lines)}\t{fnv1a(''.join(lines)):016x}\n")
    (HERE / "names.tsv").write_text("".join(rows))


class Unknown:
    """Something that no reader knows."""

    def __init__(self):
        self.inner = {"weight": torch.full((2,), 7.0)}


def tiny():
    """Every way in which a tensor can be stored, in a few numbers."""
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 8
    state = collections.OrderedDict()
    state["dense"] = base
    state["transposed"] = base.permute(2, 0, 1)
    state["slice"] = base[:, 1:, ::2]
    state["shared"] = base[1]
    state["scalar"] = torch.tensor(2.5)
    state["empty"] = torch.zeros(0, 3)
    state["parameter"] = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    for dtype in ("float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"):
        state[dtype] = torch.tensor([0, 1, 2, 100]).to(getattr(torch, dtype))
    state._metadata = {"": {"version": 1}}
    return {
        "epoch": 3,
        "loss": 0.25,
        "args": argparse.Namespace(lr=0.1, name="run"),
        "scalar": numpy.float64(1.5),
        "array": numpy.arange(3),
        "big": 1 << 100,
        "negative": -5,
        "names": ["a", ("b", None, True)],
        "set": {1, 2},
        "raw": b"bytes",
        "unknown": Unknown(),
        "state_dict": state,
    }


def write_tiny():
    content = tiny()
    for protocol in range(1, 6):  # with protocol 0, torch.load cannot read what torch.save writes
        for form in ("zip", "legacy"):
            path = HERE / f"tiny_{form}_{protocol}.pth"
            torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=form == "zip")
    write_big_endian()
    torch.save(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2)), HERE / "module.pth")
    values = {
        f"state_dict.{key}": {"shape": list(value.shape), "values": value.detach().double().flatten().tolist()}
        for key, value in content["state_dict"].items()
    }
    values["unknown.inner.weight"] = {"shape": [2], "values": [7.0, 7.0]}
    (HERE / "tiny.json").write_text(json.dumps(values, indent=0) + "\n")
    from safetensors.torch import save_file

    dense = {key: value.detach().contiguous().clone() for key, value in content["state_dict"].items()}
    save_file(dense, HERE / "tiny.safetensors", metadata={"format": "pt", "note": "hello"})


def write_big_endian():
    """What a big-endian machine would write: the record says so, and every number is turned round."""
    values = {"f": torch.tensor([1.5, -2.0]), "d": torch.tensor([0.25], dtype=torch.float64), "h": torch.tensor([3], dtype=torch.int16)}
    sizes = [4, 8, 2]  # of the storages 0, 1, 2
    buffer = io.BytesIO()
    torch.save(values, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(HERE / "big_endian.pth", "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("/byteorder"):
                data = b"big"
            if "/data/" in name:
                size = sizes[int(name.rsplit("/", 1)[1])]
                data = b"".join(data[i : i + size][::-1] for i in range(0, len(data), size))
            target.writestr(zipfile.ZipInfo(name), data)


def write_full(folder):
    """Whole checkpoints as their projects save them, with random values."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(2)
    for family, name in models():
        large = ("l2", "b7", "b8", "xl", "v2_l", "v2_m", "b5", "b6", "d4", "d5", "d6", "d7", "d8", "lite4")
        if any(part in name for part in large):
            continue  # hundreds of megabytes each
        state = build(family, name).state_dict()
        for key, value in state.items():
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.5)
        torch.save(state, folder / f"{family.replace(' ', '-')}__{name}.pth")
        print(family, name)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--full"]:
        write_full(pathlib.Path(sys.argv[2]))
    else:
        write_names()
        write_tiny()
