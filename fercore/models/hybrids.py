"""System A: a CNN and a VGG, alone and joined with SIFT words or dense SIFT (Al-Shabi et al.,
arXiv:1608.02833)."""

from collections.abc import Callable
from functools import partial

import keras
from keras import layers

from fercore.features.layers import DenseSiftLayer
from fercore.models.blocks import FACE, Shape, batch_norm, output
from fercore.models.layers import Conv2D, Dropout

DESCRIPTOR_LENGTH = 2048
HE = "he_normal"


def cnn(
    input_shape: Shape = FACE,
    classes: int = 7,
    dropout: float | None = None,
    kernel_initializer: str = HE,
) -> keras.Model:
    """System A's CNN: three pairs of 3×3 convolutions, 1,352,295 parameters. `dropout`: the share
    dropped after the last pair and before the output, in place of system A's .4 and .5.
    `kernel_initializer`: Keras's name of how the convolutions' weights begin; HE is made for ReLU,
    system A, of which none is known, gets Keras's."""
    image = layers.Input(input_shape, name="image")
    x = layers.Flatten()(_cnn_trunk(image, dropout=dropout, initial=kernel_initializer))
    x = layers.Dense(2048)(x)
    x = Dropout(0.5 if dropout is None else dropout)(x)
    return keras.Model({"image": image}, output(x, classes), name="cnn")


def sift_cnn(
    input_shape: Shape = FACE,
    classes: int = 7,
    trunk: str = "plain",
    dropout: float | None = None,
    kernel_initializer: str = HE,
) -> keras.Model:
    """System A's CNN joined with a histogram of SIFT visual words; `dropout`, `kernel_initializer`
    as in `cnn`."""
    trunk_of = partial(_cnn_trunk, dropout=dropout, initial=kernel_initializer)
    return _hybrid("sift_cnn", "sift", trunk_of, input_shape, classes, trunk, dropout=dropout)


def dsift_cnn(
    input_shape: Shape = FACE,
    classes: int = 7,
    trunk: str = "plain",
    following: bool = False,
    dropout: float | None = None,
    kernel_initializer: str = HE,
) -> keras.Model:
    """System A's CNN joined with dense SIFT on a 4×4 grid: given, as system A does, or,
    `following`, computed from the picture that the network sees, moved and turned as that is.
    `dropout`, `kernel_initializer` as in `cnn`."""
    trunk_of = partial(_cnn_trunk, dropout=dropout, initial=kernel_initializer)
    return _hybrid("dsift_cnn", "dsift", trunk_of, input_shape, classes, trunk, following, dropout)


def vgg(
    input_shape: Shape = FACE,
    classes: int = 7,
    dropout: float | None = None,
    kernel_initializer: str = HE,
) -> keras.Model:
    """System A's VGG: the first four blocks of VGG-16, 26,545,095 parameters. `dropout`: the share
    dropped after each block and before the output, in place of system A's .2 and .5.
    `kernel_initializer` as in `cnn`: ten layers deep, Keras's default learns late or never."""
    image = layers.Input(input_shape, name="image")
    x = layers.Flatten()(_vgg_trunk(image, dropout=dropout, initial=kernel_initializer))
    x = layers.Dense(4096, activation="relu")(x)
    x = Dropout(0.5 if dropout is None else dropout)(x)
    return keras.Model({"image": image}, output(x, classes), name="vgg")


def sift_vgg(
    input_shape: Shape = FACE,
    classes: int = 7,
    dropout: float | None = None,
    kernel_initializer: str = HE,
) -> keras.Model:
    """System A's VGG joined with a histogram of SIFT visual words; `dropout`, `kernel_initializer`
    as in `vgg`."""
    trunk_of = partial(_vgg_trunk, dropout=dropout, initial=kernel_initializer)
    return _hybrid("sift_vgg", "sift", trunk_of, input_shape, classes, dropout=dropout)


def dsift_vgg(
    input_shape: Shape = FACE,
    classes: int = 7,
    following: bool = False,
    dropout: float | None = None,
    kernel_initializer: str = HE,
) -> keras.Model:
    """System A's VGG joined with dense SIFT on a 4×4 grid; `following` as in `dsift_cnn`, the
    others as in `vgg`."""
    trunk_of = partial(_vgg_trunk, dropout=dropout, initial=kernel_initializer)
    return _hybrid(
        "dsift_vgg", "dsift", trunk_of, input_shape, classes, following=following, dropout=dropout
    )


def _cnn_trunk(x, normalised: bool = True, dropout: float | None = None, initial: str = HE):
    last = 0.4 if dropout is None else dropout
    for filters, first_padding, dropped in [
        (32, "same", 0.1),
        (64, "valid", 0.1),
        (128, "valid", last),
    ]:
        x = _convolution(filters, first_padding, initial)(x)
        x = _close_block(
            _convolution(filters, "valid", initial, activation=None)(x), dropped, normalised
        )
    return x


def _vgg_trunk(x, normalised: bool = True, dropout: float | None = None, initial: str = HE):
    dropped = 0.2 if dropout is None else dropout
    for filters, depth in [(64, 2), (128, 2), (256, 3), (512, 3)]:
        for _ in range(depth - 1):
            x = _convolution(filters, "same", initial)(x)
        x = _close_block(
            _convolution(filters, "same", initial, activation=None)(x), dropped, normalised
        )
    return x


def _convolution(filters: int, padding: str, initial: str, activation: str | None = "relu"):
    return Conv2D(filters, 3, padding=padding, activation=activation, kernel_initializer=initial)


def _close_block(x, dropout: float, normalised: bool):
    """Pooling, ReLU (after it, on a quarter of the numbers: the same result), batch normalisation,
    dropout."""
    x = layers.ReLU()(layers.MaxPooling2D()(x))
    if normalised:
        x = batch_norm(x)
    return Dropout(dropout)(x)


def _hybrid(
    name: str,
    descriptor: str,
    trunk_of: Callable,
    input_shape: Shape,
    classes: int,
    trunk: str = "plain",
    following: bool = False,
    dropout: float | None = None,
):
    """A trunk and a descriptor branch, joined. `trunk` 'published' leaves out batch normalisation,
    as system A's CNN hybrids do; 'plain' keeps the trunk of the network without descriptor, so that
    only the branch differs. `dropout`: the share dropped before the output; None is system A's
    .5."""
    if trunk not in ("plain", "published"):
        raise ValueError(f"trunk {trunk!r} is neither 'plain' nor 'published'")
    image = layers.Input(input_shape, name="image")
    inputs = {"image": image}
    if following:
        vector = DenseSiftLayer(name=descriptor)(image)
    else:
        vector = inputs[descriptor] = layers.Input((DESCRIPTOR_LENGTH,), name=descriptor)
    branch = layers.Dense(4096, kernel_regularizer=keras.regularizers.L2(0.01))(vector)
    branch = Dropout(0.2)(branch)
    x = layers.Flatten()(trunk_of(image, normalised=trunk == "plain"))
    x = layers.Concatenate()([x, branch])
    x = layers.Dense(2048, activation="relu")(x)
    x = Dropout(0.5 if dropout is None else dropout)(x)
    return keras.Model(inputs, output(x, classes), name=name)
