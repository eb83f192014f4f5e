"""Handcrafted descriptors of faces: histograms of SIFT visual words, and dense SIFT.

SIFT: Lowe, 'Distinctive image features from scale-invariant keypoints', IJCV 2004, as OpenCV computes it.
Visual words: Csurka et al., 'Visual categorization with bags of keypoints', 2004. Both as joined to
convolutional networks by Al-Shabi, Cheah, Connie, arXiv:1608.02833, and by system A.

`load` is what a network calls: both views of every face, computed once and kept in `paths.CACHE/descriptors`.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from joblib import cpu_count
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import MiniBatchKMeans

from fercore import paths, runs

SIDE = 48  # pixels of a face
SIFT_LENGTH = 128  # values of one SIFT descriptor
FACES_A_TASK = 128
NEIGHBOURS_A_PRODUCT = 8192  # descriptors compared with all words in one matrix product
FORMAT = 1  # of the cache: raise it when the meaning of a stored array changes


class DescriptorError(ValueError):
    """Images, a vocabulary or a descriptor file that cannot be used; says what, where and what to do."""


def grid(step: int = 12, size: int = 12, first: int = 6) -> list[cv2.KeyPoint]:
    """Keypoints of dense SIFT, column by column from the left, each column from the top (system A's order)."""
    positions = range(first, SIDE, step)
    return [cv2.KeyPoint(float(x), float(y), float(size)) for x in positions for y in positions]


class DenseSift(TransformerMixin, BaseEstimator):
    """SIFT descriptors of one scale on a regular grid, without detection; nothing is learnt.

    `step`, `size` (diameter of a keypoint) and `first` are pixels. 4 x 4 keypoints by default: 2,048 values a face.
    """

    def __init__(self, step: int = 12, size: int = 12, first: int = 6):
        self.step = step
        self.size = size
        self.first = first

    def fit(self, images: np.ndarray, labels: np.ndarray | None = None) -> Self:
        """Check `images`; there is nothing to fit."""
        _check_images(images)
        return self

    def transform(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n, keypoints x 128] of `images` uint8 [n, 48, 48]."""
        keypoints = grid(self.step, self.size, self.first)

        def compute(sift: cv2.SIFT, image: np.ndarray) -> np.ndarray:
            return sift.compute(image, keypoints)[1].astype(np.uint8).ravel()

        rows = _map_faces(compute, images, "dense SIFT")
        return np.stack(rows) if rows else np.empty((0, len(keypoints) * SIFT_LENGTH), np.uint8)


class VisualWords(TransformerMixin, BaseEstimator):
    """How often each word of a vocabulary occurs among the SIFT keypoints of a face.

    `words` centres are found by mini-batch k-means among the descriptors of the faces given to `fit`: give it
    training faces only. `image_scale` enlarges faces before detection (1: the 48 x 48 face, as published).
    """

    def __init__(
        self, words: int = 2048, image_scale: int = 1, max_iter: int = 200, batch_size: int = 4096, seed: int = 0
    ):
        self.words = words
        self.image_scale = image_scale
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.seed = seed

    def fit(self, images: np.ndarray, labels: np.ndarray | None = None) -> Self:
        """Find the vocabulary `centres_` float32 [words, 128] in `images` uint8 [n, 48, 48]."""
        return self.fit_descriptors(keypoint_descriptors(images, self.image_scale))

    def fit_descriptors(self, descriptors: list[np.ndarray]) -> Self:
        """The same from the descriptors of each face, as `keypoint_descriptors` returns them."""
        found = np.concatenate([np.empty((0, SIFT_LENGTH), np.uint8), *descriptors])
        if len(found) < self.words:
            raise DescriptorError(
                f"{len(found)} SIFT keypoints in {len(descriptors)} faces cannot make {self.words} words: "
                "ask for fewer words or give more faces"
            )
        clusters = MiniBatchKMeans(
            self.words,
            max_iter=self.max_iter,
            batch_size=self.batch_size,
            max_no_improvement=30,
            n_init=1,
            random_state=self.seed,
        )
        self.centres_ = clusters.fit(found.astype(np.float32)).cluster_centers_
        return self

    def transform(self, images: np.ndarray) -> np.ndarray:
        """Counts uint8 [n, words] of `images` uint8 [n, 48, 48]; all zero for a face without a keypoint."""
        return self.count(keypoint_descriptors(images, self.image_scale))

    def count(self, descriptors: list[np.ndarray]) -> np.ndarray:
        """The same from the descriptors of each face, as `keypoint_descriptors` returns them."""
        face = np.repeat(np.arange(len(descriptors)), [len(d) for d in descriptors])
        word = nearest(np.concatenate([np.empty((0, SIFT_LENGTH), np.uint8), *descriptors]), self.centres_)
        counts = np.bincount(face * self.words + word, minlength=len(descriptors) * self.words)
        return np.minimum(counts, 255).astype(np.uint8).reshape(len(descriptors), self.words)

    def save(self, path: Path) -> Path:
        """Write the vocabulary as .npz, atomically; `load_vocabulary` reads it."""
        return runs.write_arrays(Path(path), centres=self.centres_, image_scale=np.int64(self.image_scale))


def load_vocabulary(path: Path, words: int | None = None) -> VisualWords:
    """The fitted `VisualWords` saved at `path`; `DescriptorError` unless it holds a vocabulary (of `words` words)."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            centres, image_scale = file["centres"], int(file["image_scale"])
    except FileNotFoundError:
        raise DescriptorError(f"{path}: no such vocabulary; leave it out to have one fitted") from None
    except Exception as error:
        raise DescriptorError(f"{path}: no vocabulary written by VisualWords.save ({error})") from error
    if centres.ndim != 2 or centres.shape[1] != SIFT_LENGTH or (words or len(centres)) != len(centres):
        raise DescriptorError(f"{path}: holds an array {list(centres.shape)}, needed is [{words or 'words'}, 128]")
    vocabulary = VisualWords(words=len(centres), image_scale=image_scale)
    vocabulary.centres_ = centres.astype(np.float32)
    return vocabulary


def keypoint_descriptors(images: np.ndarray, image_scale: int = 1) -> list[np.ndarray]:
    """For each of `images` uint8 [n, 48, 48], SIFT descriptors uint8 [keypoints, 128]; [0, 128] when none is found."""

    def compute(sift: cv2.SIFT, image: np.ndarray) -> np.ndarray:
        found = sift.detectAndCompute(enlarge(image, image_scale), None)[1]
        return np.empty((0, SIFT_LENGTH), np.uint8) if found is None else found.astype(np.uint8)

    return _map_faces(compute, images, "SIFT keypoints")


def enlarge(image: np.ndarray, image_scale: int) -> np.ndarray:
    """`image` enlarged `image_scale` times, bicubically; itself when 1."""
    if image_scale == 1:
        return image
    return cv2.resize(image, None, fx=image_scale, fy=image_scale, interpolation=cv2.INTER_CUBIC)


def nearest(descriptors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Row int64 [n] in `centres` [words, 128] nearest to each of `descriptors` [n, 128], by matrix products."""
    half_norms = 0.5 * np.einsum("ij,ij->i", centres, centres)
    words = np.empty(len(descriptors), np.int64)
    for start in range(0, len(descriptors), NEIGHBOURS_A_PRODUCT):
        part = slice(start, start + NEIGHBOURS_A_PRODUCT)
        closeness = descriptors[part].astype(np.float32) @ centres.T
        words[part] = np.argmax(np.subtract(closeness, half_norms, out=closeness), axis=1)
    return words


def mirror(images: np.ndarray) -> np.ndarray:
    """`images` [n, 48, 48] flipped left to right."""
    return np.ascontiguousarray(images[:, :, ::-1])


def _check_images(images: np.ndarray) -> None:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE):
        given = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else type(images).__name__
        raise DescriptorError(f"images: {given}, needed is uint8 [n, {SIDE}, {SIDE}]")


@contextmanager
def _one_thread_in_opencv() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _map_faces(compute: Callable, images: np.ndarray, description: str) -> list[np.ndarray]:
    """`compute(sift, image)` of every image, on all cores by threads: OpenCV lets go of Python's lock."""
    _check_images(images)

    def task(start: int) -> list[np.ndarray]:
        sift = cv2.SIFT_create()
        return [compute(sift, image) for image in images[start : start + FACES_A_TASK]]

    starts = range(0, len(images), FACES_A_TASK)
    with _one_thread_in_opencv(), ThreadPoolExecutor(cpu_count()) as threads:
        parts = runs.progress(threads.map(task, starts), description, len(starts))
        return [row for part in parts for row in part]


def _visual_words(images: np.ndarray, train_rows: np.ndarray, *, fit_on: str = "train", vocabulary=None, **parameters):
    views = [keypoint_descriptors(view, parameters.get("image_scale", 1)) for view in (images, mirror(images))]
    if vocabulary is not None:
        words = load_vocabulary(vocabulary, parameters.get("words"))
    else:
        rows = np.arange(len(images)) if fit_on == "all" else train_rows
        words = VisualWords(**parameters).fit_descriptors([views[0][row] for row in rows])
    return np.stack([words.count(view) for view in views], axis=1)


def _dense_sift(images: np.ndarray, train_rows: np.ndarray, **parameters) -> np.ndarray:
    sift = DenseSift(**parameters)
    return np.stack([sift.transform(view) for view in (images, mirror(images))], axis=1)


DESCRIPTORS = {"sift": _visual_words, "dsift": _dense_sift}


def load(name: str, faces, train_rows: np.ndarray, **parameters) -> np.ndarray:
    """uint8 [n, 2, d] of all `faces`: view 0 of the face, view 1 of its mirror image; cached by content."""
    if name not in DESCRIPTORS:
        raise DescriptorError(f"descriptor {name!r}: unknown, there are {', '.join(DESCRIPTORS)}")
    path = paths.CACHE / "descriptors" / f"{name}-{_key(name, faces.images, train_rows, parameters)}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["descriptors"]
    except Exception:
        pass
    computed = DESCRIPTORS[name](faces.images, np.asarray(train_rows), **parameters)
    runs.write_arrays(path, compressed=name == "sift", descriptors=computed)
    return computed


def _key(name: str, images: np.ndarray, train_rows: np.ndarray, parameters: dict) -> str:
    digest = hashlib.blake2b(np.ascontiguousarray(images), digest_size=10)
    if name == "sift" and parameters.get("fit_on", "train") == "train":
        digest.update(np.asarray(train_rows, np.int64).tobytes())
    settings = {k: str(v) if isinstance(v, os.PathLike) else v for k, v in parameters.items()}
    digest.update(json.dumps([name, FORMAT, cv2.__version__, settings], sort_keys=True).encode())
    return digest.hexdigest()


def scale(name: str, array: np.ndarray) -> np.ndarray:
    """What a network sees, float32: word counts divided by the keypoints of the face; dense SIFT divided by 512."""
    if name == "sift":
        totals = array.sum(axis=-1, keepdims=True, dtype=np.int64)
        return (array / np.maximum(totals, 1)).astype(np.float32)
    return array.astype(np.float32) / 512
