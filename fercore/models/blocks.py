"""What the builders of networks share."""

import keras
from keras import layers

from fercore.models.layers import BatchNormalization, Conv2D

FACE = (48, 48, 1)
Shape = tuple[int, int, int]


def batch_norm(x):
    """Batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167). Its averages follow the last
    hundred steps, not Keras's five hundred: a training of a few epochs is otherwise judged by
    weights it no longer has."""
    return BatchNormalization(momentum=0.95)(x)


def convolution(x, filters: int, size: int = 3, padding: str = "same"):
    """Convolution, batch normalisation, ReLU."""
    x = Conv2D(filters, size, padding=padding, use_bias=False, kernel_initializer="he_normal")(x)
    return layers.ReLU()(batch_norm(x))


def squeeze_excitation(x, reduction: int):
    """Channels weighed by what the whole map shows (Hu, Shen, Sun 2018, arXiv:1709.01507)."""
    channels = x.shape[-1]
    weights = layers.GlobalAveragePooling2D(keepdims=True)(x)
    weights = layers.Conv2D(
        channels // reduction, 1, activation="relu", kernel_initializer="he_normal"
    )(weights)
    return layers.Multiply()([x, layers.Conv2D(channels, 1, activation="sigmoid")(weights)])


def output(x, classes: int, activation: str = "softmax", initializer="glorot_uniform"):
    """The last layer, in float32 whatever the precision: 'softmax' or 'sigmoid' over the
    classes."""
    return layers.Dense(
        classes,
        activation=activation,
        kernel_initializer=initializer,
        dtype="float32",
        name="expression",
    )(x)


def learn_from(model: keras.Model, name: str) -> None:
    """Let the layer `name` and all after it learn; those before it stay as they are. Raises
    `ValueError`."""
    names = [layer.name for layer in model.layers]
    if name not in names:
        with_weights = ", ".join(layer.name for layer in model.layers if layer.weights)
        raise ValueError(
            f"layer {name!r}: {model.name} has none of this name; there are {with_weights}"
        )
    for place, layer in enumerate(model.layers):
        layer.trainable = place >= names.index(name)
