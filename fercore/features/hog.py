"""Histograms of oriented gradients (HOG), scikit-image's definition, of many faces at once.

Dalal, Triggs, 'Histograms of oriented gradients for human detection', CVPR 2005;
`skimage.feature.hog` with blocks of one cell. Sums over cells are products with matrices.
"""

from functools import cache

import numpy as np

from fercore import artifacts
from fercore.data.faces import SIDE
from fercore.features.sift import DescriptorError, check_images

FACES_A_PRODUCT = 256  # 19 MB of float32 with 8 orientations


def hog(images: np.ndarray, *, orientations: int = 8, cell: int = 16) -> np.ndarray:
    """HOG of whole faces: float32 [n, cells x cells x orientations] of `images` uint8 [n, 48, 48];
    72 values by default. `cell` is in pixels; each cell's histogram is of length 1 (norm "L2")."""
    return hog_windows(images, window=SIDE, step=SIDE, orientations=orientations, cell=cell)


def hog_windows(
    images: np.ndarray, *, window: int = 24, step: int = 6, orientations: int = 8, cell: int = 8
) -> np.ndarray:
    """HOG, as `hog`, of each window of a face: float32 [n, 2592] of `images` uint8 [n, 48, 48].

    Windows begin every `step` pixels; those that the border cuts are kept with their whole cells:
    along an axis 3, 3, 3, 3, 3, 2, 1 and 0, so 18 x 18. Order: window, cell, orientation, rows
    before columns. As in scikit-image, the gradient across a window's edge counts as zero.
    """
    check_images(images)
    inner, edge, order = layout(window, step, cell)
    result = np.empty((len(images), len(order) * orientations), np.float32)
    starts = range(0, len(images), FACES_A_PRODUCT)
    for start in artifacts.progress(starts, "HOG", len(starts)):
        part = slice(start, start + FACES_A_PRODUCT)
        cells = _cell_sums(images[part], orientations, inner, edge) / np.float32(cell * cell)
        cells = cells[:, order]
        length = np.sqrt(np.square(cells).sum(-1, keepdims=True) + np.float32(1e-10))
        result[part] = (cells / length).reshape(len(cells), -1)
    return result


@cache
def layout(window: int, step: int, cell: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which pixels of an axis each cell holds, float32 [cells, 48]: those inside its window, those
    at its very edge; and positions of all cells of a face, in [cells along y x cells along x],
    window after window. Raises `DescriptorError` for sizes in pixels that do not fit."""
    if not 2 <= cell <= window <= SIDE or step < 1:
        limits = f"need 2 <= cell <= window <= {SIDE}, step 1 or more"
        raise DescriptorError(f"HOG of cells of {cell} in windows of {window}, {step=}: {limits}")
    windows = [(first, min(first + window, SIDE)) for first in range(0, SIDE, step)]
    cells = [(a, b - 1, a + cell * k) for a, b in windows for k in range((b - a) // cell)]
    first, last, begin = np.array(cells).T
    pixels = np.arange(SIDE)
    held = (begin[:, None] <= pixels) & (pixels < begin[:, None] + cell)
    edge = (pixels == first[:, None]) | (pixels == last[:, None])
    along_y, along_x = np.divmod(np.arange(len(cells) ** 2), len(cells))
    order = np.lexsort((along_x, along_y, first[along_x], first[along_y]))
    return (held & ~edge).astype(np.float32), (held & edge).astype(np.float32), order


def _cell_sums(images, orientations: int, inner: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Gradient lengths by orientation, summed over cells: float32 [n, cells, orientations]."""
    down, right = np.zeros((2, *images.shape), np.int16)
    np.subtract(images[:, 2:], images[:, :-2], down[:, 1:-1], dtype=np.int16)
    np.subtract(images[:, :, 2:], images[:, :, :-2], right[:, :, 1:-1], dtype=np.int16)
    orientation, length = (table[down, right] for table in _gradients(orientations))
    histograms = np.zeros((len(images), orientations, SIDE, SIDE), np.float32)
    np.put_along_axis(histograms, orientation[:, None], length[:, None], axis=1)
    sums = inner @ (histograms @ inner.T)
    # At an edge only the gradient along it is left: horizontal (orientation 0) above and below,
    # vertical at the sides.
    sums[:, 0] += edge @ (np.abs(right).astype(np.float32) @ inner.T)
    sums[:, orientations // 2] += inner @ (np.abs(down).astype(np.float32) @ edge.T)
    return sums.reshape(len(images), orientations, -1).transpose(0, 2, 1)


@cache
def _gradients(orientations: int) -> tuple[np.ndarray, np.ndarray]:
    """Orientation and length of all gradients (down, right); negative ones count from the end."""
    down, right = (np.roll(one, (256, 256), (0, 1)) for one in np.mgrid[-255.0:256, -255.0:256])
    angle = np.rad2deg(np.arctan2(down, right)) % 180
    limits = 180 / orientations * np.arange(1, orientations)
    return np.digitize(angle, limits), np.hypot(down, right).astype(np.float32)
