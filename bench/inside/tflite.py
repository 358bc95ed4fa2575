"""An ONNX graph as a .tflite file: TensorFlow's own converters need TensorFlow or JAX, this needs flatbuffers.

Knows the nodes that the networks of `networks.py` consist of. Maps become [N, H, W, C]; padding that is not
TensorFlow's SAME becomes a node of its own, which XNNPACK folds into the convolution after it.
"""

from pathlib import Path

import flatbuffers
import numpy
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import helper, numpy_helper

Op = schema.BuiltinOperator
NONE, RELU6 = schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU6
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID


def convert(path: Path, batch: int) -> bytes:
    return Converter(onnx.shape_inference.infer_shapes(onnx.load(str(path))).graph, batch).convert()


class Converter:
    def __init__(self, graph: onnx.GraphProto, batch: int):
        self.graph, self.batch = graph, batch
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.shapes = {
            value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
            for value in [*graph.input, *graph.value_info, *graph.output]
        }
        self.tensors: list[schema.TensorT] = []
        self.operators: list[schema.OperatorT] = []
        self.codes: list[int] = []
        # The first buffer is that of all tensors without constants.
        self.buffers = [schema.BufferT()]
        self.places: dict[str, int] = {}

    def convert(self) -> bytes:
        inputs = [self.value(value.name) for value in self.graph.input if value.name not in self.constants]
        for node in self.graph.node:
            if node.op_type != "Constant" and node.output[0] not in self.places:
                attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
                getattr(self, f"node_{node.op_type}")(node, attributes)
        subgraph = schema.SubGraphT()
        subgraph.tensors, subgraph.operators = self.tensors, self.operators
        subgraph.inputs, subgraph.outputs = inputs, [self.places[value.name] for value in self.graph.output]
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [subgraph], self.buffers
        model.operatorCodes = []
        for code in self.codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
            model.operatorCodes.append(entry)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    # --- tensors --------------------------------------------------------------------------------------

    def tensor(self, name: str, shape: list[int], buffer: int = 0, kind: int = schema.TensorType.FLOAT32) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer, tensor.type = name, [int(n) for n in shape], buffer, kind
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def value(self, name: str) -> int:
        """The tensor of a value, made at its first mention."""
        if name not in self.places:
            shape = self.shapes[name]
            order = [shape[0], shape[2], shape[3], shape[1]] if len(shape) == 4 else shape
            self.places[name] = self.tensor(name, [self.batch, *order[1:]])
        return self.places[name]

    def constant(self, values: numpy.ndarray) -> int:
        buffer = schema.BufferT()
        buffer.data = numpy.frombuffer(numpy.ascontiguousarray(values).tobytes(), "uint8")
        self.buffers.append(buffer)
        kind = schema.TensorType.INT32 if values.dtype == "int32" else schema.TensorType.FLOAT32
        return self.tensor(f"constant{len(self.buffers)}", list(values.shape), len(self.buffers) - 1, kind)

    def operand(self, name: str) -> int:
        """A value, or a constant that it is combined with."""
        if name not in self.constants:
            return self.value(name)
        values = self.constants[name].astype("float32")
        return self.constant(values.transpose(0, 2, 3, 1) if values.ndim == 4 else values.reshape(-1)[:1].reshape([]))

    def emit(self, code: int, inputs: list[int], output: int, options_type: int = 0, **options) -> None:
        if code not in self.codes:
            self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self.codes.index(code), inputs, [output]
        if options_type:
            kind = {number: name for name, number in vars(schema.BuiltinOptions).items() if not name.startswith("_")}
            operator.builtinOptionsType = options_type
            operator.builtinOptions = getattr(schema, f"{kind[options_type]}T")()
            for name, setting in options.items():
                setattr(operator.builtinOptions, name, setting)
        self.operators.append(operator)

    # --- nodes ----------------------------------------------------------------------------------------

    def clipped(self, node: onnx.NodeProto) -> tuple[int, int]:
        """A node's output and activation: those of the `Clip` to 0..6 that alone reads it, if one does."""
        readers = self.readers.get(node.output[0], [])
        if len(readers) == 1 and readers[0].op_type == "Clip":
            low, high = (float(self.constants[name]) for name in readers[0].input[1:])
            if (low, high) == (0, 6):
                return self.value(readers[0].output[0]), RELU6
        return self.value(node.output[0]), NONE

    def padded(self, name: str, attributes: dict, fill: float) -> tuple[int, int]:
        """A convolution's or pooling's input and kind of padding."""
        kernel, strides, pads = (attributes[key] for key in ["kernel_shape", "strides", "pads"])
        if not any(pads):
            return self.value(name), VALID
        if all(s == 1 for s in strides) and list(pads) == [(k - 1) // 2 for k in kernel] * 2:
            return self.value(name), SAME
        channels, height, width = self.shapes[name][1:]
        shape = [self.batch, height + pads[0] + pads[2], width + pads[1] + pads[3], channels]
        wide = self.tensor(f"{name}_padded{len(self.tensors)}", shape)
        amounts = self.constant(numpy.array([[0, 0], [pads[0], pads[2]], [pads[1], pads[3]], [0, 0]], "int32"))
        if fill == 0:
            self.emit(Op.PAD, [self.value(name), amounts], wide, schema.BuiltinOptions.PadOptions)
        else:
            value = self.constant(numpy.array(fill, "float32"))
            self.emit(Op.PADV2, [self.value(name), amounts, value], wide, schema.BuiltinOptions.PadV2Options)
        return wide, VALID

    def node_Conv(self, node, attributes) -> None:
        source, padding = self.padded(node.input[0], attributes, 0)
        weights = self.constants[node.input[1]]
        given = len(node.input) > 2
        bias = self.constants[node.input[2]] if given else numpy.zeros(len(weights), "float32")
        output, activation = self.clipped(node)
        down, across = attributes["strides"]
        options = {"padding": padding, "strideH": down, "strideW": across, "fusedActivationFunction": activation}
        if attributes["group"] == 1:
            operands = [source, self.constant(weights.transpose(0, 2, 3, 1)), self.constant(bias)]
            self.emit(Op.CONV_2D, operands, output, schema.BuiltinOptions.Conv2DOptions, **options)
        else:
            operands = [source, self.constant(weights.transpose(1, 2, 3, 0)), self.constant(bias)]
            kind = schema.BuiltinOptions.DepthwiseConv2DOptions
            self.emit(Op.DEPTHWISE_CONV_2D, operands, output, kind, depthMultiplier=1, **options)

    def node_Sigmoid(self, node, _attributes) -> None:
        self.emit(Op.LOGISTIC, [self.value(node.input[0])], self.value(node.output[0]))

    def node_Mul(self, node, _attributes) -> None:
        operands = [self.operand(name) for name in node.input]
        self.emit(Op.MUL, operands, self.value(node.output[0]), schema.BuiltinOptions.MulOptions)

    def node_Add(self, node, _attributes) -> None:
        operands = [self.operand(name) for name in node.input]
        self.emit(Op.ADD, operands, self.value(node.output[0]), schema.BuiltinOptions.AddOptions)

    def node_Clip(self, node, _attributes) -> None:
        self.emit(Op.RELU6, [self.value(node.input[0])], self.value(node.output[0]))

    def node_ReduceMean(self, node, _attributes) -> None:
        axes = self.constant(numpy.array([1, 2], "int32"))
        operands = [self.value(node.input[0]), axes]
        self.emit(Op.MEAN, operands, self.value(node.output[0]), schema.BuiltinOptions.ReducerOptions, keepDims=True)

    node_GlobalAveragePool = node_ReduceMean

    def node_Flatten(self, node, _attributes) -> None:
        shape = [self.batch, *self.shapes[node.output[0]][1:]]
        operands = [self.value(node.input[0]), self.constant(numpy.array(shape, "int32"))]
        kind = schema.BuiltinOptions.ReshapeOptions
        self.emit(Op.RESHAPE, operands, self.value(node.output[0]), kind, newShape=shape)

    def node_Gemm(self, node, attributes) -> None:
        weights = self.constants[node.input[1]]
        weights = weights if attributes.get("transB") else weights.T
        operands = [self.value(node.input[0]), self.constant(weights), self.constant(self.constants[node.input[2]])]
        kind = schema.BuiltinOptions.FullyConnectedOptions
        self.emit(Op.FULLY_CONNECTED, operands, self.value(node.output[0]), kind)

    def node_MaxPool(self, node, attributes) -> None:
        source, padding = self.padded(node.input[0], attributes, float(numpy.finfo("float32").min))
        kernel, strides = attributes["kernel_shape"], attributes["strides"]
        options = {"filterHeight": kernel[0], "filterWidth": kernel[1], "strideH": strides[0], "strideW": strides[1]}
        kind = schema.BuiltinOptions.Pool2DOptions
        self.emit(Op.MAX_POOL_2D, [source], self.value(node.output[0]), kind, padding=padding, **options)

    def node_Resize(self, node, _attributes) -> None:
        size = self.constant(numpy.array(self.shapes[node.output[0]][2:], "int32"))
        operands = [self.value(node.input[0]), size]
        kind = schema.BuiltinOptions.ResizeNearestNeighborOptions
        self.emit(Op.RESIZE_NEAREST_NEIGHBOR, operands, self.value(node.output[0]), kind)
