"""The peers that Python can call, each as quick as its documentation tells how to make it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Callable

import numpy


class Unable(Exception):
    """Why a peer cannot do what it is asked for here."""


@dataclass(frozen=True)
class Task:
    """What a peer is to compute."""

    network: str
    size: int
    precision: str
    threads: int
    batch: int
    files: dict[str, str]
    picture: numpy.ndarray


class OnnxRuntime:
    def __init__(self, task: Task, form: str):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = task.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(task.files[form], options, providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name

    def feed(self, values: numpy.ndarray) -> None:
        self.values = {self.name: values}

    def run(self) -> None:
        self.answer = self.session.run(None, self.values)

    def outputs(self) -> list[numpy.ndarray]:
        return self.answer


class OnnxRuntimeStreams(OnnxRuntime):
    """A picture a thread, instead of all threads for each: as many calls at a time as there are threads."""

    def __init__(self, task: Task, form: str):
        super().__init__(Task(**{**vars(task), "threads": 1, "batch": 1}), form)
        self.pool = ThreadPoolExecutor(task.threads)

    def feed(self, values: numpy.ndarray) -> None:
        self.values = [{self.name: numpy.ascontiguousarray(values[i : i + 1])} for i in range(len(values))]

    def run(self) -> None:
        self.answer = list(self.pool.map(lambda values: self.session.run(None, values), self.values))

    def outputs(self) -> list[numpy.ndarray]:
        return [numpy.concatenate(outputs) for outputs in zip(*self.answer)]


class OpenVino:
    hint = "LATENCY"

    def __init__(self, task: Task, form: str):
        import openvino

        if task.precision == "bf16":
            need_bf16()
        number = {"fp32": "f32", "int8": "f32", "bf16": "bf16"}[task.precision]
        options = {
            "PERFORMANCE_HINT": self.hint,
            "INFERENCE_NUM_THREADS": task.threads,
            "INFERENCE_PRECISION_HINT": number,
        }
        if self.hint == "LATENCY":
            options["NUM_STREAMS"] = "1"
        self.compiled = openvino.Core().compile_model(task.files[form], "CPU", options)
        self.request = self.compiled.create_infer_request()

    def feed(self, values: numpy.ndarray) -> None:
        import openvino

        self.request.set_input_tensor(openvino.Tensor(values, shared_memory=True))
        self.values = values

    def run(self) -> None:
        self.request.infer(share_inputs=True, share_outputs=True)

    def outputs(self) -> list[numpy.ndarray]:
        return [self.request.get_output_tensor(i).data for i in range(len(self.compiled.outputs))]


class OpenVinoThroughput(OpenVino):
    """Requests of one picture, as many at a time as OpenVINO thinks best."""

    hint = "THROUGHPUT"

    def __init__(self, task: Task, form: str):
        super().__init__(task, form)
        import openvino

        self.queue = openvino.AsyncInferQueue(self.compiled)
        self.found: dict[int, list[numpy.ndarray]] = {}
        self.queue.set_callback(self._keep)

    def _keep(self, request, index: int) -> None:
        self.found[index] = [tensor.data.copy() for tensor in request.output_tensors]

    def feed(self, values: numpy.ndarray) -> None:
        self.values = [numpy.ascontiguousarray(values[i : i + 1]) for i in range(len(values))]

    def run(self) -> None:
        for i, values in enumerate(self.values):
            self.queue.start_async({0: values}, i, share_inputs=True)
        self.queue.wait_all()

    def outputs(self) -> list[numpy.ndarray]:
        answers = [self.found[i] for i in range(len(self.values))]
        return [numpy.concatenate(outputs) for outputs in zip(*answers)]


class Torch:
    """Channels last, as published: what `model(picture)` does."""

    def __init__(self, task: Task, _form: str):
        import torch
        from front.models import MODELS
        from networks import build

        self.torch = torch
        torch.set_num_threads(task.threads)
        torch.set_grad_enabled(False)
        self.type = torch.float32
        if task.precision == "bf16":
            need_bf16()
            self.type = torch.bfloat16
        model = build(MODELS[task.network], torch.from_numpy(task.picture))
        model = model.to(memory_format=torch.channels_last, dtype=self.type)
        shape = (task.batch, 3, task.size, task.size)
        self.feed(numpy.zeros(shape, "float32"))
        self.model = self.prepared(model)

    def prepared(self, model):
        return model

    def feed(self, values: numpy.ndarray) -> None:
        values = self.torch.from_numpy(values).to(self.type)
        self.values = values.contiguous(memory_format=self.torch.channels_last)

    def run(self) -> None:
        with self.torch.inference_mode():
            self.answer = self.model(self.values)

    def outputs(self) -> list[numpy.ndarray]:
        answer = self.answer if isinstance(self.answer, tuple) else (self.answer,)
        return [output.float().contiguous().numpy() for output in answer]


class TorchFrozen(Torch):
    """Traced and frozen: BatchNorm folded."""

    def prepared(self, model):
        return self.torch.jit.freeze(self.torch.jit.trace(model, self.values))


class TorchCompile(Torch):
    def prepared(self, model):
        import torch._inductor.config

        torch._inductor.config.freezing = True
        compiled = self.torch.compile(model)
        with self.torch.no_grad():
            compiled(self.values)
        return compiled

    def run(self) -> None:
        # Inductor freezes weights under `no_grad` and not in inference mode.
        with self.torch.no_grad():
            self.answer = self.model(self.values)


class LiteRt:
    """The interpreter with XNNPACK."""

    def __init__(self, task: Task, form: str):
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(task.files[form], num_threads=task.threads)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        self.places = [output["index"] for output in self.interpreter.get_output_details()]

    def feed(self, values: numpy.ndarray) -> None:
        self.interpreter.set_tensor(self.input, numpy.ascontiguousarray(values.transpose(0, 2, 3, 1)))

    def run(self) -> None:
        self.interpreter.invoke()

    def outputs(self) -> list[numpy.ndarray]:
        answers = [self.interpreter.get_tensor(place) for place in self.places]
        return [a.transpose(0, 3, 1, 2) if a.ndim == 4 else a for a in answers]


ENGINES: dict[str, Callable] = {
    "onnxruntime": OnnxRuntime,
    "onnxruntime-streams": OnnxRuntimeStreams,
    "openvino": OpenVino,
    "openvino-throughput": OpenVinoThroughput,
    "torch": Torch,
    "torch-frozen": TorchFrozen,
    "torch-compile": TorchCompile,
    "litert": LiteRt,
}


def need_bf16() -> None:
    """Numbers of 16 bits that have to be emulated are no faster."""
    flags = next((line for line in open("/proc/cpuinfo") if line.startswith("flags")), "").split()
    if not {"avx512_bf16", "amx_bf16"}.intersection(flags):
        raise Unable("this processor multiplies no bf16 numbers")

