"""System E: two CNNs that also see facial landmarks and HOG, with a switch for batch
normalisation."""

from collections.abc import Sequence

import keras
from keras import initializers, layers

from fercore.features.layers import HogLayer
from fercore.models.layers import FACE, HE, Conv2D, Dropout, Shape, batch_norm, output

FEATURE_LENGTHS = {"landmarks": 136, "hog": 72, "hog_windows": 2592}
HOG_LAYERS = {"hog": {"window": 48, "step": 48, "cell": 16}, "hog_windows": {}}


def model_a(input_shape: Shape = FACE, classes: int = 5, **options) -> keras.Model:
    """System E's model A: three convolutions (filters, size, pooled), Dense 1024. `options` are
    those of `_system_e`."""
    convolutions = [(64, 5, True), (64, 5, True), (128, 4, False)]
    return _system_e("model_a", convolutions, [1024], (1024, 40), input_shape, classes, **options)


def model_b(input_shape: Shape = FACE, classes: int = 5, **options) -> keras.Model:
    """System E's model B: three convolutions (filters, size, pooled), Dense 4096 and 1024.
    `options` are those of `_system_e`."""
    convolutions = [(64, 3, True), (128, 3, True), (256, 3, True)]
    return _system_e(
        "model_b", convolutions, [4096, 1024], (1024, 128), input_shape, classes, **options
    )


def _system_e(
    name: str,
    convolutions: list[tuple[int, int, bool]],
    dense: list[int],
    branch: tuple[int, int],
    input_shape: Shape,
    classes: int,
    *,
    features: Sequence[str] = (),
    normalised: bool = True,
    normalised_dense: bool = False,
    dropout: float = 0.044,
    weights: str = "he",
    following: bool = False,
) -> keras.Model:
    """`features` are names of `FEATURE_LENGTHS`; `normalised`: batch normalisation after
    convolutions, `normalised_dense`: after dense layers; `dropout`: 1 - keep probability; `weights`
    begin as 'he' (He et al. 2015) or 'published'; `following`: HOG is no input but computed from
    the picture as the network sees it, each of its numbers normalised over the batch. Raises
    `ValueError` for unknown features and weights."""
    unknown = ", ".join(sorted(set(features) - FEATURE_LENGTHS.keys()))
    if unknown:
        raise ValueError(f"feature {unknown} is unknown; there are {', '.join(FEATURE_LENGTHS)}")

    def fully_connected(x, units: int):
        initial = _initial(weights, "dense")
        x = layers.Dense(units, activation="relu", kernel_initializer=initial)(x)
        return batch_norm(x) if normalised_dense else x

    image = layers.Input(input_shape, name="image")
    x = image
    for filters, size, pooled in convolutions:
        initial = _initial(weights, "convolution")
        x = Conv2D(filters, size, padding="same", activation="relu", kernel_initializer=initial)(x)
        x = batch_norm(x) if normalised else x
        x = layers.MaxPooling2D(3, 2, padding="same")(x) if pooled else x
    x = layers.Flatten()(x)
    for units in dense:
        x = fully_connected(Dropout(dropout)(x), units)
    inputs, vector = _features(image, features, following)
    if vector is not None:
        for units in branch:
            vector = fully_connected(vector, units)
        x = layers.Concatenate()([fully_connected(x, branch[-1]), vector])
    x = output(x, classes, initializer=_initial(weights, "output"))
    return keras.Model({"image": image} | inputs, x, name=name)


def _features(image, features: Sequence[str], following: bool):
    """The further inputs by name, and all `features` side by side; None without any."""
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
    given = [*inputs.values(), *computed.values()]
    if not given:
        return inputs, None
    return inputs, layers.Concatenate()(given) if len(given) > 1 else given[0]


def _initial(weights: str, layer: str) -> str | keras.Initializer:
    """How a 'convolution', a 'dense' layer or the 'output' begins; 'published' are TFLearn's
    defaults."""
    if weights == "he":
        return "glorot_uniform" if layer == "output" else HE
    if weights == "published" and layer == "convolution":
        return "lecun_uniform"
    if weights == "published":
        return initializers.TruncatedNormal(stddev=0.02)
    raise ValueError(f"weights {weights!r} is none of he, published")
