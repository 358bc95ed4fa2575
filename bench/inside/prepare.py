"""Writes what the contenders read, each file once: `prepare.py FOLDER PHOTOS NETWORK FORM …`.

Files lie in FOLDER under the network's name:

    .pth  .onnx             the weights as published, and the network
    .b16.onnx               for 16 pictures at a time
    .u8s8.onnx and others   quantised, see forms.py; .u8s8.b16.onnx for 16 pictures
    .xml  .ort.onnx         for OpenVINO; for ONNX Runtime, its optimisations done
    .tflite  .b16.tflite    for LiteRT
    .candle                 safetensors under candle's names
    .png  .picture.f32      a picture as large as the input, and the input that it becomes, [1, 3, size, size]
    .noise.f32              what `effigy bench` has for an input
    .reference.f32          PyTorch's answer to the picture: all outputs, one after the other
    .tf.reference.f32       the same of the network with TensorFlow's padding, which candle computes
"""

import sys
from pathlib import Path
from typing import Callable

import forms
import numpy
import photos
import torch
from front.models import MODELS, Model
from networks import build, parameters


class Files:
    """What there is of one network. `make` writes a file unless it is there."""

    def __init__(self, network: Model, folder: Path, calibration: Path):
        self.network, self.folder, self.calibration = network, folder, calibration
        self._model = None

    def at(self, form: str) -> Path:
        return self.folder / f"{self.network.name}.{form}"

    @property
    def model(self) -> torch.nn.Module:
        if self._model is None:
            self._model = build(self.network, torch.from_numpy(self.picture()))
        return self._model

    def make(self, form: str) -> Path:
        path = self.at(form)
        if not path.exists():
            print(f"writing {path.name}", file=sys.stderr, flush=True)
            partial = self.at(f"partial.{form}")
            self._writer(form)(partial)
            for file in self.folder.glob(f"{self.network.name}.partial.*"):
                file.rename(file.parent / file.name.replace(".partial.", "."))
        return path

    def _writer(self, form: str) -> Callable[[Path], None]:
        network = self.network
        if form in WRITERS:
            return lambda path: WRITERS[form](self, path)
        if form.endswith(".b16.onnx") or form == "b16.onnx":
            source = form.removesuffix("b16.onnx") + "onnx"
            return lambda path: forms.rebatch(self.make(source), 16, path)
        way = form.removesuffix(".onnx")
        if way in forms.QUANTISATIONS:
            pictures = photos.calibration(self.calibration, network)
            return lambda path: forms.quantise(self.make("onnx"), path, way, pictures, vnni())
        raise SystemExit(f"no file of a network is called {form}")

    def picture(self) -> numpy.ndarray:
        size = self.network.size
        return numpy.fromfile(self.make("picture.f32"), "float32").reshape(1, 3, size, size)


def vnni() -> bool:
    """Whether the processor adds four 8-bit products in 32 bits."""
    flags = next((line for line in open("/proc/cpuinfo") if line.startswith("flags")), "").split()
    return "avx512_vnni" in flags or "avx_vnni" in flags


def write_weights(files: Files, path: Path) -> None:
    torch.save(parameters(files.model), path)


def write_picture(files: Files, path: Path) -> None:
    photos.example(files.network.size).save(path, "PNG")


def write_input(files: Files, path: Path) -> None:
    photos.normalised(files.make("png"), files.network).tofile(path)


def write_noise(files: Files, path: Path) -> None:
    photos.noise(files.network.size).tofile(path)


def write_reference(files: Files, path: Path) -> None:
    answer(files.model, files.picture()).tofile(path)


def answer(model: torch.nn.Module, picture: numpy.ndarray) -> numpy.ndarray:
    """All outputs, one after the other."""
    with torch.inference_mode():
        outputs = model(torch.from_numpy(picture))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return numpy.concatenate([output.numpy().reshape(-1) for output in outputs])


def write_openvino(files: Files, path: Path) -> None:
    import openvino

    openvino.save_model(openvino.convert_model(str(files.make("onnx"))), str(path), compress_to_fp16=False)


def write_optimised(files: Files, path: Path) -> None:
    """What ONNX Runtime makes of the graph, so that it need not be made again at each start."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(files.make("onnx")), options, providers=["CPUExecutionProvider"])


def write_tflite(batch: int) -> Callable[[Files, Path], None]:
    def write(files: Files, path: Path) -> None:
        import tflite

        path.write_bytes(tflite.convert(files.make("onnx"), batch))

    return write


def write_candle(files: Files, path: Path) -> None:
    import candle
    from safetensors.torch import save_file

    save_file(candle.renamed(parameters(files.model)), str(path))


def write_tf_reference(files: Files, path: Path) -> None:
    import candle

    model = candle.tf_network(files.network.name, parameters(files.model))
    answer(model, files.picture()).tofile(path)


WRITERS: dict[str, Callable[[Files, Path], None]] = {
    "pth": write_weights,
    "onnx": lambda files, path: forms.export(files.model, files.network.size, path),
    "xml": write_openvino,
    "ort.onnx": write_optimised,
    "tflite": write_tflite(1),
    "b16.tflite": write_tflite(16),
    "candle": write_candle,
    "png": write_picture,
    "picture.f32": write_input,
    "noise.f32": write_noise,
    "reference.f32": write_reference,
    "tf.reference.f32": write_tf_reference,
}


def main() -> None:
    folder, calibration, network, *wanted = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    files = Files(MODELS[network], Path(folder), Path(calibration))
    for form in wanted:
        files.make(form)


if __name__ == "__main__":
    main()
