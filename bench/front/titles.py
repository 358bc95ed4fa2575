"""What things are called in tables and pictures."""

from front.peers import PEERS

WHAT = {
    "latency": "One picture",
    "throughput": "Sixteen pictures, each",
    "end-to-end": "Objects of one picture",
    "cold": "From the process's start to its answer",
    "accuracy": "Accuracy on labelled photos",
}
TITLES = {
    "effigy": "effigy",
    "effigy-single": "effigy, one picture at a time",
    "effigy-avx2": "effigy, AVX2 only",
    "effigy-avx512": "effigy, AVX-512",
    "effigy-portable": "effigy, portable",
    "effigy-fp32": "effigy, fp32",
    "onnxruntime-native": "ONNX Runtime without Python",
    "onnxruntime-optimised": "ONNX Runtime without Python, optimised before",
    **{name: peer.title for name, peer in PEERS.items()},
}
