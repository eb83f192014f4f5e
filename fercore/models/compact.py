"""The study's own networks: `compact`, small enough to train in under an hour on two cores and to
ship with the repository; `residual`, for a GPU, its teacher."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from fercore.models.layers import (
    HE,
    BatchNormalization,
    Conv2D,
    Dropout,
    Shape,
    batch_norm,
    convolution,
    output,
    squeeze_excitation,
)


def compact(
    input_shape: Shape = (40, 40, 1),
    classes: int = 7,
    filters: Sequence[int] = (24, 64, 160, 320),
    dropout: float = 0.2,
    squeeze: int = 0,
) -> keras.Model:
    """Eight 3×3 convolutions in four stages, each twice `filters` and pooled, then global average
    pooling.

    The late stages are wide and the early ones narrow: at full resolution time goes into memory,
    not arithmetic. But a processor takes longer for 24 channels than for 32, which fill its vectors
    of bfloat16. `squeeze`: each stage ends with squeeze and excitation, by so many times fewer
    units than channels; 0 for none.
    """
    image = layers.Input(input_shape, name="image")
    x = image
    for stage, width in enumerate(filters):
        if stage:
            x = layers.MaxPooling2D()(x)
        x = convolution(convolution(x, width), width)
        x = squeeze_excitation(x, squeeze) if squeeze else x
    x = Dropout(dropout)(layers.GlobalAveragePooling2D()(x))
    return keras.Model({"image": image}, output(x, classes), name="compact")


def compact_from_onnx(content: bytes, examples: np.ndarray) -> keras.Model:
    """`compact` with the weights of an exported file: it predicts alike and can be trained further.

    Batch normalisation, folded away in the file, takes its averages anew from `examples` float32
    [n, side, side, 1], some hundred normalised training faces. Raises `ValueError` for another
    network's file.
    """
    import onnx

    graph = onnx.load_from_string(content).graph
    *folded, kernel, bias = (onnx.numpy_helper.to_array(w).astype("f4") for w in graph.initializer)
    kernels, shifts = [each.transpose(2, 3, 1, 0) for each in folded[::2]], folded[1::2]
    shape = [axis.dim_value for axis in graph.input[0].type.tensor_type.shape.dim[1:]]
    filters = [len(shift) for shift in shifts[1::2]]
    model = compact((shape[0], shape[1], shape[2]), len(bias), filters)
    norms = [layer for layer in model.layers if isinstance(layer, BatchNormalization)]
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    for layer, norm, values, shift in zip(convolutions, norms, kernels, shifts, strict=True):
        ones = np.ones_like(shift)
        layer.set_weights([values])
        norm.set_weights([ones, shift, 0 * ones, ones - norm.epsilon])  # as if it were not there
    model.get_layer("expression").set_weights([kernel, bias])
    maps = keras.Model(model.inputs, [layer.output for layer in convolutions])
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
    at half the side.

    A block: two 3×3 convolutions, its channels weighed (`squeeze` as in SE-ResNet, Hu et al. 2018),
    plus its input, which is averaged over 2×2 pixels where the side is halved (ResNet-D, He et al.
    2019, arXiv:1812.01187).
    """
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
        shortcut = _normalised(shortcut, width, 1)
    x = layers.ReLU()(_normalised(x, width, 3, strides=2 if halve else 1))
    x = squeeze_excitation(_normalised(x, width, 3), squeeze)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _normalised(x, width: int, size: int, strides: int = 1):
    how = {"strides": strides, "padding": "same", "use_bias": False, "kernel_initializer": HE}
    return batch_norm(Conv2D(width, size, **how)(x))
