"""System A: a CNN and a VGG, alone and joined with SIFT words or dense SIFT (Al-Shabi et al.,
arXiv:1608.02833).

In all six builders `dropout` is the share dropped in place of system A's: after the CNN's last pair
(.4) or each block of the VGG (.2), and before the output (.5). `kernel_initializer` is Keras's name
of how the convolutions' weights begin: `HE` is made for ReLU; ten layers deep, Keras's default
learns late or never. `following` computes the descriptor from the picture that the network sees,
augmented as that is; else it is an input, of the picture as it was, as in system A. `trunk`
'published' leaves out batch normalisation, as system A's CNN hybrids do; 'plain' keeps the trunk of
the network without descriptor, so that only the branch differs. Raises `ValueError` for other
trunks.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from fercore.features.layers import DenseSiftLayer
from fercore.models.layers import FACE, HE, Conv2D, Dropout, Shape, batch_norm, output

DESCRIPTOR_LENGTH = 2048


def cnn(
    input_shape: Shape = FACE,
    classes: int = 7,
    dropout: float | None = None,
    kernel_initializer: str = HE,
) -> keras.Model:
    """System A's CNN: three pairs of 3×3 convolutions, 1,352,295 parameters."""
    image = layers.Input(input_shape, name="image")
    x = layers.Flatten()(_cnn_trunk(image, True, dropout, kernel_initializer))
    x = layers.Dense(2048)(x)
    x = Dropout(0.5 if dropout is None else dropout)(x)
    return keras.Model({"image": image}, output(x, classes), name="cnn")


def vgg(
    input_shape: Shape = FACE,
    classes: int = 7,
    dropout: float | None = None,
    kernel_initializer: str = HE,
) -> keras.Model:
    """System A's VGG: the first four blocks of VGG-16, 26,545,095 parameters."""
    image = layers.Input(input_shape, name="image")
    x = layers.Flatten()(_vgg_trunk(image, True, dropout, kernel_initializer))
    x = layers.Dense(4096, activation="relu")(x)
    x = Dropout(0.5 if dropout is None else dropout)(x)
    return keras.Model({"image": image}, output(x, classes), name="vgg")


def sift_cnn(
    input_shape: Shape = FACE,
    classes: int = 7,
    trunk: str = "plain",
    dropout: float | None = None,
    kernel_initializer: str = HE,
) -> keras.Model:
    """System A's CNN joined with a histogram of SIFT visual words."""
    inputs, vector = _inputs(input_shape, "sift")
    return _joined(
        "sift_cnn", inputs, vector, _cnn_trunk, classes, trunk, dropout, kernel_initializer
    )


def dsift_cnn(
    input_shape: Shape = FACE,
    classes: int = 7,
    trunk: str = "plain",
    following: bool = False,
    dropout: float | None = None,
    kernel_initializer: str = HE,
) -> keras.Model:
    """System A's CNN joined with dense SIFT on a 4×4 grid."""
    inputs, vector = _inputs(input_shape, "dsift", following)
    return _joined(
        "dsift_cnn", inputs, vector, _cnn_trunk, classes, trunk, dropout, kernel_initializer
    )


def sift_vgg(
    input_shape: Shape = FACE,
    classes: int = 7,
    dropout: float | None = None,
    kernel_initializer: str = HE,
) -> keras.Model:
    """System A's VGG joined with a histogram of SIFT visual words."""
    inputs, vector = _inputs(input_shape, "sift")
    return _joined(
        "sift_vgg", inputs, vector, _vgg_trunk, classes, "plain", dropout, kernel_initializer
    )


def dsift_vgg(
    input_shape: Shape = FACE,
    classes: int = 7,
    following: bool = False,
    dropout: float | None = None,
    kernel_initializer: str = HE,
) -> keras.Model:
    """System A's VGG joined with dense SIFT on a 4×4 grid."""
    inputs, vector = _inputs(input_shape, "dsift", following)
    return _joined(
        "dsift_vgg", inputs, vector, _vgg_trunk, classes, "plain", dropout, kernel_initializer
    )


def _cnn_trunk(x, normalised: bool, dropout: float | None, initializer: str):
    last = 0.4 if dropout is None else dropout
    for filters, padding, dropped in [(32, "same", 0.1), (64, "valid", 0.1), (128, "valid", last)]:
        x = _convolution(filters, padding, initializer, "relu")(x)
        x = _convolution(filters, "valid", initializer)(x)
        x = _close_block(x, dropped, normalised)
    return x


def _vgg_trunk(x, normalised: bool, dropout: float | None, initializer: str):
    dropped = 0.2 if dropout is None else dropout
    for filters, depth in [(64, 2), (128, 2), (256, 3), (512, 3)]:
        for _ in range(depth - 1):
            x = _convolution(filters, "same", initializer, "relu")(x)
        x = _convolution(filters, "same", initializer)(x)
        x = _close_block(x, dropped, normalised)
    return x


def _convolution(filters: int, padding: str, initializer: str, activation: str | None = None):
    how = {"padding": padding, "activation": activation, "kernel_initializer": initializer}
    return Conv2D(filters, 3, **how)


def _close_block(x, dropout: float, normalised: bool):
    """Pooling, ReLU (after it, on a quarter of the numbers: the same result), batch normalisation,
    dropout."""
    x = layers.ReLU()(layers.MaxPooling2D()(x))
    return Dropout(dropout)(batch_norm(x) if normalised else x)


def _inputs(input_shape: Shape, descriptor: str, following: bool = False) -> tuple[dict, Any]:
    """A hybrid's inputs by name, and its descriptor: one of them, or computed from the picture."""
    image = layers.Input(input_shape, name="image")
    if following:
        return {"image": image}, DenseSiftLayer(name=descriptor)(image)
    vector = layers.Input((DESCRIPTOR_LENGTH,), name=descriptor)
    return {"image": image, descriptor: vector}, vector


def _joined(
    name: str,
    inputs: dict,
    vector,
    trunk_of: Callable,
    classes: int,
    trunk: str,
    dropout: float | None,
    initializer: str,
) -> keras.Model:
    if trunk not in ("plain", "published"):
        raise ValueError(f"trunk {trunk!r} is neither 'plain' nor 'published'")
    branch = layers.Dense(4096, kernel_regularizer=keras.regularizers.L2(0.01))(vector)
    branch = Dropout(0.2)(branch)
    x = layers.Flatten()(trunk_of(inputs["image"], trunk == "plain", dropout, initializer))
    x = layers.Concatenate()([x, branch])
    x = layers.Dense(2048, activation="relu")(x)
    x = Dropout(0.5 if dropout is None else dropout)(x)
    return keras.Model(inputs, output(x, classes), name=name)
