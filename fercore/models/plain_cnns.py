"""Systems B and D: convolutional networks that see nothing but pixels."""

import keras
from keras import layers

from fercore.models.layers import FACE, HE, Conv2D, Dropout, Shape, batch_norm, output


def shallow_cnn(
    input_shape: Shape = FACE,
    classes: int = 7,
    activation: str = "softmax",
    variant: str = "readme",
) -> keras.Model:
    """System B's shallow CNN. `variant` 'readme': Conv 32 and 64 of 3×3, Dense 512, as its table
    describes it; 'source': Conv 64 of 3×3, Conv 128 of 5×5, Dense 256, as its code builds it.
    `activation`: softmax or sigmoid."""
    variants = {"readme": ([(32, 3), (64, 3)], [512]), "source": ([(64, 3), (128, 5)], [256])}
    if variant not in variants:
        raise ValueError(f"variant {variant!r} is none of {', '.join(variants)}")
    return _system_b("shallow_cnn", *variants[variant], input_shape, classes, activation)


def deep_cnn(
    input_shape: Shape = FACE, classes: int = 7, activation: str = "softmax", dropout: float = 0.25
) -> keras.Model:
    """System B's deep CNN: four convolutions and two dense layers. Published with 'sigmoid' as
    `activation`."""
    convolutions = [(64, 3), (128, 5), (512, 3), (512, 3)]
    return _system_b(
        "deep_cnn", convolutions, [256, 512], input_shape, classes, activation, dropout
    )


def five_class_cnn(input_shape: Shape = FACE, classes: int = 5) -> keras.Model:
    """System D's CNN: 1,004,805 parameters with five classes."""
    image = layers.Input(input_shape, name="image")
    x = image
    for filters, dropout in [(64, 0.0), (128, 0.3), (256, 0.0), (256, 0.0)]:
        x = Conv2D(filters, 3, kernel_initializer=HE)(x)
        if dropout:
            x = Dropout(dropout)(x)
        x = layers.MaxPooling2D()(batch_norm(layers.ReLU()(x)))
    x = layers.Flatten()(x)
    for units, dropout in [(128, 0.25), (64, 0.0)]:
        x = layers.Dense(units, activation="relu", kernel_initializer=HE)(x)
        x = batch_norm(x)
        if dropout:
            x = Dropout(dropout)(x)
    return keras.Model({"image": image}, output(x, classes), name="five_class_cnn")


def _system_b(
    name: str,
    convolutions: list,
    dense: list,
    input_shape: Shape,
    classes: int,
    activation: str,
    dropout: float = 0.25,
):
    """Convolutions (filters, size) with pooling, then dense layers: each normalised, ReLU,
    dropout."""
    image = layers.Input(input_shape, name="image")
    x = image
    for filters, size in convolutions:
        x = Conv2D(filters, size, padding="same", kernel_initializer=HE)(x)
        x = layers.MaxPooling2D()(layers.ReLU()(batch_norm(x)))
        x = Dropout(dropout)(x)
    x = layers.Flatten()(x)
    for units in dense:
        x = layers.Dense(units, kernel_initializer=HE)(x)
        x = Dropout(dropout)(layers.ReLU()(batch_norm(x)))
    return keras.Model({"image": image}, output(x, classes, activation), name=name)
