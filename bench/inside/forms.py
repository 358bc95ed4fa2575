"""The networks as ONNX files, in the form that is fastest for those who read them."""

import warnings
from pathlib import Path

import numpy
import onnx
import torch
from onnx import numpy_helper

OPSET = 17


def export(model: torch.nn.Module, size: int, path: Path) -> None:
    """Writes a simplified graph for one picture: constants folded, BatchNorm folded into convolutions."""
    import onnxsim

    warnings.filterwarnings("ignore")
    raw = path.with_suffix(".raw.onnx")
    torch.onnx.export(model, torch.zeros(1, 3, size, size), str(raw), opset_version=OPSET, dynamo=False)
    graph, same = onnxsim.simplify(onnx.load(str(raw)))
    raw.unlink()
    if not same:
        raise ValueError(f"{path.name}: onnxsim says that the simplified graph computes something else")
    onnx.save(for_any_batch(graph), str(path))


def for_any_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replaces constants in which the batch is written: those of `Reshape` and of `Resize`."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in [*graph.value_info, *graph.input, *graph.output]
    }
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    constants |= {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in graph.node if n.op_type == "Constant"}
    for node in model.graph.node:
        if node.op_type == "Reshape" and len(constants[node.input[1]]) == 2:
            node.op_type = "Flatten"
            del node.input[1:], node.attribute[:]
        if node.op_type == "Resize" and len(node.input) == 4 and node.input[3]:
            before, after = numpy.array(shapes[node.input[0]]), constants[node.input[3]]
            scales = numpy_helper.from_array((after / before).astype("float32"), f"{node.output[0]}_scales")
            model.graph.initializer.append(scales)
            node.input[2:] = [scales.name]
    _drop_unread(model.graph)
    return model


def _drop_unread(graph: onnx.GraphProto) -> None:
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    kept = [node for node in graph.node if read.intersection(node.output)]
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(tensors)


def rebatch(source: Path, batch: int, path: Path) -> None:
    """The same graph for another number of pictures."""
    model = onnx.load(str(source))
    del model.graph.value_info[:]
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = batch
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.save(model, str(path))


# Ways to quantise, of which every peer uses the one that is fastest for it on this processor.
#   u8s8: activations 0 to 255, weights −128 to 127: what VNNI multiplies. Without it, pairs of products
#         are added in 16 bits, and weights have 7 bits so that these sums fit.
#   s8s8: both −127 to 127, activations symmetric.
#   "conv" leaves everything but convolutions and the classifier in fp32.
QUANTISATIONS = ["u8s8", "u8s8-conv", "s8s8", "s8s8-conv"]


def quantise(source: Path, path: Path, way: str, pictures: list[numpy.ndarray], vnni: bool) -> None:
    """ONNX Runtime's static quantisation: QDQ, weights per channel, ranges from calibration pictures."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):
        def __init__(self, name: str):
            self.inputs = iter([{name: picture} for picture in pictures])

        def get_next(self) -> dict | None:
            return next(self.inputs, None)

    signed = way.startswith("s8")
    prepared = path.with_suffix(".prepared.onnx")
    quant_pre_process(str(source), str(prepared))
    name = onnx.load(str(source), load_external_data=False).graph.input[0].name
    quantize_static(
        str(prepared),
        str(path),
        Pictures(name),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        reduce_range=not signed and not vnni,
        op_types_to_quantize=["Conv", "Gemm"] if way.endswith("-conv") else None,
        extra_options={"ActivationSymmetric": signed},
    )
    prepared.unlink()
