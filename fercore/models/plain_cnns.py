"""Systems B, C and D: convolutional networks that see nothing but pixels."""

import socket
from pathlib import Path

import keras
from keras import layers

from fercore import artifacts, paths
from fercore.models.layers import FACE, HE, Conv2D, Dropout, Shape, batch_norm, convolution, output

# Inception-v1's modules by stage: filters of 1×1, of 3×3 and what narrows its input, of 5×5
# likewise, after pooling
STAGES = [
    [(64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)],
    [(192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64)],
]
WEIGHTS_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_MEAN = (103.939, 116.779, 123.68)  # blue, green, red (Simonyan & Zisserman 2014)
PATIENCE = 10  # seconds that a server may keep silent


class WeightsError(ValueError):
    """ImageNet weights that are neither at hand nor to be downloaded."""


def shallow_cnn(
    input_shape: Shape = FACE,
    classes: int = 7,
    activation: str = "softmax",
    variant: str = "readme",
) -> keras.Model:
    """System B's shallow CNN. `variant` 'readme': as its table describes it; 'source': as its code
    builds it. `activation`: softmax or sigmoid."""
    variants = {"readme": ([(32, 3), (64, 3)], [512]), "source": ([(64, 3), (128, 5)], [256])}
    if variant not in variants:
        raise ValueError(f"variant {variant!r} is not one of {', '.join(variants)}")
    return _system_b("shallow_cnn", *variants[variant], input_shape, classes, activation)


def deep_cnn(
    input_shape: Shape = FACE, classes: int = 7, activation: str = "softmax", dropout: float = 0.25
) -> keras.Model:
    """System B's deep CNN: four convolutions and two dense layers; published with sigmoid."""
    sizes = [(64, 3), (128, 5), (512, 3), (512, 3)], [256, 512]
    return _system_b("deep_cnn", *sizes, input_shape, classes, activation, dropout)


def vgg16_scratch(input_shape: Shape = FACE, classes: int = 7, dropout: float = 0.5) -> keras.Model:
    """System C's VGG of eight convolutions, 9,416,903 trainable parameters, not pretrained."""
    x = image = layers.Input(input_shape, name="image")
    for filters in (64, 128, 256, 512):
        for _ in range(2):
            x = Conv2D(filters, 3, padding="same", kernel_initializer=HE)(x)
            x = layers.ReLU()(batch_norm(x))
        x = layers.MaxPooling2D()(x)
    x = layers.Dense(1024, kernel_initializer=HE)(layers.Flatten()(x))
    x = Dropout(dropout)(layers.ReLU()(batch_norm(x)))
    return keras.Model({"image": image}, output(x, classes), name="vgg16_scratch")


def inception_v1(
    input_shape: Shape = FACE, classes: int = 7, stages: list = STAGES, dropout: float = 0.4
) -> keras.Model:
    """System C's GoogLeNet: stem and modules 3a to 4c (Szegedy et al. 2015), a list of them for
    each resolution, then Dense: near its 2,149,159 parameters."""
    image = layers.Input(input_shape, name="image")
    x = layers.MaxPooling2D(3, 2, padding="same")(convolution(image, 64, 7))
    x = convolution(convolution(x, 64, 1), 192)
    for modules in stages:
        x = layers.MaxPooling2D(3, 2, padding="same")(x)
        for one, before_3, three, before_5, five, pooled in modules:
            views = [
                convolution(x, one, 1),
                convolution(convolution(x, before_3, 1), three, 3),
                convolution(convolution(x, before_5, 1), five, 5),
                convolution(layers.MaxPooling2D(3, 1, padding="same")(x), pooled, 1),
            ]
            x = layers.Concatenate()(views)
    x = Dropout(dropout)(layers.GlobalAveragePooling2D()(x))
    x = layers.Dense(256, activation="relu", kernel_initializer=HE)(x)
    return keras.Model({"image": image}, output(x, classes), name="inception_v1")


def vgg16_imagenet(
    input_shape: Shape = FACE,
    classes: int = 7,
    weights: str | None = "imagenet",
    dropout: float = 0.5,
) -> keras.Model:
    """System C's VGG-16 with ImageNet's weights below and dense layers of its own on top, which
    alone learn. Takes pixels 0..255.

    `weights`: 'imagenet' asks Keras, which downloads them once; a path, from the project's folder
    unless absolute, is Keras's file without its top; None: random ones. Raises `WeightsError`.
    """
    image = layers.Input(input_shape, name="image")
    centred = layers.Rescaling(1.0, offset=[-mean for mean in IMAGENET_MEAN])
    x = centred(layers.Concatenate()([image] * 3))
    x = layers.Flatten(name="features")(_imagenet(x, weights))
    for units in (1024, 2048):
        x = Dropout(dropout)(layers.Dense(units, activation="relu", kernel_initializer=HE)(x))
    return keras.Model({"image": image}, output(x, classes), name="vgg16_imagenet")


def five_class_cnn(input_shape: Shape = FACE, classes: int = 5) -> keras.Model:
    """System D's CNN: 1,004,805 parameters with five classes."""
    x = image = layers.Input(input_shape, name="image")
    for filters in (64, 128, 256, 256):
        x = Conv2D(filters, 3, kernel_initializer=HE)(x)
        x = Dropout(0.3)(x) if filters == 128 else x
        x = layers.MaxPooling2D()(batch_norm(layers.ReLU()(x)))
    x = layers.Flatten()(x)
    x = batch_norm(layers.Dense(128, activation="relu", kernel_initializer=HE)(x))
    x = Dropout(0.25)(x)
    x = batch_norm(layers.Dense(64, activation="relu", kernel_initializer=HE)(x))
    return keras.Model({"image": image}, output(x, classes), name="five_class_cnn")


def _system_b(
    name: str,
    convolutions: list,
    dense: list,
    input_shape: Shape,
    classes: int,
    activation: str,
    dropout: float = 0.25,
) -> keras.Model:
    """Convolutions (filters, size) with pooling, dense layers: each normalised, ReLU, dropout."""
    x = image = layers.Input(input_shape, name="image")
    for filters, size in convolutions:
        x = Conv2D(filters, size, padding="same", kernel_initializer=HE)(x)
        x = layers.MaxPooling2D()(layers.ReLU()(batch_norm(x)))
        x = Dropout(dropout)(x)
    x = layers.Flatten()(x)
    for units in dense:
        x = layers.Dense(units, kernel_initializer=HE)(x)
        x = Dropout(dropout)(layers.ReLU()(batch_norm(x)))
    return keras.Model({"image": image}, output(x, classes, activation), name=name)


def _imagenet(x, weights: str | None):
    """VGG-16's five blocks, which do not learn, on top of `x` [n, h, w, 3], blue, green and red."""
    file = weights if weights in ("imagenet", None) else paths.ROOT / Path(weights).expanduser()
    if isinstance(file, Path) and not file.is_file():
        name = artifacts.printable(weights)
        raise WeightsError(f"{name}: no such file; give Keras's {WEIGHTS_FILE}")
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)  # Keras's download has none of its own
    try:
        vgg = keras.applications.VGG16(include_top=False, weights=file, input_tensor=x)
    except Exception as error:  # a broken download, a damaged file, other layers raise what they do
        fault = f"VGG-16's cannot be had ({artifacts.printable(error.__context__ or error)})"
        cure = f"give the path of Keras's {WEIGHTS_FILE} as parameter `weights`"
        raise WeightsError(f"ImageNet weights: {fault}; {cure}") from error
    finally:
        socket.setdefaulttimeout(before)
    vgg.trainable = False
    return vgg.output
