"""Handcrafted descriptors by name: of every face and of its mirror image, computed once, kept in
`paths.CACHE/descriptors`.

A new descriptor is a function of images and an entry in `DESCRIPTORS`.
"""

import hashlib
import inspect
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from fercore import artifacts, paths
from fercore.data.faces import Faces
from fercore.features import hog, landmarks, sift
from fercore.features.sift import DescriptorError

FORMAT = 2  # of the files: raise it when the same parameters come to mean other values


@dataclass(frozen=True)
class Descriptor:
    """`of(images, **parameters)` gives [n, d] of `images` uint8 [n, 48, 48], stored as `dtype`;
    one that `learns` takes training rows too, and gives [n, 2, d]. `scalings`, the first of which
    is the default, turn that into what a network sees; `defaults` replace those of `of`."""

    of: Callable[..., np.ndarray]
    scalings: Mapping[str, Callable[[np.ndarray], np.ndarray]]
    dtype: type = np.float16
    learns: bool = False
    defaults: Mapping = field(default_factory=dict)

    @property
    def parameters(self) -> dict:
        """The parameters of `of` with their defaults."""
        signature = inspect.signature(self.of).parameters.values()
        given = {each.name: each.default for each in signature if each.kind is each.KEYWORD_ONLY}
        return given | dict(self.defaults)

    def compute(self, images: np.ndarray, train_rows: np.ndarray, **parameters) -> np.ndarray:
        """[n, 2, d]: view 0 of the face, view 1 of its mirror image."""
        parameters = self.parameters | parameters
        if self.learns:
            return self.of(images, train_rows, **parameters)
        views = [self.of(view, **parameters) for view in (images, mirrored(images))]
        return np.stack(views, axis=1).astype(self.dtype, copy=False)


def load(name: str, faces: Faces, train_rows: np.ndarray, **parameters) -> np.ndarray:
    """Descriptor `name` of all `faces`, [n, 2, d]: view 0 of the face, view 1 of its mirror image.

    "sift": counts of visual words, uint8; parameters of `visual_words`. "dsift": SIFT on a grid,
    uint8; parameters of `sift.dense_sift`. "landmarks": 136 coordinates, float16; parameters of
    `landmarks.landmarks`. "hog" and "hog_windows": 72 and 2,592 values, float16; parameters of
    `hog.hog` and `hog.hog_windows`. `train_rows` are positions in `faces`: nothing is learnt from
    other faces. What was computed for the same pixels and parameters is read from the cache. Raises
    `DescriptorError` for what cannot be done.
    """
    descriptor = _named(name)
    unknown = ", ".join(sorted(parameters.keys() - descriptor.parameters.keys()))
    if unknown:
        raise DescriptorError(
            f"descriptor {name!r} has no parameter {artifacts.printable(unknown)}; "
            f"it has {', '.join(descriptor.parameters)}"
        )
    sift.check_images(faces.images)
    parameters = descriptor.parameters | parameters
    key = _key(name, faces.images, np.asarray(train_rows), parameters)
    path = paths.CACHE / "descriptors" / f"{name}-{key}.npz"

    def compute() -> dict[str, np.ndarray]:
        values = descriptor.compute(faces.images, np.asarray(train_rows), **parameters)
        return {"descriptors": values}

    # Counts of words are mostly zero: packed they take a fiftieth of the space.
    compression = zipfile.ZIP_DEFLATED if descriptor.learns else zipfile.ZIP_STORED
    return artifacts.cached(path, key, compute, compression)["descriptors"]


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
    """Counts of visual words uint8 [n, 2, words] of faces and their mirror images.

    The vocabulary is fitted on the unmirrored training faces, on all faces with `fit_on="all"` (as
    published: test faces then take part), or read from the file `vocabulary`, which also says the
    image scale."""
    if fit_on not in ("train", "all"):
        raise DescriptorError(f"fit_on {fit_on!r}: must be 'train' or 'all'")
    fitted = sift.load_vocabulary(vocabulary, words) if vocabulary is not None else None
    image_scale = fitted.image_scale if fitted else image_scale
    views = [sift.keypoint_descriptors(view, image_scale) for view in (images, mirrored(images))]
    if fitted is None:
        rows = range(len(images)) if fit_on == "all" else train_rows
        fitted = sift.VisualWords(words, image_scale, max_iter, batch_size, seed)
        fitted.fit_descriptors([views[0][row] for row in rows])
    return np.stack([fitted.transform_descriptors(view) for view in views], axis=1)


def mirrored(images: np.ndarray) -> np.ndarray:
    """`images` [n, h, w] flipped left to right."""
    return np.ascontiguousarray(images[:, :, ::-1])


def _frequency(counts: np.ndarray) -> np.ndarray:
    keypoints = counts.sum(axis=-1, keepdims=True, dtype=np.int64)
    return np.divide(counts, np.maximum(keypoints, 1), dtype=np.float32)


def _hellinger(counts: np.ndarray) -> np.ndarray:
    return np.sqrt(_frequency(counts))


def _unit(values: np.ndarray) -> np.ndarray:
    # OpenCV stores a descriptor of length 1 as 512 times its values.
    return np.divide(values, 512, dtype=np.float32)


def _raw(values: np.ndarray) -> np.ndarray:
    return values


def _standardised(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float32)
    values -= values.mean(axis=-1, keepdims=True)
    return values / np.maximum(values.std(axis=-1, keepdims=True), 1e-3)


_WORDS = {"frequency": _frequency, "hellinger": _hellinger}
_POINTS = {"shape": landmarks.shape, "centred": landmarks.centred, "raw": _raw}
_HOG = {"standardised": _standardised, "raw": _raw}

DESCRIPTORS = {
    "sift": Descriptor(visual_words, _WORDS, np.uint8, learns=True),
    "dsift": Descriptor(sift.dense_sift, {"unit": _unit, "raw": _raw}, np.uint8),
    "landmarks": Descriptor(landmarks.landmarks, _POINTS, defaults={"image_scale": 4}),
    "hog": Descriptor(hog.hog, _HOG),
    "hog_windows": Descriptor(hog.hog_windows, _HOG),
}


def _named(name: str) -> Descriptor:
    if name not in DESCRIPTORS:
        known = ", ".join(DESCRIPTORS)
        raise DescriptorError(
            f"descriptor {artifacts.printable(name)!r} is unknown; there are {known}"
        )
    return DESCRIPTORS[name]


def _key(name: str, images: np.ndarray, train_rows: np.ndarray, parameters: Mapping) -> str:
    """What the values depend on, as hexadecimal digits: pixels, parameters, and, where a vocabulary
    is fitted on them, training rows, else the content of its file."""
    digest = hashlib.blake2b(np.ascontiguousarray(images).data, digest_size=10)
    if parameters.get("vocabulary") is not None:
        fitted = sift.load_vocabulary(parameters["vocabulary"], parameters["words"])
        digest.update(fitted.centres_.tobytes())
        parameters = {"words": fitted.words, "image_scale": fitted.image_scale}
    elif _named(name).learns and parameters["fit_on"] != "all":
        digest.update(train_rows.astype(np.int64).tobytes())
    content = [name, FORMAT, cv2.__version__, parameters]
    digest.update(json.dumps(content, sort_keys=True, default=int).encode())
    return digest.hexdigest()
