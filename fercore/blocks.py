"""What the builders of networks share."""
from keras import layers

FACE = (48, 48, 1)
Shape = tuple[int, int, int]


def convolution(x, filters: int, size: int = 3, padding: str = "same"):
    """Convolution, batch normalisation, ReLU."""
    x = layers.Conv2D(filters, size, padding=padding, use_bias=False, kernel_initializer="he_normal")(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def output(x, classes: int, activation: str = "softmax", initializer="glorot_uniform"):
    """The last layer, in float32 whatever the precision: 'softmax' or 'sigmoid' over the classes."""
    return layers.Dense(classes, activation=activation, kernel_initializer=initializer, dtype="float32",
                        name="expression")(x)
