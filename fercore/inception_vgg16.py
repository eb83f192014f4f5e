"""System C: two VGG-16 and an Inception-v1, made for faces of 48×48."""
from pathlib import Path

import keras
from keras import layers

from fercore.blocks import FACE, Shape, convolution, output

VGG8 = [(64, 2), (128, 2), (256, 2), (512, 2)]
# Inception-v1's modules by stage: filters of 1×1, of 3×3 and what narrows its input, of 5×5 likewise, after pooling
STAGES = [
    [(64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)],
    [(192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64)],
]
IMAGENET_MEAN = (103.939, 116.779, 123.68)  # blue, green, red, as VGG-16 was trained (Simonyan & Zisserman 2014)


class WeightsError(ValueError):
    """ImageNet weights that are neither at hand nor to be had."""


def vgg16_scratch(input_shape: Shape = FACE, classes: int = 7, dropout: float = 0.5) -> keras.Model:
    """The VGG of eight convolutions that has system C's 9,416,903 trainable parameters; not pretrained."""
    image = layers.Input(input_shape, name="image")
    x = image
    for filters, depth in VGG8:
        for _ in range(depth):
            x = layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal")(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.MaxPooling2D()(x)
    x = layers.Dense(1024, kernel_initializer="he_normal")(layers.Flatten()(x))
    x = layers.Dropout(dropout)(layers.ReLU()(layers.BatchNormalization()(x)))
    return keras.Model({"image": image}, output(x, classes), name="vgg16_scratch")


def inception_v1(
    input_shape: Shape = FACE, classes: int = 7, stages: list = STAGES, dense: int = 256, dropout: float = 0.4
) -> keras.Model:
    """GoogLeNet's stem and its modules 3a to 4c (Szegedy et al. 2015), then Dense: near system C's 2,149,159.

    `stages`: a list of modules for each resolution. The stem keeps its strides of one: a face has 48 pixels, not 224.
    """
    image = layers.Input(input_shape, name="image")
    x = layers.MaxPooling2D(3, 2, padding="same")(convolution(image, 64, 7))
    x = convolution(convolution(x, 64, 1), 192)
    for modules in stages:
        x = layers.MaxPooling2D(3, 2, padding="same")(x)
        for filters in modules:
            x = _inception(x, *filters)
    x = layers.Dropout(dropout)(layers.GlobalAveragePooling2D()(x))
    x = layers.Dense(dense, activation="relu", kernel_initializer="he_normal")(x)
    return keras.Model({"image": image}, output(x, classes), name="inception_v1")


def vgg16_imagenet(
    input_shape: Shape = FACE, classes: int = 7, weights: str = "imagenet", trainable_from: str | None = None,
    dense: tuple[int, ...] = (1024, 2048), dropout: float = 0.5,
) -> keras.Model:
    """VGG-16 with ImageNet's weights below and dense layers of its own on top. Takes pixels 0..255.

    `weights`: 'imagenet' asks Keras to download them, a path reads Keras's file without its top. The convolutions stay
    as they are, from the layer `trainable_from` on they learn. Raises `WeightsError` when the weights are not there.
    """
    image = layers.Input(input_shape, name="image")
    base = _imagenet_base((*input_shape[:2], 3), weights)
    names = [layer.name for layer in base.layers]
    if trainable_from is not None and trainable_from not in names:
        raise ValueError(f"trainable_from {trainable_from!r} is no layer of VGG-16; there are {', '.join(names[1:])}")
    first = names.index(trainable_from) if trainable_from else len(names)
    for place, layer in enumerate(base.layers):
        layer.trainable = place >= first
    x = layers.Rescaling(1.0, offset=[-mean for mean in IMAGENET_MEAN])(layers.Concatenate()([image] * 3))
    x = layers.Flatten()(base(x))
    for units in dense:
        x = layers.Dropout(dropout)(layers.Dense(units, activation="relu", kernel_initializer="he_normal")(x))
    return keras.Model({"image": image}, output(x, classes), name="vgg16_imagenet")


def _inception(x, ones: int, before_three: int, threes: int, before_five: int, fives: int, pooled: int):
    """Four views of the same map side by side: 1×1, 3×3, 5×5 and the largest of 3×3 neighbours."""
    return layers.Concatenate()([
        convolution(x, ones, 1),
        convolution(convolution(x, before_three, 1), threes, 3),
        convolution(convolution(x, before_five, 1), fives, 5),
        convolution(layers.MaxPooling2D(3, 1, padding="same")(x), pooled, 1),
    ])


def _imagenet_base(shape: Shape, weights: str) -> keras.Model:
    if weights != "imagenet" and not Path(weights).is_file():
        raise WeightsError(f"{weights}: no such file; give Keras's vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5")
    try:
        return keras.applications.VGG16(include_top=False, weights=weights, input_shape=shape)
    except Exception as error:  # no network, a refused address, a damaged file: each raises its own kind
        where = "could not be downloaded" if weights == "imagenet" else "do not fit VGG-16"
        raise WeightsError(f"ImageNet weights of VGG-16 {where} ({type(error).__name__}); give the path of Keras's "
                           "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 as parameter `weights`") from error
