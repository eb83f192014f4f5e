"""The study's large network: residual blocks with squeeze and excitation, for a GPU; the compact
network's teacher."""

import keras
from keras import layers

from fercore.models.blocks import Shape, batch_norm, convolution, output, squeeze_excitation
from fercore.models.layers import Conv2D, Dropout


def residual(
    input_shape: Shape = (44, 44, 1),
    classes: int = 7,
    filters: tuple[int, ...] = (64, 128, 256, 512),
    blocks: tuple[int, ...] = (1, 2, 2, 2),
    squeeze: int = 16,
    dropout: float = 0.4,
) -> keras.Model:
    """A residual network (He et al. 2016) in stages of `filters` and `blocks`, each but the first
    at half the side.

    A block: two 3×3 convolutions, its channels weighed (`squeeze` as in SE-ResNet, Hu et al. 2018),
    plus its input, which is averaged over 2×2 pixels where the side is halved (ResNet-D, He et al.
    2019, arXiv:1812.01187).
    """
    image = layers.Input(input_shape, name="image")
    x = convolution(image, filters[0])
    for stage, (width, depth) in enumerate(zip(filters, blocks, strict=True)):
        for block in range(depth):
            x = _block(x, width, squeeze, halve=stage > 0 and block == 0)
    x = Dropout(dropout)(layers.GlobalAveragePooling2D()(x))
    return keras.Model({"image": image}, output(x, classes), name="residual")


def _block(x, width: int, squeeze: int, halve: bool):
    shortcut = layers.AveragePooling2D(2, padding="same")(x) if halve else x
    if x.shape[-1] != width:
        shortcut = batch_norm(_plain(shortcut, width, 1))
    x = layers.ReLU()(batch_norm(_plain(x, width, 3, strides=2 if halve else 1)))
    x = squeeze_excitation(batch_norm(_plain(x, width, 3)), squeeze)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _plain(x, width: int, size: int, strides: int = 1):
    return Conv2D(
        width, size, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
