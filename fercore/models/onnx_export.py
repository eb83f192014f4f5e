"""A trained network as ONNX: batch normalisation folded away, weights in float16 or 8-bit integers.
float16 halves the file, and probabilities change by less than `AGREEMENT`, as `export` checks."""

import json
import logging
import tempfile
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import onnx
from keras import layers
from onnx import TensorProto, helper, numpy_helper

AGREEMENT = 5e-3  # greatest difference of a probability: float16 keeps three digits of a weight
PADDING = {"same": "SAME_UPPER", "valid": "VALID"}
OPSET, IR_VERSION = 17, 8  # of 2021 to 2022: older runtimes read them too


class _Graph:
    """An ONNX graph that grows node by node. Pictures are [n, channels, h, w] inside. Weights have
    the precision of float16; `half` also stores them so."""

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
        name, half = f"weight_{len(self.weights)}", values.astype(np.float16)
        stored = half if self.half else half.astype(np.float32)
        self.weights.append(numpy_helper.from_array(stored, name))
        return self.add("Cast", name, to=TensorProto.FLOAT) if self.half else name


def export(model: keras.Model, examples: np.ndarray) -> tuple[bytes, bytes]:
    """Two ONNX files of a network, with weights in float16 and computing in 8-bit integers: input
    "image" float32 [n, side, side, 1], output "probabilities" float32 [n, c]. `examples`,
    normalised training faces, show the ranges of the integers. Raises `ValueError` for other inputs
    and layers, and where the first file does not agree with Keras."""
    if [tensor.name for tensor in model.inputs] != ["image"]:
        names = ", ".join(tensor.name for tensor in model.inputs)
        raise ValueError(f"{model.name}: takes {names}; only pictures are exported")
    content = _model(model, half=True).SerializeToString()
    expected = in_float32(model).predict_on_batch({"image": examples})
    difference = np.abs(run(content, examples) - expected).max()
    if not difference <= AGREEMENT:
        raise ValueError(f"{model.name}: ONNX and Keras differ by {difference:.1e}")
    return content, _quantised(_model(model, half=False), examples)


def in_float32(model: keras.Model) -> keras.Model:
    """The same network and weights, computing in float32 where it was trained in bfloat16."""
    config = json.dumps(model.get_config()).replace('"mixed_bfloat16"', '"float32"')
    copy = keras.Model.from_config(json.loads(config))
    copy.set_weights(model.get_weights())
    return copy


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
        output = (following or layer).output
        names[id(output)] = _write(graph, layer, following, *(names[id(x)] for x in given))
    graph.add("Identity", names[id(model.outputs[0])])
    graph.nodes[-1].output[0] = "probabilities"
    taken = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *image.shape[1:]])
    shape = ["n", model.output_shape[-1]]
    given = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, shape)
    proto = helper.make_graph(graph.nodes, model.name, [taken], [given], graph.weights)
    versions = {"opset_imports": [helper.make_opsetid("", OPSET)], "ir_version": IR_VERSION}
    result = helper.make_model(proto, **versions, producer_name="fercore")
    onnx.checker.check_model(result, full_check=True)
    return result


def _quantised(model: onnx.ModelProto, examples: np.ndarray) -> bytes:
    """The model with its layers in 8-bit integers, but for the first and the last: pictures and
    probabilities would be too coarse. Weights keep to 7 bits, so that processors without 8-bit dot
    products do not overflow (ONNX Runtime, 'Quantize ONNX models')."""
    from onnxruntime import quantization

    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    batches = iter([{"image": examples[k : k + 64]} for k in range(0, len(examples), 64)])
    reader = SimpleNamespace(get_next=lambda: next(batches, None))
    logging.disable(logging.WARNING)  # it advises a preparation that these models do not need
    try:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "int8.onnx"
            quantization.quantize_static(
                model,
                target,
                reader,
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QUInt8,
                nodes_to_exclude=[x.name for x in [*convolutions[:1], *model.graph.node[-3:]]],
            )
            return target.read_bytes()
    finally:
        logging.disable(logging.NOTSET)


def _folded(layer: layers.Layer) -> layers.BatchNormalization | None:
    """The batch normalisation that takes nothing but this linear layer's output, if any."""
    linear = getattr(layer, "activation", None) is keras.activations.linear
    users = [node.operation for node in layer._outbound_nodes]
    if linear and len(users) == 1 and isinstance(users[0], layers.BatchNormalization):
        return users[0]
    return None


def _scale_and_shift(layer: layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """What a trained batch normalisation multiplies by and adds, float32 [channels] each."""
    scale = np.asarray(layer.gamma) / np.sqrt(np.asarray(layer.moving_variance) + layer.epsilon)
    return scale, np.asarray(layer.beta) - np.asarray(layer.moving_mean) * scale


def _write(graph: _Graph, layer: layers.Layer, following, x: str, *others: str) -> str:
    """The nodes of a layer, the batch normalisation `following` folded into it."""
    match layer:
        case layers.Dropout():
            return x
        case layers.ReLU():
            return graph.add("Relu", x)
        case layers.Conv2D() | layers.Dense():
            return _linear(graph, layer, following, x)
        case layers.BatchNormalization():
            shape = (-1, 1, 1) if len(layer.input.shape) == 4 else (-1,)
            scale, shift = (graph.weight(v.reshape(shape)) for v in _scale_and_shift(layer))
            return graph.add("Add", graph.add("Mul", x, scale), shift)
        case layers.MaxPooling2D() | layers.AveragePooling2D():
            kind = "MaxPool" if isinstance(layer, layers.MaxPooling2D) else "AveragePool"
            how = {"kernel_shape": layer.pool_size, "strides": layer.strides}
            return graph.add(kind, x, **how, auto_pad=PADDING[layer.padding])
        case layers.GlobalAveragePooling2D():
            x = graph.add("GlobalAveragePool", x)
            return x if layer.keepdims else graph.add("Flatten", x)
        case layers.Flatten():
            if len(layer.input.shape) == 4:  # Keras's order of values: channels last
                x = graph.add("Transpose", x, perm=[0, 2, 3, 1])
            return graph.add("Flatten", x)
        case layers.Add() | layers.Multiply():
            return graph.add(type(layer).__name__[:3], x, *others)
        case layers.Concatenate():
            return graph.add("Concat", x, *others, axis=1)
    kind = type(layer).__name__
    raise ValueError(f"layer {layer.name} is a {kind}, which is not exported")


def _linear(graph: _Graph, layer, following, x: str) -> str:
    """A convolution or a dense layer with its activation."""
    kernel = np.asarray(layer.kernel)
    bias = np.asarray(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1], np.float32)
    if following is not None:
        scale, shift = _scale_and_shift(following)
        kernel, bias = kernel * scale, bias * scale + shift
    if isinstance(layer, layers.Dense):
        x = graph.add("Gemm", x, graph.weight(kernel), graph.weight(bias))
    else:
        weights = graph.weight(kernel.transpose(3, 2, 0, 1)), graph.weight(bias)
        x = graph.add("Conv", x, *weights, strides=layer.strides, auto_pad=PADDING[layer.padding])
    name = layer.activation.__name__
    if name == "linear":
        return x
    if name not in ("relu", "softmax", "sigmoid"):
        raise ValueError(f"layer {layer.name}: activation {name} is not exported")
    return graph.add(name.capitalize(), x, **({"axis": 1} if name == "softmax" else {}))
