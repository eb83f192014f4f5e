"""Handcrafted descriptors by name, of faces and their mirror images, kept in `paths.CACHE`. A new
one is a function of images and an entry in `DESCRIPTORS` and in `SCALINGS`."""

import hashlib
import inspect
import json
import zipfile
from collections.abc import Callable, Mapping

import cv2
import numpy as np

from fercore import artifacts, paths
from fercore.data.faces import Faces
from fercore.features import hog, landmarks, sift
from fercore.features.sift import DescriptorError

FORMAT = 3  # of the files: raise it when the same parameters come to mean other values


def load(name: str, faces: Faces, train_rows: np.ndarray, **parameters) -> np.ndarray:
    """Descriptor `name` of all `faces`, [n, 2, d]: view 0 of the face, view 1 of its mirror image.

    Computed by the function in `DESCRIPTORS`, which takes the `parameters`, or read from the cache:
    uint8 or float16. Words are learnt from the faces at `train_rows`. Raises `DescriptorError`.
    """
    of = _named(name, DESCRIPTORS, "descriptor")
    learns = of is visual_words
    if learns:
        parameters["train_rows"] = np.asarray(train_rows)
    call = inspect.signature(of).bind(faces.images, **parameters)
    call.apply_defaults()
    content = [name, FORMAT, cv2.__version__, call.kwargs]
    text = json.dumps(content, sort_keys=True, default=lambda array: array.tolist())
    digest = hashlib.blake2b(np.ascontiguousarray(faces.images).data, digest_size=10)
    digest.update(text.encode())
    path = paths.CACHE / "descriptors" / f"{name}-{digest.hexdigest()}.npz"

    def compute() -> dict[str, np.ndarray]:
        if learns:
            return {"descriptors": of(faces.images, **call.kwargs)}
        views = [of(view, **call.kwargs) for view in (faces.images, mirrored(faces.images))]
        values = np.stack(views, axis=1)
        return {"descriptors": values.astype(np.float16) if values.dtype == np.float32 else values}

    # Counts of words are mostly zero: packed they take a fiftieth of the space.
    compression = zipfile.ZIP_DEFLATED if learns else zipfile.ZIP_STORED
    return artifacts.cached(path, digest.hexdigest(), compute, compression)["descriptors"]


def scale(name: str, array: np.ndarray, how: str | None = None) -> np.ndarray:
    """What a network sees, float32, of what `load` returns; `how` None: the first in `SCALINGS`.

    "sift": "frequency", counts divided by the keypoints of the face (published), or "hellinger",
    its square root. "dsift": "unit", each keypoint's descriptor of length 1, or "raw", 0..255.
    "landmarks": "shape", mean 0 and mean squared distance from it 1, "centred", -1..1 across the
    picture, or "raw", pixels (published). HOG: "standardised" over the values of a face, or "raw"
    (published).
    """
    scalings = _named(name, SCALINGS, "descriptor")
    how = how or next(iter(scalings))
    return _named(how, scalings, f"scaling of {name!r}")(array).astype(np.float32)


def visual_words(
    images: np.ndarray,
    *,
    train_rows: np.ndarray,
    words: int = 2048,
    image_scale: int = 1,
    seed: int = 0,
    fit_on: str = "train",
) -> np.ndarray:
    """Counts of words uint8 [n, 2, words] of faces and their mirror images. The vocabulary is
    fitted on the unmirrored faces at `train_rows`, with `fit_on` "all" on all (as published)."""
    if fit_on not in ("train", "all"):
        raise DescriptorError(f"fit_on {fit_on!r}: must be 'train' or 'all'")
    views = [sift.keypoint_descriptors(view, image_scale) for view in (images, mirrored(images))]
    seen = views[0] if fit_on == "all" else [views[0][row] for row in train_rows]
    fitted = sift.VisualWords(words, image_scale, seed).fit(seen)
    return np.stack([fitted.transform(view) for view in views], axis=1)


def mirrored(images: np.ndarray) -> np.ndarray:
    """`images` [n, h, w] flipped left to right."""
    return np.ascontiguousarray(images[:, :, ::-1])


def _frequency(counts: np.ndarray) -> np.ndarray:
    keypoints = counts.sum(axis=-1, keepdims=True, dtype=np.int64)
    return np.divide(counts, np.maximum(keypoints, 1), dtype=np.float32)


def _standardised(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float32)
    values -= values.mean(axis=-1, keepdims=True)
    return values / np.maximum(values.std(axis=-1, keepdims=True), 1e-3)


DESCRIPTORS: dict[str, Callable[..., np.ndarray]] = {
    "sift": visual_words,
    "dsift": sift.dense_sift,
    "landmarks": landmarks.landmarks,
    "hog": hog.hog,
    "hog_windows": hog.hog_windows,
}
SCALINGS: dict[str, dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    "sift": {"frequency": _frequency, "hellinger": lambda counts: np.sqrt(_frequency(counts))},
    # OpenCV stores a descriptor of length 1 as 512 times its values.
    "dsift": {"unit": lambda values: np.divide(values, 512, dtype=np.float32), "raw": np.asarray},
    "landmarks": {"shape": landmarks.shape, "centred": landmarks.centred, "raw": np.asarray},
    "hog": {"standardised": _standardised, "raw": np.asarray},
    "hog_windows": {"standardised": _standardised, "raw": np.asarray},
}


def _named(name: str, known: Mapping, kind: str):
    if name not in known:
        shown = artifacts.printable(name)
        raise DescriptorError(f"{kind} {shown!r} is unknown; there are {', '.join(known)}")
    return known[name]
