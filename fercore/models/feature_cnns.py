"""System E: two CNNs that also see facial landmarks and HOG, with a switch for batch
normalisation."""

import keras
from keras import initializers, layers

from fercore.features.layers import HogLayer
from fercore.models.blocks import FACE, Shape, batch_norm, output
from fercore.models.layers import Conv2D, Dropout

FEATURE_LENGTHS = {"landmarks": 136, "hog": 72, "hog_windows": 2592}
HOG_LAYERS = {"hog": {"window": 48, "step": 48, "cell": 16}, "hog_windows": {}}


def model_a(
    input_shape: Shape = FACE,
    classes: int = 5,
    features: tuple[str, ...] = (),
    normalised: bool = True,
    normalised_dense: bool = False,
    dropout: float = 0.044,
    weights: str = "he",
    following: bool = False,
) -> keras.Model:
    """System E's model A: three convolutions, Dense 1024. `features` are names of
    `FEATURE_LENGTHS`; `normalised`: batch normalisation after convolutions, `normalised_dense`:
    after dense layers; `dropout` 1 - keep probability; initial `weights` 'he' (He et al. 2015,
    arXiv:1502.01852) or 'published'; `following`: HOG is no input but computed from the picture as
    the network sees it, each of its numbers normalised over the batch. Raises `ValueError`."""
    image = layers.Input(input_shape, name="image")
    x = _convolutions(image, [(64, 5, True), (64, 5, True), (128, 4, False)], normalised, weights)
    x = _dense(Dropout(dropout)(x), 1024, normalised_dense, weights)
    return _joined(
        "model_a", image, x, features, (1024, 40), classes, normalised_dense, weights, following
    )


def model_b(
    input_shape: Shape = FACE,
    classes: int = 5,
    features: tuple[str, ...] = (),
    normalised: bool = True,
    normalised_dense: bool = False,
    dropout: float = 0.044,
    weights: str = "he",
    following: bool = False,
) -> keras.Model:
    """System E's model B: three convolutions, Dense 4096 and 1024. Parameters as of `model_a`."""
    image = layers.Input(input_shape, name="image")
    x = _convolutions(image, [(64, 3, True), (128, 3, True), (256, 3, True)], normalised, weights)
    x = _dense(Dropout(dropout)(x), 4096, normalised_dense, weights)
    x = _dense(Dropout(dropout)(x), 1024, normalised_dense, weights)
    return _joined(
        "model_b", image, x, features, (1024, 128), classes, normalised_dense, weights, following
    )


def _convolutions(x, sizes: list[tuple[int, int, bool]], normalised: bool, weights: str):
    """Convolutions (filters, size, pooled) with ReLU, flattened."""
    for filters, size, pooled in sizes:
        initial = _initial(weights, "convolution")
        x = Conv2D(filters, size, padding="same", activation="relu", kernel_initializer=initial)(x)
        if normalised:
            x = batch_norm(x)
        if pooled:
            x = layers.MaxPooling2D(3, 2, padding="same")(x)
    return layers.Flatten()(x)


def _dense(x, units: int, normalised: bool, weights: str):
    x = layers.Dense(units, activation="relu", kernel_initializer=_initial(weights, "dense"))(x)
    return batch_norm(x) if normalised else x


def _joined(
    name: str,
    image,
    x,
    features: tuple[str, ...],
    units: tuple[int, int],
    classes: int,
    normalised: bool,
    weights: str,
    following: bool,
) -> keras.Model:
    """The image branch alone, or narrowed and joined with a branch that sees all `features` side by
    side."""
    unknown = set(features) - FEATURE_LENGTHS.keys()
    if unknown:
        raise ValueError(
            f"feature {', '.join(sorted(unknown))} is unknown; there are {', '.join(FEATURE_LENGTHS)}"
        )
    computed = {
        feature: batch_norm(HogLayer(name=feature, **HOG_LAYERS[feature])(image))
        for feature in features
        if following and feature in HOG_LAYERS
    }
    inputs = {
        feature: layers.Input((FEATURE_LENGTHS[feature],), name=feature)
        for feature in features
        if feature not in computed
    }
    if features:
        given = [*inputs.values(), *computed.values()]
        branch = layers.Concatenate()(given) if len(given) > 1 else given[0]
        for size in units:
            branch = _dense(branch, size, normalised, weights)
        x = layers.Concatenate()([_dense(x, units[-1], normalised, weights), branch])
    x = output(x, classes, initializer=_initial(weights, "output"))
    return keras.Model({"image": image} | inputs, x, name=name)


def _initial(weights: str, layer: str) -> str | keras.Initializer:
    """How a 'convolution', a 'dense' layer or the 'output' begins; 'published' are TFLearn's
    defaults."""
    if weights == "he":
        return "glorot_uniform" if layer == "output" else "he_normal"
    if weights == "published":
        return (
            "lecun_uniform" if layer == "convolution" else initializers.TruncatedNormal(stddev=0.02)
        )
    raise ValueError(f"weights {weights!r} is none of he, published")
