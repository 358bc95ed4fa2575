"""The same weights as candle-transformers' EfficientNet reads and computes them.

That network has TensorFlow's padding and ε of 1e-3 whatever the weights, so its answers are those of timm's `tf_`
variant, not of the native one that the others run. It has as much to do.
"""

import torch


def tf_network(name: str, parameters: dict[str, torch.Tensor]) -> torch.nn.Module:
    import timm

    model = timm.create_model(f"tf_{name}").eval()
    model.load_state_dict(parameters)
    return model


def renamed(parameters: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """From timm's names to torchvision's, by which candle goes."""
    read = {name: value for name, value in parameters.items() if not name.endswith("num_batches_tracked")}
    return {_name(name): value.contiguous() for name, value in read.items()}


def _name(name: str) -> str:
    outer = {
        "conv_stem": "features.0.0", "bn1": "features.0.1",
        "conv_head": "features.8.0", "bn2": "features.8.1",
        "classifier": "classifier.1",
    }  # fmt: skip
    module, _, kind = name.rpartition(".")
    if module in outer:
        return f"{outer[module]}.{kind}"
    _, stage, block, part = module.split(".", 3)
    # The first stage expands nothing: its depthwise convolution comes first.
    if stage == "0":
        inner = {
            "conv_dw": "0.0", "bn1": "0.1", "se.conv_reduce": "1.fc1", "se.conv_expand": "1.fc2",
            "conv_pw": "2.0", "bn2": "2.1",
        }  # fmt: skip
    else:
        inner = {
            "conv_pw": "0.0", "bn1": "0.1", "conv_dw": "1.0", "bn2": "1.1",
            "se.conv_reduce": "2.fc1", "se.conv_expand": "2.fc2", "conv_pwl": "3.0", "bn3": "3.1",
        }  # fmt: skip
    return f"features.{int(stage) + 1}.{block}.block.{inner[part]}.{kind}"
