"""A trained network as ONNX: batch normalisation folded away, weights in float16 or 8-bit integers.

float16 halves the file; weights are cast to float32 when it is loaded, and probabilities change by
less than `AGREEMENT`, which `export` checks against Keras.
"""

import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import onnx
from keras import layers
from onnx import TensorProto, helper, numpy_helper

AGREEMENT = 5e-3  # greatest difference of a probability: float16 keeps three digits of a weight
OPSET, IR_VERSION = 17, 8  # of 2021 to 2022: older runtimes read them too


class ExportError(ValueError):
    """A network that cannot be written as ONNX, or that would not predict alike."""


class _Graph:
    """An ONNX graph that grows node by node. Pictures are [n, channels, h, w] inside, [n, h, w,
    channels] outside. Weights have the precision of float16; `half` also stores them so."""

    def __init__(self, half: bool):
        self.half = half
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, **attributes) -> str:
        """A node with one output, whose name is returned."""
        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def weight(self, values: np.ndarray) -> str:
        """A constant of the graph."""
        name, half = (
            f"weight_{len(self.weights)}",
            np.asarray(values, np.float32).astype(np.float16),
        )
        stored = half if self.half else half.astype(np.float32)
        self.weights.append(numpy_helper.from_array(stored, name))
        return self.add("Cast", name, to=TensorProto.FLOAT) if self.half else name


def export(model: keras.Model, examples: np.ndarray) -> tuple[bytes, bytes]:
    """Two ONNX files of a network, NAME.onnx with weights in float16 and NAME_int8.onnx that
    computes in 8-bit integers: input "image" float32 [n, side, side, 1], output "probabilities"
    float32 [n, c].

    `examples` float32 [n, side, side, 1] are normalised training faces: on them the first file must
    agree with Keras, and they show the ranges of the integers. Raises `ExportError` for a network
    with other inputs, with layers that are not known here, or that disagrees.
    """
    if [tensor.name for tensor in model.inputs] != ["image"]:
        names = ", ".join(tensor.name for tensor in model.inputs)
        raise ExportError(f"{model.name}: takes {names}; only pictures are exported")
    content = _model(model, half=True).SerializeToString()
    difference = np.abs(run(content, examples) - predict(in_float32(model), examples)).max()
    if not difference <= AGREEMENT:
        raise ExportError(
            f"{model.name}: ONNX and Keras differ by {difference:.1e}, more than {AGREEMENT}"
        )
    return content, _quantised(_model(model, half=False), examples)


def in_float32(model: keras.Model) -> keras.Model:
    """The same network with the same weights, computing in float32 where it was trained in
    bfloat16."""
    config = json.dumps(model.get_config()).replace('"mixed_bfloat16"', '"float32"')
    copy = keras.Model.from_config(json.loads(config))
    copy.set_weights(model.get_weights())
    return copy


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Probabilities float32 [n, c] that a Keras network gives."""
    return np.asarray(model.predict_on_batch({"image": images}), np.float32)


def run(content: bytes, images: np.ndarray) -> np.ndarray:
    """Probabilities float32 [n, c] that an ONNX model gives, by ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images.astype(np.float32)})[0]


def _model(model: keras.Model, half: bool) -> onnx.ModelProto:
    graph, image = _Graph(half), model.inputs[0]
    names = {id(image): graph.add("Transpose", "image", perm=[0, 3, 1, 2])}
    for layer in model.layers:
        if isinstance(layer, layers.InputLayer) or id(layer.output) in names:
            continue
        given = layer.input if isinstance(layer.input, list) else [layer.input]
        following = _folded(layer)
        write = next((LAYERS[kind] for kind in type(layer).mro() if kind in LAYERS), None)
        if write is None:
            kind = type(layer).__name__
            raise ExportError(
                f"{model.name}: layer {layer.name} is a {kind}, which is not exported"
            )
        names[id((following or layer).output)] = write(
            graph, layer, following, *(names[id(t)] for t in given)
        )
    graph.nodes.append(
        helper.make_node("Identity", [names[id(model.outputs[0])]], ["probabilities"])
    )
    shapes = [["n", *image.shape[1:]], ["n", model.output_shape[-1]]]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(("image", "probabilities"), shapes, strict=True)
    ]
    proto = helper.make_graph(graph.nodes, model.name, values[:1], values[1:], graph.weights)
    result = helper.make_model(
        proto,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fercore",
    )
    onnx.checker.check_model(result, full_check=True)
    return result


def _quantised(model: onnx.ModelProto, examples: np.ndarray) -> bytes:
    """The model with convolutions, but the first, and dense layers in 8-bit integers.

    The first one takes the picture, which 8 bits render too coarsely, and does little of the
    arithmetic. Weights, scaled channel by channel, keep to 7 bits, so that processors without 8-bit
    dot products do not overflow (ONNX Runtime, 'Quantize ONNX models').
    """
    from onnxruntime import quantization

    class Faces(quantization.CalibrationDataReader):
        batches = iter([{"image": examples[k : k + 64]} for k in range(0, len(examples), 64)])

        def get_next(self) -> dict | None:
            return next(self.batches, None)

    logging.disable(logging.WARNING)  # it advises a preparation that these models do not need
    try:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "int8.onnx"
            quantization.quantize_static(
                model,
                target,
                Faces(),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=[x.name for x in model.graph.node if x.op_type == "Conv"][:1],
            )
            return target.read_bytes()
    finally:
        logging.disable(logging.NOTSET)


def _folded(layer: layers.Layer) -> layers.BatchNormalization | None:
    """The batch normalisation that takes nothing but this linear layer's output, if there is
    one."""
    if (
        not isinstance(layer, layers.Conv2D | layers.Dense)
        or layer.activation is not keras.activations.linear
    ):
        return None
    users = [node.operation for node in layer._outbound_nodes]
    return users[0] if len(users) == 1 and isinstance(users[0], layers.BatchNormalization) else None


def _scale_and_shift(layer: layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """What batch normalisation multiplies by and adds once it has been trained, float32 [channels]
    each."""
    ones = np.ones(layer.moving_mean.shape, np.float32)
    gamma = np.asarray(layer.gamma) if layer.scale else ones
    beta = np.asarray(layer.beta) if layer.center else 0 * ones
    scale = gamma / np.sqrt(np.asarray(layer.moving_variance) + layer.epsilon)
    return scale, beta - scale * np.asarray(layer.moving_mean)


def _kernel_and_bias(layer: layers.Layer, following) -> tuple[np.ndarray, np.ndarray]:
    kernel = np.asarray(layer.kernel)
    bias = np.asarray(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1], np.float32)
    if following is None:
        return kernel, bias
    scale, shift = _scale_and_shift(following)
    return kernel * scale, bias * scale + shift


def _convolution(graph: _Graph, layer: layers.Conv2D, following, x: str) -> str:
    kernel, bias = _kernel_and_bias(layer, following)
    if layer.dilation_rate != (1, 1):
        raise ExportError(f"layer {layer.name} is dilated, which is not exported")
    x = graph.add(
        "Conv",
        x,
        graph.weight(kernel.transpose(3, 2, 0, 1)),
        graph.weight(bias),
        group=layer.groups,
        kernel_shape=layer.kernel_size,
        strides=layer.strides,
        auto_pad=_padding(layer),
    )
    return _activation(graph, layer, x)


def _dense(graph: _Graph, layer: layers.Dense, following, x: str) -> str:
    kernel, bias = _kernel_and_bias(layer, following)
    return _activation(graph, layer, graph.add("Gemm", x, graph.weight(kernel), graph.weight(bias)))


def _activation(graph: _Graph, layer: layers.Layer, x: str) -> str:
    name = layer.activation.__name__
    if name == "linear":
        return x
    if name not in ("relu", "softmax", "sigmoid"):
        raise ExportError(f"layer {layer.name}: activation {name} is not exported")
    return graph.add(name.capitalize(), x, **({"axis": 1} if name == "softmax" else {}))


def _normalisation(graph: _Graph, layer: layers.BatchNormalization, following, x: str) -> str:
    scale, shift = _scale_and_shift(layer)
    shape = (-1, 1, 1) if len(layer.input.shape) == 4 else (-1,)
    return graph.add(
        "Add",
        graph.add("Mul", x, graph.weight(scale.reshape(shape))),
        graph.weight(shift.reshape(shape)),
    )


def _pooling(kind: str) -> Callable[..., str]:
    def write(graph: _Graph, layer, following, x: str) -> str:
        return graph.add(
            kind, x, kernel_shape=layer.pool_size, strides=layer.strides, auto_pad=_padding(layer)
        )

    return write


def _average_of_all(graph: _Graph, layer, following, x: str) -> str:
    return graph.add("Flatten", graph.add("GlobalAveragePool", x), axis=1)


def _flatten(graph: _Graph, layer, following, x: str) -> str:
    spatial = len(layer.input.shape) == 4  # Keras's order of values: channels last
    return graph.add(
        "Flatten", graph.add("Transpose", x, perm=[0, 2, 3, 1]) if spatial else x, axis=1
    )


def _rescaling(graph: _Graph, layer: layers.Rescaling, following, x: str) -> str:
    scale, offset = (
        np.reshape(np.asarray(v, np.float32), (-1, 1, 1)) for v in (layer.scale, layer.offset)
    )
    return graph.add("Add", graph.add("Mul", x, graph.weight(scale)), graph.weight(offset))


def _padding(layer: layers.Layer) -> str:
    return "SAME_UPPER" if layer.padding == "same" else "VALID"


LAYERS: dict[type, Callable[..., str]] = {
    layers.Conv2D: _convolution,
    layers.Dense: _dense,
    layers.BatchNormalization: _normalisation,
    layers.ReLU: lambda graph, layer, following, x: graph.add("Relu", x),
    layers.MaxPooling2D: _pooling("MaxPool"),
    layers.AveragePooling2D: _pooling("AveragePool"),
    layers.GlobalAveragePooling2D: _average_of_all,
    layers.Flatten: _flatten,
    layers.Dropout: lambda graph, layer, following, x: x,
    layers.Rescaling: _rescaling,
    layers.Concatenate: lambda graph, layer, following, *xs: graph.add("Concat", *xs, axis=1),
}
