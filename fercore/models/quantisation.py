"""An exported network in 8-bit integers: made from its ONNX file and the ranges that training faces
showed.

The ranges are a few numbers a layer and stand in the card of an export; the integers follow from
them and the weights.
"""

import hashlib
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fercore import artifacts, paths


def ranges(content: bytes, examples: np.ndarray) -> dict[str, list[float]]:
    """The lowest and highest of each value that an ONNX model computes, by name, from `examples`
    float32 [n, side, side, 1]."""
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory() as folder:
        _quantise(content, Path(folder), _Calibration(examples))
        found = quantization.load_tensors_data(Path(folder) / "ranges.json")
    return {name: [float(value[0]) for value in data.range_value] for name, data in found.items()}


def quantised(content: bytes, given: Mapping[str, Sequence[float]]) -> bytes:
    """An exported model whose convolutions, but the first, and dense layers compute in 8-bit
    integers.

    The first one takes the picture, which 8 bits render too coarsely, and does little of the
    arithmetic. `given` are its `ranges`. Weights, scaled channel by channel, keep to 7 bits, so
    that processors without 8-bit dot products do not overflow (ONNX Runtime, 'Quantize ONNX
    models').
    """
    from onnxruntime import quantization

    extremes = {
        name: tuple(np.array([value], np.float32) for value in pair) for name, pair in given.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        data = quantization.TensorsData(quantization.CalibrationMethod.MinMax, extremes)
        quantization.save_tensors_data(data, Path(folder) / "ranges.json")
        return _quantise(content, Path(folder))


def kept(name: str, content: bytes, given: Mapping[str, Sequence[float]]) -> bytes:
    """`quantised`, from the cache where it is already there; a cache that cannot be written to is
    done without."""
    key = hashlib.sha256(content + repr(sorted(given.items())).encode()).hexdigest()[:16]
    path = paths.CACHE / "recogniser" / f"{key}.{name}"
    if path.is_file():
        return path.read_bytes()
    integers = quantised(content, given)
    try:
        artifacts.write_atomically(path, integers)
    except OSError:
        logging.getLogger(__name__).info("%s: cannot be written", path)
    return integers


def _quantise(content: bytes, folder: Path, examples: "_Calibration | None" = None) -> bytes:
    """The quantised model; ranges.json in `folder` is read, or written from `examples`."""
    import onnx
    from onnxruntime import quantization

    model = _with_float_weights(onnx.load_from_string(content))
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    source, target = folder / "float.onnx", folder / "int8.onnx"
    onnx.save(model, source)
    logging.disable(logging.WARNING)  # it advises a preparation that these models do not need
    try:
        quantization.quantize_static(
            source,
            target,
            examples,
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=convolutions[:1],
            calibration_cache_path=folder / "ranges.json",
        )
    finally:
        logging.disable(logging.NOTSET)
    return target.read_bytes()


class _Calibration:
    """Faces by the batch, as ONNX Runtime's quantisation asks for them."""

    def __init__(self, examples: np.ndarray):
        self._batches = iter([{"image": examples[k : k + 64]} for k in range(0, len(examples), 64)])

    def get_next(self) -> dict | None:
        return next(self._batches, None)


def _with_float_weights(model):
    """The model with weights in float32 and without the casts: the form that quantisation
    understands."""
    from onnx import numpy_helper

    graph = model.graph
    renamed = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
    kept = [node for node in graph.node if node.op_type != "Cast"]
    for node in kept:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    weights = [
        numpy_helper.from_array(numpy_helper.to_array(w).astype(np.float32), w.name)
        for w in graph.initializer
    ]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(weights)
    return model
