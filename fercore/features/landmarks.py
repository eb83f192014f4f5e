"""The 68 facial landmarks that dlib's predictor finds, the whole 48 x 48 picture taken as the face.

Kazemi, Sullivan, 'One millisecond face alignment with an ensemble of regression trees', CVPR 2014.
The predictor was trained on iBUG 300-W, whose licence excludes commercial use: so does its own.
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
MARGIN = 1  # pixels from the picture's border to the face, as published
PREDICTOR = "shape_predictor_68_face_landmarks.dat"


class LandmarksMissing(DescriptorError):
    """dlib or its predictor is not installed."""


def landmarks(images: np.ndarray, *, image_scale: int = 4) -> np.ndarray:
    """Points x0, y0, x1, y1, ... in pixels of the face, float16 [n, 136], of `images` uint8 [n, 48,
    48]. dlib gives whole pixels: `image_scale` enlarges the picture before, for fractions of them
    (published: 1). Raises `LandmarksMissing` or `DescriptorError`."""
    check_images(images)
    if image_scale < 1:
        raise DescriptorError(f"landmarks: image_scale {image_scale} must be 1 or more")
    find = predictor()
    import dlib

    first, last = MARGIN * image_scale, (SIDE - MARGIN) * image_scale
    face = dlib.rectangle(first, first, last, last)
    found = np.empty((len(images), POINTS, 2), np.float16)
    for row, image in enumerate(artifacts.progress(images, "landmarks", len(images))):
        enlarged = cv2.resize(image, None, fx=image_scale, fy=image_scale)
        points = [(point.x, point.y) for point in find(enlarged, face).parts()]
        found[row] = (np.array(points, np.float32) + 0.5) / image_scale - 0.5
    return found.reshape(len(images), -1)


@cache
def predictor():
    """dlib's predictor. face_recognition_models, which has its file, is not imported: that needs an
    old setuptools. Raises `LandmarksMissing`."""
    package = importlib.util.find_spec("face_recognition_models")
    file = Path(package.origin or "").with_name("models") / PREDICTOR if package else None
    if not (importlib.util.find_spec("dlib") and file and file.is_file()):
        cure = "pip install dlib-bin face_recognition_models (not for commercial use)"
        raise LandmarksMissing(f"landmarks: dlib or {PREDICTOR} is missing; {cure}")
    import dlib

    return dlib.shape_predictor(str(file))


def centred(points: np.ndarray) -> np.ndarray:
    """`points` [..., 136] as -1..1 across the picture: place and size of the face stay."""
    return (points.astype(np.float32) - SIDE / 2) / (SIDE / 2)


def shape(points: np.ndarray) -> np.ndarray:
    """`points` [..., 136] with their mean at 0 and their mean squared distance from it 1."""
    pairs = points.astype(np.float32).reshape(*points.shape[:-1], POINTS, 2)
    pairs = pairs - pairs.mean(axis=-2, keepdims=True)
    size = np.sqrt(np.square(pairs).sum(axis=-1).mean(axis=-1))[..., None, None]
    return (pairs / np.maximum(size, 1e-3)).reshape(points.shape)
