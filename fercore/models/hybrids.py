"""System A: a CNN and a VGG, alone and joined with SIFT words or dense SIFT (Al-Shabi et al.,
arXiv:1608.02833); system E: two CNNs that also see facial landmarks and HOG.

In system A's builders `dropout` is the share dropped in place of the published one: after the CNN's
last pair (.4) or each block of the VGG (.2), and before the output (.5). `kernel_initializer` is
that of the convolutions: ten layers deep, Keras's default learns late or never.
"""

from collections.abc import Callable, Sequence

import keras
from keras import layers

from fercore.features.layers import DenseSiftLayer, HogLayer
from fercore.models.layers import FACE, HE, Conv2D, Dense, Dropout, Shape, batch_norm, output

FEATURE_LENGTHS = {"landmarks": 136, "hog": 72, "hog_windows": 2592}
HOG_LAYERS = {"hog": {"window": 48, "step": 48, "cell": 16}, "hog_windows": {}}
TFLEARN = {"class_name": "TruncatedNormal", "config": {"stddev": 0.02}}
INITIAL: dict[str, dict] = {  # He et al. 2015; "published" are TFLearn's defaults
    "he": {"convolution": HE, "dense": HE, "output": "glorot_uniform"},
    "published": {"convolution": "lecun_uniform", "dense": TFLEARN, "output": TFLEARN},
}


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


def sift_cnn(input_shape: Shape = FACE, classes: int = 7, **options) -> keras.Model:
    """System A's CNN joined with a histogram of SIFT visual words; `options` of `hybrid`."""
    return hybrid("sift_cnn", "sift", _cnn_trunk, input_shape, classes, **options)


def dsift_cnn(input_shape: Shape = FACE, classes: int = 7, **options) -> keras.Model:
    """System A's CNN joined with dense SIFT on a 4×4 grid; `options` of `hybrid`."""
    return hybrid("dsift_cnn", "dsift", _cnn_trunk, input_shape, classes, **options)


def sift_vgg(input_shape: Shape = FACE, classes: int = 7, **options) -> keras.Model:
    """System A's VGG joined with a histogram of SIFT visual words; `options` of `hybrid`."""
    return hybrid("sift_vgg", "sift", _vgg_trunk, input_shape, classes, **options)


def dsift_vgg(input_shape: Shape = FACE, classes: int = 7, **options) -> keras.Model:
    """System A's VGG joined with dense SIFT on a 4×4 grid; `options` of `hybrid`."""
    return hybrid("dsift_vgg", "dsift", _vgg_trunk, input_shape, classes, **options)


def hybrid(
    name: str,
    descriptor: str,
    trunk_of: Callable,
    input_shape: Shape,
    classes: int,
    *,
    trunk: str = "plain",
    following: bool = False,
    dropout: float | None = None,
    kernel_initializer: str = HE,
) -> keras.Model:
    """A trunk and a branch for a `descriptor` of 2,048 numbers, joined. `trunk` 'published' leaves
    out batch normalisation, as system A's CNN hybrids do. `following`: dense SIFT is no input but
    computed from the picture that the network sees. `dropout`: share of units, None as published;
    `kernel_initializer` of the convolutions, as Keras takes it. Raises `ValueError`."""
    if trunk not in ("plain", "published"):
        raise ValueError(f"trunk {trunk!r} is neither 'plain' nor 'published'")
    if following and descriptor != "dsift":
        raise ValueError(f"{name}: only dense SIFT can be computed inside a network")
    image = layers.Input(input_shape, name="image")
    inputs = {"image": image}
    if following:
        vector = DenseSiftLayer(name=descriptor)(image)
    else:
        vector = inputs[descriptor] = layers.Input((2048,), name=descriptor)
    branch = layers.Dense(4096, kernel_regularizer=keras.regularizers.L2(0.01))(vector)
    branch = Dropout(0.2)(branch)
    x = layers.Flatten()(trunk_of(image, trunk == "plain", dropout, kernel_initializer))
    x = layers.Concatenate()([x, branch])
    x = layers.Dense(2048, activation="relu")(x)
    x = Dropout(0.5 if dropout is None else dropout)(x)
    return keras.Model(inputs, output(x, classes), name=name)


def _cnn_trunk(x, normalised: bool, dropout: float | None, initializer: str):
    last = 0.4 if dropout is None else dropout
    blocks = [(32, ["same", "valid"], 0.1), (64, ["valid"] * 2, 0.1), (128, ["valid"] * 2, last)]
    return _trunk(x, blocks, normalised, initializer)


def _vgg_trunk(x, normalised: bool, dropout: float | None, initializer: str):
    dropped = 0.2 if dropout is None else dropout
    sizes = [(64, 2), (128, 2), (256, 3), (512, 3)]
    blocks = [(filters, ["same"] * depth, dropped) for filters, depth in sizes]
    return _trunk(x, blocks, normalised, initializer)


def _trunk(x, blocks: list[tuple[int, list[str], float]], normalised: bool, initializer: str):
    """3×3 convolutions in `blocks`: filters, a padding for each convolution, share dropped."""
    how = {"kernel_initializer": initializer}
    for filters, (*paddings, last), dropped in blocks:
        for padding in paddings:
            x = Conv2D(filters, 3, padding=padding, activation="relu", **how)(x)
        x = Conv2D(filters, 3, padding=last, **how)(x)
        x = layers.ReLU()(layers.MaxPooling2D()(x))  # after pooling: a quarter of the work
        x = Dropout(dropped)(batch_norm(x) if normalised else x)
    return x


def model_a(input_shape: Shape = FACE, classes: int = 5, **options) -> keras.Model:
    """System E's model A: three convolutions, Dense 1024. `options` are those of `system_e`."""
    convolutions = [(64, 5, True), (64, 5, True), (128, 4, False)]
    return system_e("model_a", convolutions, [1024], (1024, 40), input_shape, classes, **options)


def model_b(input_shape: Shape = FACE, classes: int = 5, **options) -> keras.Model:
    """System E's model B: three convolutions, Dense 4096 and 1024. `options` as of model A."""
    convolutions, dense = [(64, 3, True), (128, 3, True), (256, 3, True)], [4096, 1024]
    return system_e("model_b", convolutions, dense, (1024, 128), input_shape, classes, **options)


def system_e(
    name: str,
    convolutions: list[tuple[int, int, bool]],
    dense: list[int],
    branch: tuple[int, int],
    input_shape: Shape,
    classes: int,
    *,
    features: Sequence[str] = (),
    normalised: bool = True,
    dropout: float = 0.044,
    weights: str = "he",
    following: bool = False,
) -> keras.Model:
    """`convolutions`: filters, size, whether pooled; `branch`: units of the dense layers above
    `features`, names of `FEATURE_LENGTHS`; `normalised`: batch normalisation after convolutions;
    `weights`: how they begin, a name of `INITIAL`; `following`: HOG is no input but computed from
    the picture that the network sees, each of its numbers normalised over the batch."""
    unknown = ", ".join(sorted(set(features) - FEATURE_LENGTHS.keys()))
    if unknown:
        raise ValueError(f"feature {unknown} is unknown; there are {', '.join(FEATURE_LENGTHS)}")
    if weights not in INITIAL:
        raise ValueError(f"weights {weights!r} is not one of {', '.join(INITIAL)}")
    initial = INITIAL[weights]

    def fully_connected(x, units: int):
        return Dense(units, activation="relu", kernel_initializer=initial["dense"])(x)

    x = image = layers.Input(input_shape, name="image")
    for filters, size, pooled in convolutions:
        how = {"activation": "relu", "kernel_initializer": initial["convolution"]}
        x = Conv2D(filters, size, padding="same", **how)(x)
        x = batch_norm(x) if normalised else x
        x = layers.MaxPooling2D(3, 2, padding="same")(x) if pooled else x
    x = layers.Flatten()(x)
    for units in dense:
        x = fully_connected(Dropout(dropout)(x), units)
    inputs, given = {"image": image}, []
    for feature in features:
        if following and feature in HOG_LAYERS:
            given.append(batch_norm(HogLayer(name=feature, **HOG_LAYERS[feature])(image)))
        else:
            inputs[feature] = layers.Input((FEATURE_LENGTHS[feature],), name=feature)
            given.append(inputs[feature])
    if given:
        vector = layers.Concatenate()(given) if len(given) > 1 else given[0]
        for units in branch:
            vector = fully_connected(vector, units)
        x = layers.Concatenate()([fully_connected(x, branch[-1]), vector])
    x = output(x, classes, initializer=initial["output"])
    return keras.Model(inputs, x, name=name)
