"""Weights and pictures that Python and Rust make alike, bit for bit, so that goldens need no weights.

    mix(z):  z += 0x9e3779b97f4a7c15
             z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9
             z = (z ^ z >> 27) * 0x94d049bb133111eb
             z ^ z >> 31                                        splitmix64, on wrapping u64
    bits(stream, i) = mix(mix(stream) + i)
    unit(stream, i) = (bits(stream, i) >> 40) / 2^24            in [0, 1), exact in f32
    uniform(stream, i, low, high) = low + (high - low) * unit   each operation rounded to f32

The picture is stream 0: uniform in -2..2, in the order N, H, W, C. A parameter's values lie in its
row-major order. In a classifier parameter p (from 0, in the network's own order, without
`num_batches_tracked`; effigy's graphs have the same order) is stream p + 1. In a detector, whose order is
every project's own, it is stream fnv1a(name), with the name that effigy gives it.

    convolution, linear weight   -bound .. bound, bound = f32(sqrt(6 / fan_in)), where fan_in is the
                                 product of all dimensions but the first
    BatchNorm weight             0.5 .. 1.5
    BatchNorm running mean       mean - deviation / 2 .. mean + deviation / 2
    BatchNorm running variance   variance / 2 .. variance * 1.5, variance = deviation * deviation
    weights of a weighted sum    -0.25 .. 1.75
    bias of any of them          -0.5 .. 0.5

`mean` and `deviation` are two numbers per BatchNorm, over all channels of what it really reads; they
keep activations near 1 through the deepest network. `fill` measures them, the goldens carry them.

Samples of a tensor of n values (as N, H, W, C) are taken at bits(1 << 32, j) mod n for j = 0, 1, ...
"""

import math

import numpy as np
import torch

SAMPLES = 1 << 32


def _mix(z):
    with np.errstate(over="ignore"):
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def bits(stream: int, count: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        return _mix(_mix(np.uint64(stream)) + np.arange(count, dtype=np.uint64))


def uniform(stream: int, shape, low: float, high: float) -> np.ndarray:
    unit = (bits(stream, math.prod(shape)) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    low, high = np.float32(low), np.float32(high)
    return (low + (high - low) * unit).reshape(shape)


def fnv1a(text: str) -> int:
    """64 bits of the bytes of `text` (Fowler, Noll, Vo)."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    return value


def names(net: torch.nn.Module) -> list[str]:
    """The parameters and moving statistics, in the network's own order."""
    return [name for name in net.state_dict() if not name.endswith("num_batches_tracked")]


def fill(
    net: torch.nn.Module,
    measured: torch.Tensor,
    streams: dict[str, int] | None = None,
) -> list[tuple[float, float]]:
    """Replaces every parameter and every moving statistic of `net`, which must be in evaluation mode.

    Statistics are measured on the pictures `measured`. `streams` names the stream of each parameter;
    without it they are counted. Returns `mean` and `deviation` of every BatchNorm, in the order of
    `named_modules`.
    """
    if streams is None:
        streams = {name: p + 1 for p, name in enumerate(names(net))}
    norms = {name: m for name, m in net.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    norm_names = {id(norm): name for name, norm in norms.items()}
    for name, tensor in net.state_dict().items():
        owner, _, role = name.rpartition(".")
        if name not in streams or role.startswith("running"):
            continue
        shape = tuple(tensor.shape)
        if len(shape) > 1:
            bound = np.float32(math.sqrt(6 / math.prod(shape[1:])))
            low, high = -bound, bound
        else:
            low, high = (-0.5, 0.5) if role == "bias" else (0.5, 1.5) if owner in norms else (-0.25, 1.75)
        tensor.copy_(torch.from_numpy(uniform(streams[name], shape, low, high)))

    statistics = {}

    def measure(norm, inputs):
        """Sets a BatchNorm's statistics from what it is about to read."""
        name = norm_names[id(norm)]
        values = inputs[0].double()
        mean, deviation = (float(f"{value:.4g}") for value in (values.mean(), values.std()))
        statistics[name] = (mean, deviation)
        mean, deviation, half = np.float32(mean), np.float32(deviation), np.float32(0.5)
        variance = deviation * deviation
        spans = {
            "running_mean": (mean - half * deviation, mean + half * deviation),
            "running_var": (half * variance, np.float32(1.5) * variance),
        }
        for role, (low, high) in spans.items():
            tensor = getattr(norm, role)
            tensor.copy_(torch.from_numpy(uniform(streams[f"{name}.{role}"], tuple(tensor.shape), low, high)))

    hooks = [norm.register_forward_pre_hook(measure) for norm in norms.values()]
    with torch.inference_mode():
        net(measured)
    for hook in hooks:
        hook.remove()
    return [statistics[name] for name in norms]


def picture(batch: int, height: int, width: int, channels: int) -> torch.Tensor:
    """As PyTorch wants it, [N, C, H, W]."""
    values = uniform(0, (batch, height, width, channels), -2.0, 2.0)
    return torch.from_numpy(values).permute(0, 3, 1, 2).contiguous()


def samples(tensor: torch.Tensor, count: int) -> list[float]:
    """Of an activation [N, C, H, W] or [N, C], as if it lay in memory as N, H, W, C."""
    values = tensor.detach()
    if values.dim() == 4:
        values = values.permute(0, 2, 3, 1)
    values = values.contiguous().reshape(-1).numpy()
    at = bits(SAMPLES, count) % np.uint64(values.size)
    return values[at.astype(np.int64)]
