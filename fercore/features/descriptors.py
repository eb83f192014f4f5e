"""Handcrafted descriptors by name: both views of every face, computed once, kept in
`paths.CACHE/descriptors`.

A new descriptor is a function of images and training rows and an entry in `DESCRIPTORS`.
"""

import hashlib
import inspect
import json
import logging
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fercore import artifacts, paths
from fercore.data.faces import Faces
from fercore.features import hog, landmarks
from fercore.features.sift import (
    DenseSift,
    DescriptorError,
    VisualWords,
    check_images,
    keypoint_descriptors,
    load_vocabulary,
)

FORMAT = 2  # of the files: raise it when the same parameters come to mean other values

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Descriptor:
    """`compute(images, train_rows, **parameters)` gives [n, 2, d] of `images` uint8 [n, 48, 48], in
    a type of few bytes (uint8, float16); `scalings`, the first of which is the default, turn that
    into what a network sees; `learns` when training rows matter; `sparse` when most values are
    zero."""

    compute: Callable[..., np.ndarray]
    scalings: Mapping[str, Callable[[np.ndarray], np.ndarray]]
    learns: bool
    sparse: bool

    @property
    def parameters(self) -> dict:
        """The parameters of `compute` with their defaults."""
        signature = inspect.signature(self.compute).parameters.values()
        return {each.name: each.default for each in signature if each.kind is each.KEYWORD_ONLY}


def load(
    name: str, faces: Faces, train_rows: np.ndarray, *, file: Path | str | None = None, **parameters
) -> np.ndarray:
    """Descriptor `name` of all `faces`, [n, 2, d]: view 0 of the face, view 1 of its mirror image.

    "sift": counts of visual words, uint8; parameters of `visual_words`. "dsift": SIFT on a grid,
    uint8; parameters of `dense_sift`. "landmarks": 136 coordinates, float16; parameters of
    `facial_landmarks`. "hog" and "hog_windows": 72 and 2,592 values, float16; parameters of
    `gradient_histograms` and `gradient_histograms_in_windows`. `train_rows` are positions in
    `faces`: nothing is learnt from other faces. What was computed for the same pixels and
    parameters is read from the cache, or from `file` where one is named; else it is computed and
    saved there. Raises `DescriptorError` for what cannot be done, and for a `file` of other faces
    or parameters.
    """
    descriptor = _named(name)
    unknown = parameters.keys() - descriptor.parameters.keys()
    if unknown:
        known = ", ".join(descriptor.parameters)
        raise DescriptorError(
            f"descriptor {name!r} has no parameter {', '.join(sorted(unknown))}; it has {known}"
        )
    check_images(faces.images)
    parameters = descriptor.parameters | parameters
    key = _key(
        name, faces.images, train_rows if _learns(descriptor, parameters) else None, parameters
    )
    stored = _read(Path(file), key) if file else _read_cached(_cached(name, key), key)
    if stored is not None:
        return stored
    computed = descriptor.compute(faces.images, np.asarray(train_rows), **parameters)
    compression = zipfile.ZIP_DEFLATED if descriptor.sparse else zipfile.ZIP_STORED
    artifacts.write_arrays(
        Path(file or _cached(name, key)), compression, descriptors=computed, key=key
    )
    return computed


def scale(name: str, array: np.ndarray, how: str | None = None) -> np.ndarray:
    """What a network sees, float32, of what `load` returns or of rows of it.

    "sift": "frequency", counts divided by the keypoints of the face (published), or "hellinger",
    its square root, of length 1. "dsift": "unit", each keypoint's descriptor of length 1, or "raw",
    0..255 as OpenCV gives it; zero stays zero. "landmarks": "shape", mean 0 and mean squared
    distance from it 1, "centred", -1..1 across the picture, or "raw", pixels (published). "hog" and
    "hog_windows": "standardised", mean 0 and standard deviation 1 over the values of a face, or
    "raw" (published).
    """
    scalings = _named(name).scalings
    how = how or next(iter(scalings))
    if how not in scalings:
        raise DescriptorError(
            f"scaling {how!r} of {name!r} is unknown; there are {', '.join(scalings)}"
        )
    return scalings[how](array).astype(np.float32)


def visual_words(
    images: np.ndarray,
    train_rows: np.ndarray,
    *,
    words: int = 2048,
    image_scale: int = 1,
    max_iter: int = 200,
    batch_size: int = 4096,
    seed: int = 0,
    fit_on: str = "train",
    vocabulary: Path | str | None = None,
) -> np.ndarray:
    """Counts of visual words uint8 [n, 2, words]. The vocabulary is fitted on the unmirrored
    training faces, on all faces with `fit_on="all"` (as published: test faces then take part), or
    read from the file `vocabulary`, which also says the image scale."""
    if fit_on not in ("train", "all"):
        raise DescriptorError(f"fit_on {fit_on!r}: must be 'train' or 'all'")
    fitted = load_vocabulary(vocabulary, words) if vocabulary is not None else None
    image_scale = fitted.image_scale if fitted else image_scale
    views = [keypoint_descriptors(view, image_scale) for view in (images, mirrored(images))]
    if fitted is None:
        rows = range(len(images)) if fit_on == "all" else train_rows
        fitted = VisualWords(words, image_scale, max_iter, batch_size, seed)
        fitted.fit_descriptors([views[0][row] for row in rows])
    return np.stack([fitted.transform_descriptors(view) for view in views], axis=1)


def dense_sift(
    images: np.ndarray, train_rows: np.ndarray, *, step: int = 12, size: int = 12, first: int = 6
) -> np.ndarray:
    """SIFT on a grid, uint8 [n, 2, keypoints x 128]; nothing is learnt from `train_rows`."""
    sift = DenseSift(step, size, first)
    return np.stack([sift.transform(view) for view in (images, mirrored(images))], axis=1)


def facial_landmarks(
    images: np.ndarray, train_rows: np.ndarray, *, margin: int = 1, image_scale: int = 4
) -> np.ndarray:
    """dlib's 68 points in pixels, float16 [n, 2, 136], as `landmarks.landmarks` finds them in a
    face and in its mirror image; published: `image_scale` 1. Nothing is learnt from
    `train_rows`."""
    views = [
        landmarks.landmarks(v, margin=margin, image_scale=image_scale)
        for v in (images, mirrored(images))
    ]
    return np.stack(views, axis=1)


def gradient_histograms(
    images: np.ndarray,
    train_rows: np.ndarray,
    *,
    orientations: int = 8,
    cell: int = 16,
    norm: str = "L2",
) -> np.ndarray:
    """HOG of the whole face, float16 [n, 2, cells x orientations]; nothing is learnt from
    `train_rows`."""
    options = {"orientations": orientations, "cell": cell, "norm": norm}
    return np.stack(
        [hog.hog(v, **options).astype(np.float16) for v in (images, mirrored(images))], axis=1
    )


def gradient_histograms_in_windows(
    images: np.ndarray,
    train_rows: np.ndarray,
    *,
    window: int = 24,
    step: int = 6,
    orientations: int = 8,
    cell: int = 8,
    norm: str = "L2",
) -> np.ndarray:
    """HOG of sliding windows, float16 [n, 2, cells of all windows x orientations]; nothing is
    learnt from `train_rows`."""
    options = {
        "window": window,
        "step": step,
        "orientations": orientations,
        "cell": cell,
        "norm": norm,
    }
    return np.stack(
        [hog.hog_windows(v, **options).astype(np.float16) for v in (images, mirrored(images))],
        axis=1,
    )


def mirrored(images: np.ndarray) -> np.ndarray:
    """`images` [n, h, w] flipped left to right."""
    return np.ascontiguousarray(images[:, :, ::-1])


def _frequency(counts: np.ndarray) -> np.ndarray:
    keypoints = counts.sum(axis=-1, keepdims=True, dtype=np.int64)
    return np.divide(counts, np.maximum(keypoints, 1), dtype=np.float32)


def _hellinger(counts: np.ndarray) -> np.ndarray:
    return np.sqrt(_frequency(counts))


def _unit(values: np.ndarray) -> np.ndarray:
    return np.divide(
        values, 512, dtype=np.float32
    )  # OpenCV stores a descriptor of length 1 as 512 times its values


def _raw(values: np.ndarray) -> np.ndarray:
    return values


def _standardised(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float32)
    values -= values.mean(axis=-1, keepdims=True)
    return values / np.maximum(values.std(axis=-1, keepdims=True), 1e-3)


_HOG_SCALINGS = {"standardised": _standardised, "raw": _raw}

DESCRIPTORS = {
    "sift": Descriptor(
        visual_words, {"frequency": _frequency, "hellinger": _hellinger}, learns=True, sparse=True
    ),
    "dsift": Descriptor(dense_sift, {"unit": _unit, "raw": _raw}, learns=False, sparse=False),
    "landmarks": Descriptor(
        facial_landmarks,
        {"shape": landmarks.shape, "centred": landmarks.centred, "raw": _raw},
        learns=False,
        sparse=False,
    ),
    "hog": Descriptor(gradient_histograms, _HOG_SCALINGS, learns=False, sparse=False),
    "hog_windows": Descriptor(
        gradient_histograms_in_windows, _HOG_SCALINGS, learns=False, sparse=False
    ),
}


def _named(name: str) -> Descriptor:
    if name not in DESCRIPTORS:
        raise DescriptorError(f"descriptor {name!r} is unknown; there are {', '.join(DESCRIPTORS)}")
    return DESCRIPTORS[name]


def _learns(descriptor: Descriptor, parameters: Mapping) -> bool:
    return (
        descriptor.learns
        and parameters.get("fit_on") != "all"
        and parameters.get("vocabulary") is None
    )


def _key(name: str, images: np.ndarray, train_rows: np.ndarray | None, parameters: Mapping) -> str:
    """What the values depend on, as hexadecimal digits: pixels, training rows, parameters, a
    vocabulary's content."""
    digest = hashlib.blake2b(np.ascontiguousarray(images), digest_size=10)
    if train_rows is not None:
        digest.update(np.asarray(train_rows, np.int64).tobytes())
    if parameters.get("vocabulary") is not None:
        fitted = load_vocabulary(parameters["vocabulary"], parameters["words"])
        digest.update(fitted.centres_.tobytes())
        parameters = {"words": fitted.words, "image_scale": fitted.image_scale}
    digest.update(
        json.dumps(
            [name, FORMAT, cv2.__version__, parameters], sort_keys=True, default=int
        ).encode()
    )
    return digest.hexdigest()


def _cached(name: str, key: str) -> Path:
    return paths.CACHE / "descriptors" / f"{name}-{key}.npz"


def _read_cached(path: Path, key: str) -> np.ndarray | None:
    """What is in the cache, None where it is missing or damaged."""
    try:
        return _read(path, key)
    except DescriptorError as error:
        log.warning("%s; computed again", error)
        return None


def _read(path: Path, key: str) -> np.ndarray | None:
    """The descriptors in `path`, None where there is no such file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            stored_key, stored = str(file["key"]), file["descriptors"]
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever reading a damaged or foreign file raises
        raise DescriptorError(
            f"{path}: not a descriptor file, or a damaged one ({error}); delete it"
        ) from error
    if stored_key != key:
        raise DescriptorError(
            f"{path}: descriptors of other faces, training rows or parameters; name another file"
        )
    return stored
