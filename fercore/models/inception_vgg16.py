"""System C: two VGG-16 and an Inception-v1, made for faces of 48×48."""

import os
import urllib.request
from pathlib import Path

import keras
from keras import layers

from fercore import artifacts, paths
from fercore.models.layers import (
    FACE,
    HE,
    Conv2D,
    Dropout,
    Shape,
    batch_norm,
    convolution,
    learn_from,
    output,
)

VGG8 = [(64, 2), (128, 2), (256, 2), (512, 2)]
# Inception-v1's modules by stage: filters of 1×1, of 3×3 and what narrows its input, of 5×5
# likewise, after pooling
STAGES = [
    [(64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)],
    [(192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64)],
]
WEIGHTS_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
ADVICE = f"give the path of Keras's {WEIGHTS_FILE} as parameter `weights`"
WEIGHTS_PAGE = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{WEIGHTS_FILE}"
# Blue, green, red, as VGG-16 was trained (Simonyan & Zisserman 2014)
IMAGENET_MEAN = (103.939, 116.779, 123.68)


class WeightsError(ValueError):
    """ImageNet weights that are neither at hand nor to be had."""


def vgg16_scratch(input_shape: Shape = FACE, classes: int = 7, dropout: float = 0.5) -> keras.Model:
    """The VGG of eight convolutions that has system C's 9,416,903 trainable parameters; not
    pretrained."""
    image = layers.Input(input_shape, name="image")
    x = image
    for filters, depth in VGG8:
        for _ in range(depth):
            x = Conv2D(filters, 3, padding="same", kernel_initializer=HE)(x)
            x = layers.ReLU()(batch_norm(x))
        x = layers.MaxPooling2D()(x)
    x = layers.Dense(1024, kernel_initializer=HE)(layers.Flatten()(x))
    x = Dropout(dropout)(layers.ReLU()(batch_norm(x)))
    return keras.Model({"image": image}, output(x, classes), name="vgg16_scratch")


def inception_v1(
    input_shape: Shape = FACE,
    classes: int = 7,
    stages: list = STAGES,
    dense: int = 256,
    dropout: float = 0.4,
) -> keras.Model:
    """GoogLeNet's stem and its modules 3a to 4c (Szegedy et al. 2015), then Dense: near system C's
    2,149,159.

    `stages`: a list of modules for each resolution. The stem keeps its strides of one: a face has
    48 pixels, not 224.
    """
    image = layers.Input(input_shape, name="image")
    x = layers.MaxPooling2D(3, 2, padding="same")(convolution(image, 64, 7))
    x = convolution(convolution(x, 64, 1), 192)
    for modules in stages:
        x = layers.MaxPooling2D(3, 2, padding="same")(x)
        for filters in modules:
            x = _inception(x, *filters)
    x = Dropout(dropout)(layers.GlobalAveragePooling2D()(x))
    x = layers.Dense(dense, activation="relu", kernel_initializer=HE)(x)
    return keras.Model({"image": image}, output(x, classes), name="inception_v1")


def vgg16_imagenet(
    input_shape: Shape = FACE,
    classes: int = 7,
    weights: str | None = "imagenet",
    dense: tuple[int, ...] = (1024, 2048),
    dropout: float = 0.5,
) -> keras.Model:
    """VGG-16 with ImageNet's weights below and dense layers of its own on top, which alone learn.
    Takes pixels 0..255.

    `weights`: 'imagenet' asks Keras, which downloads them once; a path, from the project's folder
    unless absolute, is Keras's file without its top; None draws them at random, to look at the
    network. `layers.learn_from` lets convolutions learn as well. Raises `WeightsError` when the
    weights are not there.
    """
    image = layers.Input(input_shape, name="image")
    x = layers.Rescaling(1.0, offset=[-mean for mean in IMAGENET_MEAN])(
        layers.Concatenate()([image] * 3)
    )
    x = layers.Flatten(name="features")(_convolutions(x, weights))
    for units in dense:
        x = Dropout(dropout)(layers.Dense(units, activation="relu", kernel_initializer=HE)(x))
    model = keras.Model({"image": image}, output(x, classes), name="vgg16_imagenet")
    learn_from(model, "features")
    return model


def _inception(x, one: int, before_3: int, three: int, before_5: int, five: int, pooled: int):
    """Four views of the same map side by side: 1×1, 3×3, 5×5 and the largest of 3×3 neighbours."""
    return layers.Concatenate()(
        [
            convolution(x, one, 1),
            convolution(convolution(x, before_3, 1), three, 3),
            convolution(convolution(x, before_5, 1), five, 5),
            convolution(layers.MaxPooling2D(3, 1, padding="same")(x), pooled, 1),
        ]
    )


def _convolutions(x, weights: str | None):
    """VGG-16's five blocks on top of `x` [n, h, w, 3], blue, green and red."""
    file: str | Path | None = weights
    if weights == "imagenet":
        _reachable()
    elif weights is not None:
        file = paths.ROOT / Path(weights).expanduser()
        if not Path(file).is_file():
            raise WeightsError(
                f"{artifacts.printable(weights)}: no such file; give Keras's {WEIGHTS_FILE}"
            )
    try:
        return keras.applications.VGG16(include_top=False, weights=file, input_tensor=x).output
    except Exception as error:  # a broken download, a damaged file, other layers raise what they do
        raise WeightsError(
            f"ImageNet weights of VGG-16 cannot be used ({type(error).__name__}); {ADVICE}"
        ) from error


def _reachable() -> None:
    """Ask with a short patience, which Keras's download lacks, whether the weights can be had."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    if (home / "models" / WEIGHTS_FILE).is_file():
        return
    try:
        page = urllib.request.Request(WEIGHTS_PAGE, method="HEAD")
        urllib.request.urlopen(page, timeout=5).close()
    except OSError as error:
        reason = artifacts.printable(getattr(error, "reason", error))
        raise WeightsError(
            f"ImageNet weights of VGG-16 cannot be downloaded here ({reason}); {ADVICE}"
        ) from error
