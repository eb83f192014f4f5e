"""Dense SIFT as a Keras layer: the descriptor of the picture that the network sees, augmented as it
is."""

import cv2
import keras
import numpy as np
from keras import layers, ops

from fercore.features import sift

BINS, ORIENTATIONS = 4, 8  # of a descriptor: 4 x 4 places, 8 orientations
BLUR = np.sqrt(1.6**2 - 0.5**2)  # that OpenCV gives a picture before it takes gradients
CELLS_PER_SIZE = 1.5  # side of a place in diameters of the keypoint: 3 times half of it
LARGEST = 0.2  # share of a descriptor's length that one value keeps
BYTE = 255 / 512  # OpenCV stores 512 times a value as a byte


@keras.saving.register_keras_serializable("fercore")
class DenseSiftLayer(layers.Layer):
    """SIFT descriptors on a regular grid: pictures [b, side, side, 1] in, float32 [b, keypoints x
    128] out.

    The values are those of `sift.DenseSift` divided by 512, but for its rounding to bytes; a
    descriptor has length 1. Brightness and contrast of the pictures cancel out. Blurred gradients
    are linear in the pixels, and what a place gets is linear in the gradients' magnitudes, so that
    all is a few small matrix products. `step`, `size` and `first` are as in `sift.DenseSift`, in
    pixels. Nothing is learnt, and no gradient passes.

    Lowe, 'Distinctive image features from scale-invariant keypoints', IJCV 2004, section 6, as
    OpenCV computes it.
    """

    def __init__(self, step: int = 12, size: int = 12, first: int = 6, **options):
        super().__init__(**options | {"dtype": "float32"})
        self.step, self.size, self.first = step, size, first

    def build(self, input_shape: tuple) -> None:
        """Raises `ValueError` where pictures are not square and grey."""
        side = input_shape[1]
        if tuple(input_shape[1:]) != (side, side, 1):
            raise ValueError(
                f"dense SIFT takes grey square pictures [b, side, side, 1], not {list(input_shape)}"
            )
        keypoints = sift.grid(self.step, self.size, self.first, side)
        self._blur = _blur(side)
        self._slope = _difference(side) @ self._blur
        self._places = np.concatenate([_places(keypoint, side) for keypoint in keypoints], axis=1)
        self._angle = keypoints[0].angle

    def call(self, pictures):
        """Blurred gradients, their magnitudes shared by orientation, summed by place, brought to
        length 1."""
        pictures = ops.stop_gradient(pictures[..., 0])
        pictures -= ops.mean(
            pictures, axis=(1, 2), keepdims=True
        )  # so that a constant one has no gradient at all
        across = ops.matmul(ops.matmul(self._blur, pictures), self._slope.T)
        up = -ops.matmul(ops.matmul(self._slope, pictures), self._blur.T)
        magnitude = ops.sqrt(across**2 + up**2)
        turn = (ops.arctan2(up, across) / (2 * np.pi) + self._angle / 360) * ORIENTATIONS
        bins = np.arange(ORIENTATIONS, dtype="float32")[:, None]
        flat = [ops.reshape(x, (-1, 1, x.shape[1] * x.shape[2])) for x in (turn, magnitude)]
        distance = ops.abs(
            ops.mod(flat[0] - bins + ORIENTATIONS / 2, ORIENTATIONS) - ORIENTATIONS / 2
        )
        shares = ops.maximum(1 - distance, 0) * flat[1]
        sums = ops.matmul(shares, self._places)  # [b, orientations, keypoints x places]
        sums = ops.reshape(
            ops.transpose(sums, (0, 2, 1)), (-1, self._places.shape[1] // BINS**2, sift.LENGTH)
        )
        sums = ops.minimum(sums, LARGEST * _length(sums))
        values = ops.minimum(sums / ops.maximum(_length(sums), 1e-6), BYTE)
        return ops.reshape(values, (-1, self._places.shape[1] * ORIENTATIONS))

    def get_config(self) -> dict:
        return super().get_config() | {"step": self.step, "size": self.size, "first": self.first}


def _length(values):
    return ops.sqrt(ops.sum(values**2, axis=-1, keepdims=True))


def _blur(side: int) -> np.ndarray:
    """Matrix float32 [side, side] that blurs a column of pixels as OpenCV does, mirrored at the
    borders."""
    width = int(np.rint(8 * BLUR + 1)) | 1
    kernel = cv2.getGaussianKernel(width, BLUR, cv2.CV_32F)
    return cv2.sepFilter2D(np.eye(side, dtype=np.float32), -1, np.ones(1, np.float32), kernel)


def _difference(side: int) -> np.ndarray:
    """Matrix float32 [side, side] of what follows a pixel minus what is before it; 0 at both
    ends."""
    matrix = np.eye(side, k=1, dtype=np.float32) - np.eye(side, k=-1, dtype=np.float32)
    matrix[[0, -1]] = 0
    return matrix


def _places(keypoint: cv2.KeyPoint, side: int) -> np.ndarray:
    """How much of the gradient at each pixel goes to each place of the keypoint, float32 [side x
    side, 16]: linear in the distance from the middle of the place, falling off as a Gaussian with
    that from the keypoint."""
    cell = CELLS_PER_SIZE * keypoint.size
    turned = np.deg2rad(360 - keypoint.angle)
    down, right = np.mgrid[:side, :side].astype(np.float64)
    down, right = (down - round(keypoint.pt[1])) / cell, (right - round(keypoint.pt[0])) / cell
    row = right * np.sin(turned) + down * np.cos(turned)
    column = right * np.cos(turned) - down * np.sin(turned)
    weight = np.exp(-(row**2 + column**2) / (BINS**2 / 2))
    weight[[0, -1]] = weight[:, [0, -1]] = 0  # OpenCV takes no gradients at the border
    middles = np.arange(BINS)[:, None, None] - (BINS - 1) / 2
    rows, columns = (np.maximum(1 - np.abs(x - middles), 0) for x in (row, column))
    shares = weight * rows[:, None] * columns[None]
    return shares.reshape(BINS**2, side * side).T.astype(np.float32)
