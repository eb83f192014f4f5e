"""The study's own network: small enough to train in under an hour on two cores, and to ship with
the repository."""

import keras
from keras import layers

from fercore.models.blocks import Shape, convolution, output, squeeze_excitation
from fercore.models.layers import Dropout


def compact(
    input_shape: Shape = (40, 40, 1),
    classes: int = 7,
    filters: tuple[int, ...] = (24, 64, 160, 320),
    dropout: float = 0.2,
    squeeze: int = 0,
) -> keras.Model:
    """Eight 3×3 convolutions in four stages, each twice `filters` and pooled, then global average
    pooling.

    The late stages are wide and the early ones narrow: at full resolution time goes into memory,
    not arithmetic. But a processor takes longer for 24 channels than for 32, which fill its vectors
    of bfloat16. `squeeze`: each stage ends with squeeze and excitation, by so many times fewer
    units than channels; 0 for none.
    """
    image = layers.Input(input_shape, name="image")
    x = image
    for stage, width in enumerate(filters):
        if stage:
            x = layers.MaxPooling2D()(x)
        x = convolution(convolution(x, width), width)
        x = squeeze_excitation(x, squeeze) if squeeze else x
    x = Dropout(dropout)(layers.GlobalAveragePooling2D()(x))
    return keras.Model({"image": image}, output(x, classes), name="compact")
