"""The 68 facial landmarks that dlib's predictor finds, the whole 48 x 48 picture taken as the face.

Kazemi, Sullivan, 'One millisecond face alignment with an ensemble of regression trees', CVPR 2014.
The predictor was trained on iBUG 300-W (Sagonas et al., ICCV workshops 2013), whose licence
excludes commercial use: so does the predictor's. Library and predictor are optional: `pip install
"fercore[landmarks]"`, that is dlib-bin and face_recognition_models.
"""

import importlib.util
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from fercore import artifacts
from fercore.data.faces import SIDE
from fercore.features.sift import DescriptorError, check_images

POINTS = 68
PREDICTOR = "shape_predictor_68_face_landmarks.dat"
INSTALL = "pip install dlib-bin face_recognition_models"


class LandmarksMissing(DescriptorError):
    """dlib or its predictor is not installed."""


def available() -> bool:
    """Whether landmarks can be computed here."""
    return importlib.util.find_spec("dlib") is not None and _predictor_file() is not None


def require() -> None:
    """Raise `LandmarksMissing`, which says what to install, unless landmarks can be computed."""
    if not available():
        raise LandmarksMissing(
            f"landmarks: dlib or {PREDICTOR} is missing; {INSTALL} (not for commercial use)"
        )


def landmarks(images: np.ndarray, *, margin: int = 1, image_scale: int = 1) -> np.ndarray:
    """Points x0, y0, x1, y1, ... in pixels of the face, float16 [n, 136], of `images` uint8 [n, 48,
    48].

    The face is taken to reach from `margin` pixels within the picture's border to the same at the
    other side (1, as published). dlib gives whole pixels: `image_scale` enlarges the picture
    before, for fractions of them (1, as published). A point may lie outside the picture. Raises
    `LandmarksMissing`, or `DescriptorError` for what is no picture.
    """
    check_images(images)
    if image_scale < 1 or not 0 <= margin < SIDE // 2:
        raise DescriptorError(
            f"landmarks: image_scale {image_scale} must be 1 or more, margin {margin} in 0..23"
        )
    require()
    found = np.empty((len(images), 2 * POINTS), np.float16)
    for row, image in enumerate(artifacts.progress(images, "landmarks", len(images))):
        found[row] = _of_face(image, margin, image_scale)
    return found


def centred(points: np.ndarray) -> np.ndarray:
    """`points` [..., 136] as -1..1 across the picture: where the face is and how large it is
    stay."""
    return (points.astype(np.float32) - SIDE / 2) / (SIDE / 2)


def shape(points: np.ndarray) -> np.ndarray:
    """`points` [..., 136] with their mean at 0 and their mean squared distance from it 1: only the
    shape stays."""
    pairs = points.astype(np.float32).reshape(*points.shape[:-1], POINTS, 2)
    pairs = pairs - pairs.mean(axis=-2, keepdims=True)
    size = np.sqrt(np.square(pairs).sum(axis=-1).mean(axis=-1))[..., None, None]
    return (pairs / np.maximum(size, 1e-3)).reshape(points.shape)


def _of_face(image: np.ndarray, margin: int, image_scale: int) -> np.ndarray:
    import dlib

    if image_scale > 1:
        image = cv2.resize(image, None, fx=image_scale, fy=image_scale)
    first, last = margin * image_scale, (SIDE - margin) * image_scale
    face = dlib.rectangle(first, first, last, last)
    found = _predictor()(np.ascontiguousarray(image), face)
    points = np.array([(point.x, point.y) for point in found.parts()], np.float32)
    return ((points + 0.5) / image_scale - 0.5).ravel()


@cache
def _predictor():
    import dlib

    return dlib.shape_predictor(str(_predictor_file()))


def _predictor_file() -> Path | None:
    """The predictor that face_recognition_models carries, found without importing it: it needs an
    old setuptools."""
    package = importlib.util.find_spec("face_recognition_models")
    for folder in (package and package.submodule_search_locations) or ():
        if (path := Path(folder) / "models" / PREDICTOR).is_file():
            return path
    return None
