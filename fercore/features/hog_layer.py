"""HOG in a sliding window as a Keras layer: that of the picture that the network sees, augmented as
it is."""

import keras
import numpy as np
from keras import layers, ops

from fercore.data.faces import SIDE
from fercore.features import hog

BORDER = 2e-5  # of an orientation: what rounding leaves so little below the next one belongs there


@keras.saving.register_keras_serializable("fercore")
class HogLayer(layers.Layer):
    """Histograms of oriented gradients of each window: pictures [b, 48, 48, 1] in, float32 [b,
    2592] out by default.

    The values are those of `hog.hog_windows` with the norm "L2", whose words `window`, `step`,
    `cell` (pixels) and `orientations` are used here; one window as large as the picture gives
    `hog.hog`. Brightness and contrast of the pictures cancel out. Nothing is learnt, and no
    gradient passes.
    """

    def __init__(
        self, window: int = 24, step: int = 6, cell: int = 8, orientations: int = 8, **options
    ):
        super().__init__(**options | {"dtype": "float32"})
        self.window, self.step, self.cell, self.orientations = window, step, cell, orientations

    def build(self, input_shape: tuple) -> None:
        """Raises `ValueError` where pictures are not grey and of 48 pixels, or cells do not fit."""
        if tuple(input_shape[1:]) != (SIDE, SIDE, 1):
            raise ValueError(
                f"HOG takes grey pictures [b, {SIDE}, {SIDE}, 1], not {list(input_shape)}"
            )
        hog.check(self.window, self.step, self.orientations, self.cell)
        self._inner, self._edge = hog.membership(self.window, self.step, self.cell)
        self._order = hog.order(self.window, self.step, self.cell)

    def call(self, pictures):
        """Gradients by orientation, summed over cells, each cell's histogram of length 1."""
        pictures = ops.stop_gradient(pictures[..., 0])
        down = ops.pad(pictures[:, 2:] - pictures[:, :-2], [(0, 0), (1, 1), (0, 0)])
        right = ops.pad(pictures[:, :, 2:] - pictures[:, :, :-2], [(0, 0), (0, 0), (1, 1)])
        turn = ops.floor(ops.arctan2(down, right) / np.pi * self.orientations + BORDER)
        bins = np.arange(self.orientations, dtype="float32")[:, None, None]
        own = ops.cast(ops.equal(ops.mod(turn, self.orientations)[:, None], bins), "float32")
        histograms = own * ops.sqrt(down**2 + right**2)[:, None]
        sums = _sums(histograms, self._inner, self._inner)
        # At an edge only the gradient along it is left: horizontal above and below (orientation 0),
        # vertical at sides.
        along = [
            _sums(ops.abs(right), self._edge, self._inner),
            _sums(ops.abs(down), self._inner, self._edge),
        ]
        for orientation, each in zip((0, self.orientations // 2), along, strict=True):
            sums += each[:, None] * (bins == orientation)
        cells = ops.take(
            ops.reshape(sums, (-1, self.orientations, len(self._inner) ** 2)), self._order, axis=2
        )
        length = ops.sqrt(ops.sum(cells**2, axis=1, keepdims=True))
        cells = ops.transpose(cells / ops.maximum(length, 1e-5), (0, 2, 1))
        return ops.reshape(cells, (-1, len(self._order) * self.orientations))

    def get_config(self) -> dict:
        return super().get_config() | {
            "window": self.window,
            "step": self.step,
            "cell": self.cell,
            "orientations": self.orientations,
        }


def _sums(values, rows, columns):
    """Of values [..., 48, 48] over the pixels that cells hold, [cells, 48] along each axis: [...,
    cells, cells]."""
    return ops.matmul(ops.matmul(rows, values), columns.T)
