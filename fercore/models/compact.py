"""The study's own networks: `compact`, small enough to train in about an hour on two cores and to
ship with the repository; `residual`, for a GPU, its teacher."""

import json
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from fercore import paths
from fercore.data import augmentation, synthetic
from fercore.models.layers import Dropout, Shape, convolution, output, squeeze_excitation


def compact(
    input_shape: Shape = (40, 40, 1),
    classes: int = 7,
    filters: Sequence[int] = (24, 64, 160, 320),
    dropout: float = 0.2,
    squeeze: int = 0,
) -> keras.Model:
    """Eight 3×3 convolutions in four stages, each twice `filters`, pooled in between and after.

    The late stages are wide and the early ones narrow: at full resolution time goes into memory,
    not arithmetic. `squeeze`: each stage ends with squeeze and excitation of this reduction.
    """
    x = image = layers.Input(input_shape, name="image")
    for stage, width in enumerate(filters):
        x = layers.MaxPooling2D()(x) if stage else x
        x = convolution(convolution(x, width), width)
        x = squeeze_excitation(x, squeeze) if squeeze else x
    x = Dropout(dropout)(layers.GlobalAveragePooling2D()(x))
    return keras.Model({"image": image}, output(x, classes), name="compact")


def pretrained(faces: np.ndarray | None = None) -> keras.Model:
    """The network that comes with the package, to train further; `faces` uint8 [n, 48, 48] show the
    averages of batch normalisation, drawn ones for None."""
    file = paths.WEIGHTS / "compact.onnx"
    card = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    seen = synthetic.faces(256, 0, 0).images if faces is None else faces
    seen = augmentation.normalise(augmentation.crop(seen, card["side"]), card["normalisation"])
    return compact_from_onnx(file.read_bytes(), seen)


def compact_from_onnx(content: bytes, examples: np.ndarray) -> keras.Model:
    """`compact` with the weights of an exported file: it predicts alike and can be trained further.

    Batch normalisation, folded away in the file, takes its averages from `examples` float32 [n,
    side, side, 1], normalised faces. Raises `ValueError` for another network's file.
    """
    import onnx

    graph = onnx.load_from_string(content).graph
    *folded, kernel, bias = (onnx.numpy_helper.to_array(w).astype("f4") for w in graph.initializer)
    kernels, shifts = [each.transpose(2, 3, 1, 0) for each in folded[::2]], folded[1::2]
    _, height, width, channels = (a.dim_value for a in graph.input[0].type.tensor_type.shape.dim)
    filters = [each.shape[-1] for each in kernels if len(each) > 1][1::2]
    squeeze = [each.shape[-2] // each.shape[-1] for each in kernels if len(each) == 1][:1] or [0]
    model = compact((height, width, channels), len(bias), filters, squeeze=squeeze[0])
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    for layer, values, shift in zip(convolutions, kernels, shifts, strict=True):
        layer.set_weights([values, shift] if layer.use_bias else [values])
    model.get_layer("expression").set_weights([kernel, bias])
    shifts = [b for layer, b in zip(convolutions, shifts, strict=True) if not layer.use_bias]
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    for norm, shift in zip(norms, shifts, strict=True):
        ones = np.ones_like(shift)
        norm.set_weights([ones, shift, 0 * ones, ones - norm.epsilon])  # as if it were not there
    maps = keras.Model(model.inputs, [norm.input for norm in norms])
    for norm, shift, seen in zip(norms, shifts, maps.predict_on_batch(examples), strict=True):
        mean, variance = np.mean(seen, axis=(0, 1, 2)), np.var(seen, axis=(0, 1, 2))
        norm.set_weights([np.sqrt(variance + norm.epsilon), shift + mean, mean, variance])
    return model


def residual(
    input_shape: Shape = (44, 44, 1),
    classes: int = 7,
    filters: Sequence[int] = (64, 128, 256, 512),
    blocks: Sequence[int] = (1, 2, 2, 2),
    squeeze: int = 16,
    dropout: float = 0.4,
) -> keras.Model:
    """A residual network (He et al. 2016) in stages of `filters` and `blocks`, each but the first
    at half the side. Channels are weighed (`squeeze` as in SE-ResNet, Hu et al. 2018), inputs
    averaged where the side is halved (ResNet-D, He et al. 2019, arXiv:1812.01187)."""
    image = layers.Input(input_shape, name="image")
    x = convolution(image, filters[0])
    for stage, (width, depth) in enumerate(zip(filters, blocks, strict=True)):
        for block in range(depth):
            x = _block(x, width, squeeze, halve=stage > 0 and block == 0)
    x = Dropout(dropout)(layers.GlobalAveragePooling2D()(x))
    return keras.Model({"image": image}, output(x, classes), name="residual")


def _block(x, width: int, squeeze: int, halve: bool):
    shortcut = layers.AveragePooling2D(2, padding="same")(x) if halve else x
    if x.shape[-1] != width:
        shortcut = convolution(shortcut, width, 1, relu=False)
    x = convolution(x, width, strides=2 if halve else 1)
    x = squeeze_excitation(convolution(x, width, relu=False), squeeze)
    return layers.ReLU()(layers.Add()([x, shortcut]))
