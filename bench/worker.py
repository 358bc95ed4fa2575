"""A peer that stays warm: reads requests from stdin, a JSON object a line, and answers each.

    {"warmup": 5, "runs": 30}  ->  {"times_ms": [...]}
    {"output": "logits.npy"}   ->  {}
"""

import json
import sys
import time

import numpy


def onnxruntime_fp32(onnx: str, threads: int):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda values: session.run(None, {name: values})[0]


def torch_channels_last(network: str, threads: int):
    import torch

    from models import NETWORKS

    torch.set_num_threads(threads)
    model = NETWORKS[network].build().eval().to(memory_format=torch.channels_last)
    example = torch.zeros(1, 3, NETWORKS[network].size, NETWORKS[network].size)
    example = example.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        model = torch.jit.freeze(torch.jit.trace(model, example))

    def run(values: numpy.ndarray) -> numpy.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(values).to(memory_format=torch.channels_last)).numpy()

    return run


PEERS = {"onnxruntime": onnxruntime_fp32, "torch": torch_channels_last}


def main() -> None:
    peer, model, threads, path = sys.argv[1:]
    run = PEERS[peer](model, int(threads))
    values = numpy.load(path)
    for line in sys.stdin:
        request = json.loads(line)
        if "output" in request:
            numpy.save(request["output"], run(values))
            answer = {}
        else:
            for _ in range(request["warmup"]):
                run(values)
            answer = {"times_ms": [timed(run, values) for _ in range(request["runs"])]}
        # Libraries may print; the answer is the line that begins with this mark.
        print("answer", json.dumps(answer), flush=True)


def timed(run, values: numpy.ndarray) -> float:
    start = time.perf_counter()
    run(values)
    return (time.perf_counter() - start) * 1e3


main()
