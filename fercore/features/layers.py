"""Dense SIFT and HOG as Keras layers, of the picture that the network sees. Nothing is learnt."""

import cv2
import keras
import numpy as np
from keras import layers, ops

from fercore.data.faces import SIDE
from fercore.features import hog, sift

BINS, ORIENTATIONS = 4, 8  # of a SIFT descriptor: 4 x 4 places, 8 orientations
BLUR = np.sqrt(1.6**2 - 0.5**2)  # that OpenCV gives a picture before it takes gradients
LARGEST = 0.2  # share of a descriptor's length that one value keeps
BORDER = 2e-5  # of an orientation: what rounding leaves so little below the next one belongs there


@keras.saving.register_keras_serializable("fercore")
class DenseSiftLayer(layers.Layer):
    """`sift.dense_sift` (Lowe, IJCV 2004, section 6) of pictures [b, side, side, 1], divided by 512
    and not rounded to bytes: float32 [b, keypoints x 128]."""

    def __init__(self, step: int = 12, size: int = 12, first: int = 6, **options):
        super().__init__(**options | {"dtype": "float32"})
        self.step, self.size, self.first = step, size, first

    def build(self, input_shape: tuple) -> None:
        side = input_shape[1]
        if tuple(input_shape[1:]) != (side, side, 1):
            wanted = "gray square pictures [b, side, side, 1]"
            raise ValueError(f"dense SIFT takes {wanted}, not {list(input_shape)}")
        keypoints = sift.grid(self.step, self.size, self.first, side)
        # what blurs a column of pixels as OpenCV does
        kernel = cv2.getGaussianKernel(int(np.rint(8 * BLUR + 1)) | 1, BLUR, cv2.CV_32F)
        self._blur = cv2.sepFilter2D(np.eye(side, dtype="f4"), -1, np.ones(1, "f4"), kernel)
        # The next pixel minus the one before; 0 at both ends.
        difference = np.eye(side, k=1, dtype=np.float32) - np.eye(side, k=-1, dtype=np.float32)
        difference[[0, -1]] = 0
        self._slope = difference @ self._blur
        self._places = np.concatenate([_places(keypoint, side) for keypoint in keypoints], axis=1)
        self._angle = keypoints[0].angle

    def call(self, pictures):
        """Blurred gradients, shared by orientation, summed by place, brought to length 1."""
        pictures = ops.stop_gradient(pictures[..., 0])
        # Without its mean a constant picture has no gradient at all.
        pictures -= ops.mean(pictures, axis=(1, 2), keepdims=True)
        across = ops.matmul(ops.matmul(self._blur, pictures), self._slope.T)
        up = -ops.matmul(ops.matmul(self._slope, pictures), self._blur.T)
        magnitude = ops.sqrt(across**2 + up**2)
        turn = (ops.arctan2(up, across) / (2 * np.pi) + self._angle / 360) * ORIENTATIONS
        bins = np.arange(ORIENTATIONS, dtype="float32")[:, None]
        flat = [ops.reshape(x, (-1, 1, x.shape[1] * x.shape[2])) for x in (turn, magnitude)]
        half = ORIENTATIONS / 2
        distance = ops.abs(ops.mod(flat[0] - bins + half, ORIENTATIONS) - half)
        shares = ops.maximum(1 - distance, 0) * flat[1]
        sums = ops.matmul(shares, self._places)  # [b, orientations, keypoints x places]
        keypoints = self._places.shape[1] // BINS**2
        sums = ops.reshape(ops.transpose(sums, (0, 2, 1)), (-1, keypoints, sift.LENGTH))
        sums = ops.minimum(sums, LARGEST * _length(sums))
        values = sums / ops.maximum(_length(sums), 1e-6)
        values = ops.minimum(values, 255 / 512)  # OpenCV stores 512 times a value as a byte
        return ops.reshape(values, (-1, keypoints * sift.LENGTH))

    def get_config(self) -> dict:
        return super().get_config() | {"step": self.step, "size": self.size, "first": self.first}


@keras.saving.register_keras_serializable("fercore")
class HogLayer(layers.Layer):
    """`hog.hog_windows` of pictures [b, 48, 48, 1]: float32 [b, 2592] by default."""

    def __init__(
        self, window: int = 24, step: int = 6, cell: int = 8, orientations: int = 8, **options
    ):
        super().__init__(**options | {"dtype": "float32"})
        self.sizes = {"window": window, "step": step, "cell": cell, "orientations": orientations}

    def build(self, input_shape: tuple) -> None:
        if tuple(input_shape[1:]) != (SIDE, SIDE, 1):
            given = list(input_shape)
            raise ValueError(f"HOG takes gray pictures [b, {SIDE}, {SIDE}, 1], not {given}")
        where = (self.sizes[name] for name in ("window", "step", "cell"))
        self._inner, self._edge, self._order = hog.layout(*where)

    def call(self, pictures):
        """Gradients by orientation, summed over cells, each cell's histogram of length 1."""
        orientations = self.sizes["orientations"]
        pictures = ops.stop_gradient(pictures[..., 0])
        down = ops.pad(pictures[:, 2:] - pictures[:, :-2], [(0, 0), (1, 1), (0, 0)])
        right = ops.pad(pictures[:, :, 2:] - pictures[:, :, :-2], [(0, 0), (0, 0), (1, 1)])
        turn = ops.floor(ops.arctan2(down, right) / np.pi * orientations + BORDER)
        bins = np.arange(orientations, dtype="float32")[:, None, None]
        own = ops.cast(ops.equal(ops.mod(turn, orientations)[:, None], bins), "float32")
        sums = _sums(own * ops.sqrt(down**2 + right**2)[:, None], self._inner, self._inner)
        # as in `hog`, at an edge only the gradient along it is left
        sums += _sums(ops.abs(right), self._edge, self._inner)[:, None] * (bins == 0)
        sums += _sums(ops.abs(down), self._inner, self._edge)[:, None] * (bins == orientations // 2)
        sums = ops.reshape(sums, (-1, orientations, len(self._inner) ** 2))
        cells = ops.take(sums, self._order, axis=2)
        length = ops.sqrt(ops.sum(cells**2, axis=1, keepdims=True))
        cells = ops.transpose(cells / ops.maximum(length, 1e-5), (0, 2, 1))
        return ops.reshape(cells, (-1, len(self._order) * orientations))

    def get_config(self) -> dict:
        return super().get_config() | dict(self.sizes)


def _length(values):
    return ops.sqrt(ops.sum(values**2, axis=-1, keepdims=True))


def _places(keypoint: cv2.KeyPoint, side: int) -> np.ndarray:
    """How much of each pixel's gradient goes to each place of the keypoint, float32 [pixels, 16]:
    linear in the distance from the place's middle, Gaussian in that from the keypoint."""
    cell = 1.5 * keypoint.size  # side of a place: 3 times half the diameter
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


def _sums(values, rows, columns):
    """Sums [..., cells, cells] of values [..., 48, 48] over the pixels that cells hold."""
    return ops.matmul(ops.matmul(rows, values), columns.T)
