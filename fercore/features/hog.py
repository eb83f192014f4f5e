"""Histograms of oriented gradients (HOG) of faces, in scikit-image's definition, of many faces at
once.

Dalal, Triggs, 'Histograms of oriented gradients for human detection', CVPR 2005;
`skimage.feature.hog` with blocks of one cell. Gradients of grey values are whole numbers, so that
direction and length come from a table, and a cell's sum over its pixels is a product with a matrix
of zeros and ones: the same values without a call for each window.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np

from fercore import artifacts
from fercore.data.faces import SIDE
from fercore.features.sift import DescriptorError, check_images

NORMS = ("L1", "L2", "L2-Hys")
FACES_A_PRODUCT = 256  # 19 MB of float32 with 8 orientations
_EPSILON = 1e-5


def hog(
    images: np.ndarray, *, orientations: int = 8, cell: int = 16, norm: str = "L2"
) -> np.ndarray:
    """HOG of whole faces: float32 [n, cells x cells x orientations] of `images` uint8 [n, 48, 48];
    72 by default.

    `cell` is in pixels; each cell's histogram is of length 1 by `norm`: "L1", "L2" or "L2-Hys"
    (clipped at 0.2).
    """
    return hog_windows(
        images, window=SIDE, step=SIDE, orientations=orientations, cell=cell, norm=norm
    )


def hog_windows(
    images: np.ndarray,
    *,
    window: int = 24,
    step: int = 6,
    orientations: int = 8,
    cell: int = 8,
    norm: str = "L2",
) -> np.ndarray:
    """HOG of each window of a face, side by side: float32 [n, 2592] of `images` uint8 [n, 48, 48]
    by default.

    Windows begin every `step` pixels, those that the border cuts are kept with as many whole cells
    as they still have: along an axis 3, 3, 3, 3, 3, 2, 1 and 0, so that 18 x 18 cells have 8
    orientations each. Order: window, cell, orientation, rows before columns. At a window's edge, as
    there, the gradient across the edge counts as zero.
    """
    check_images(images)
    check(window, step, orientations, cell, norm)
    result = np.empty((len(images), len(order(window, step, cell)) * orientations), np.float32)
    for start in _batches(len(images)):
        part = slice(start, start + FACES_A_PRODUCT)
        cells = _cell_sums(images[part], window, step, orientations, cell) / np.float32(cell * cell)
        result[part] = _normalised(cells[:, order(window, step, cell)], norm).reshape(
            len(cells), -1
        )
    return result


def check(window: int, step: int, orientations: int, cell: int, norm: str = "L2") -> None:
    """Raises `DescriptorError` for a norm that is unknown, sizes in pixels that do not fit."""
    if norm not in NORMS:
        raise DescriptorError(f"norm {norm!r} is unknown; there are {', '.join(NORMS)}")
    if not 2 <= cell <= window <= SIDE or step < 1 or orientations < 1:
        raise DescriptorError(
            f"HOG of cells of {cell} in windows of {window}, step {step}, {orientations} orientations: cells must be 2 "
            f"or more and fit into the window, the window into {SIDE} pixels, step and orientations be 1 or more"
        )


def _batches(n: int) -> Iterator[int]:
    starts = range(0, n, FACES_A_PRODUCT)
    return iter(artifacts.progress(starts, "HOG", len(starts)))


def _cell_sums(
    images: np.ndarray, window: int, step: int, orientations: int, cell: int
) -> np.ndarray:
    """Gradient lengths by orientation, summed over cells: float32 [n, cells along y x cells along
    x, orientations]."""
    down, right = np.zeros((2, *images.shape), np.int16)
    down[:, 1:-1] = images[:, 2:].astype(np.int16) - images[:, :-2]
    right[:, :, 1:-1] = images[:, :, 2:].astype(np.int16) - images[:, :, :-2]
    orientation, length = _gradient_table(orientations)
    histograms = np.zeros((len(images), orientations, SIDE, SIDE), np.float32)
    np.put_along_axis(
        histograms, orientation[down, right][:, None], length[down, right][:, None], axis=1
    )
    inner, edge = membership(window, step, cell)
    sums = inner @ (histograms @ inner.T)
    # At an edge only the gradient along it is left: horizontal (orientation 0) above and below,
    # vertical at the sides.
    sums[:, 0] += edge @ (np.abs(right).astype(np.float32) @ inner.T)
    sums[:, orientations // 2] += inner @ (np.abs(down).astype(np.float32) @ edge.T)
    return sums.reshape(len(images), orientations, -1).transpose(0, 2, 1)


@cache
def _gradient_table(orientations: int) -> tuple[np.ndarray, np.ndarray]:
    """Orientation and length of the gradient (down, right), each -255..255; a negative one counts
    from the end."""
    values = np.concatenate([np.arange(256.0), np.arange(-255.0, 0)])
    down, right = np.meshgrid(values, values, indexing="ij")
    angle = np.rad2deg(np.arctan2(down, right)) % 180
    bounds = 180 / orientations * np.arange(1, orientations)
    return np.digitize(angle, bounds), np.hypot(down, right).astype(np.float32)


@cache
def membership(window: int, step: int, cell: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels of an axis a cell holds, float32 [cells, 48]: those inside its window, those at
    its very edge."""
    inner, edge = [], []
    for first, last, begin in _cells(window, step, cell):
        pixels = np.arange(SIDE)
        held, at_edge = (
            (begin <= pixels) & (pixels < begin + cell),
            (pixels == first) | (pixels == last),
        )
        inner.append(held & ~at_edge)
        edge.append(held & at_edge)
    return np.array(inner, np.float32), np.array(edge, np.float32)


def _cells(window: int, step: int, cell: int) -> list[tuple[int, int, int]]:
    """First and last pixel of the window and first pixel of the cell, of each cell of each window
    along an axis."""
    windows = [(first, min(first + window, SIDE)) for first in range(0, SIDE, step)]
    return [(a, b - 1, a + cell * k) for a, b in windows for k in range((b - a) // cell)]


@cache
def order(window: int, step: int, cell: int) -> np.ndarray:
    """Positions of all cells of a face, in [cells along y x cells along x], window after window."""
    cells = _cells(window, step, cell)
    first = np.array([a for a, _, _ in cells])
    along_y, along_x = np.divmod(np.arange(len(cells) ** 2), len(cells))
    return np.lexsort((along_x, along_y, first[along_x], first[along_y]))


def _normalised(cells: np.ndarray, norm: str) -> np.ndarray:
    if norm == "L1":
        return cells / (cells.sum(-1, keepdims=True) + np.float32(_EPSILON))
    unit = _of_length_one(cells)
    return unit if norm == "L2" else _of_length_one(np.minimum(unit, np.float32(0.2)))


def _of_length_one(cells: np.ndarray) -> np.ndarray:
    return cells / np.sqrt(np.square(cells).sum(-1, keepdims=True) + np.float32(_EPSILON**2))
