"""SIFT on a grid, and histograms of SIFT visual words as a scikit-learn transformer.

SIFT: Lowe, 'Distinctive image features from scale-invariant keypoints', IJCV 2004, as OpenCV
computes it. Visual words: Csurka et al., 'Visual categorization with bags of keypoints', 2004. Both
as joined to convolutional networks by Al-Shabi, Cheah, Connie, arXiv:1608.02833.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import cv2
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import MiniBatchKMeans

from fercore import artifacts
from fercore.data.faces import SIDE

LENGTH = 128  # values of one SIFT descriptor
NOTHING = np.empty((0, LENGTH), np.uint8)  # of a face without a keypoint


class DescriptorError(ValueError):
    """Images, parameters or files that no descriptors can be had from."""


def dense_sift(images: np.ndarray, *, step: int = 12, size: int = 12, first: int = 6) -> np.ndarray:
    """Upright SIFT descriptors on the `grid`, by default 4 x 4: uint8 [n, keypoints x 128] of
    `images` uint8 [n, 48, 48]."""
    keypoints = grid(step, size, first)

    def compute(sift: cv2.SIFT, image: np.ndarray) -> np.ndarray:
        return sift.compute(image, keypoints)[1].astype(np.uint8).ravel()

    rows = _of_each(images, compute, "dense SIFT")
    return np.array(rows, np.uint8).reshape(len(rows), len(keypoints) * LENGTH)


class VisualWords(TransformerMixin, BaseEstimator):
    """How often each word, a centre found by mini-batch k-means, occurs among the SIFT keypoints of
    a face. `image_scale` enlarges a face before keypoints are sought (published: 1)."""

    def __init__(self, words: int = 2048, image_scale: int = 1, seed: int = 0):
        self.words, self.image_scale, self.seed = words, image_scale, seed

    def fit(self, images: np.ndarray | list[np.ndarray], labels: np.ndarray | None = None) -> Self:
        """Find the vocabulary, `centres_` float32 [words, 128], in `images` uint8 [n, 48, 48] or
        their `keypoint_descriptors`. Raises `DescriptorError` where there is no keypoint."""
        found = np.concatenate(self._described(images) or [NOTHING]).astype(np.float32)
        if not len(found):
            raise DescriptorError(f"no SIFT keypoint in {len(images)} faces: no vocabulary")
        self.clusters_ = MiniBatchKMeans(
            min(self.words, len(found)),
            max_iter=200,
            batch_size=4096,
            max_no_improvement=30,  # as published; scikit-learn's 10 stops earlier
            n_init=1,
            random_state=self.seed,
        ).fit(found)
        self.centres_ = self.clusters_.cluster_centers_
        return self

    def transform(self, images: np.ndarray | list[np.ndarray]) -> np.ndarray:
        """Counts uint8 [n, words] of `images` as in `fit`."""
        descriptors = self._described(images)
        face = np.repeat(np.arange(len(descriptors)), [len(rows) for rows in descriptors])
        found = np.concatenate(descriptors or [NOTHING]).astype(np.float32)
        word = self.clusters_.predict(found) if len(found) else np.empty(0, int)
        counts = np.bincount(face * self.words + word, minlength=len(descriptors) * self.words)
        return np.minimum(counts, 255).astype(np.uint8).reshape(len(descriptors), self.words)

    def _described(self, images: np.ndarray | list[np.ndarray]) -> list[np.ndarray]:
        if isinstance(images, list):
            return images
        return keypoint_descriptors(images, self.image_scale)


def grid(step: int = 12, size: int = 12, first: int = 6, side: int = SIDE) -> list[cv2.KeyPoint]:
    """Keypoints of dense SIFT, `size` pixels in diameter, every `step` pixels from `first`: column
    after column from the left, in a column from the top (system A's order)."""
    positions = range(first, side, step)
    if not positions or size <= 0:
        given = f"step {step}, size {size}, first at {first}"
        raise DescriptorError(f"grid of {given}: no keypoint within {side} pixels")
    return [cv2.KeyPoint(float(x), float(y), float(size)) for x in positions for y in positions]


def keypoint_descriptors(images: np.ndarray, image_scale: int = 1) -> list[np.ndarray]:
    """SIFT descriptors uint8 [keypoints, 128] of each of `images` uint8 [n, 48, 48]."""

    def compute(sift: cv2.SIFT, image: np.ndarray) -> np.ndarray:
        found = sift.detectAndCompute(enlarged(image, image_scale), None)[1]
        return NOTHING if found is None else found.astype(np.uint8)

    return _of_each(images, compute, "SIFT keypoints")


def enlarged(image: np.ndarray, image_scale: int) -> np.ndarray:
    """`image` enlarged `image_scale` times by bicubic interpolation."""
    if image_scale < 1:
        raise DescriptorError(f"image_scale {image_scale}: must be 1 or more")
    return cv2.resize(image, None, fx=image_scale, fy=image_scale, interpolation=cv2.INTER_CUBIC)


def check_images(images: np.ndarray) -> None:
    """Raise `DescriptorError` unless `images` is uint8 [n, 48, 48]."""
    shape, kind = np.shape(images), getattr(images, "dtype", type(images).__name__)
    if kind != np.uint8 or shape[1:] != (SIDE, SIDE):
        wanted = f"descriptors need uint8 [n, {SIDE}, {SIDE}]"
        raise DescriptorError(f"images are {kind} {list(shape)}; {wanted}")


def _of_each(images: np.ndarray, compute: Callable, description: str) -> list[np.ndarray]:
    """`compute(sift, image)` of every image, by a thread a core in place of OpenCV's own."""
    check_images(images)
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(artifacts.cores()) as threads:
            found = threads.map(lambda image: compute(cv2.SIFT.create(), image), images)
            return list(artifacts.progress(found, description, len(images)))
    finally:
        cv2.setNumThreads(before)
