"""Faces in a picture: boxes and scores, by one of several detectors that are chosen by name.

A detector is any object with `detect(rgb uint8 [h, w, 3]) -> (boxes int32 [k, 4], scores float32 [k])`; a box is x, y,
width, height in pixels, and the best comes first. What a score means is the detector's own affair.
"""
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from fercore import pictures

SYSTEM_D = {"scale": 1.3, "neighbours": 5, "smallest": 50}  # as system D calls `detectMultiScale`


class DetectorError(ValueError):
    """A detector that does not exist, lacks its file, or its package."""


class Detector(Protocol):
    """What `detector` returns."""

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes int32 [k, 4] (x, y, width, height) and scores float32 [k], best first."""


@dataclass
class Cascade:
    """Viola and Jones's cascade: Haar or LBP features, by OpenCV.

    `scale` between sizes searched; `neighbours` overlapping hits that make a face; `smallest` side of a face in pixels
    (0: the cascade's own). The score is the weight of the last stage, summed over the hits that were joined.
    """

    file: str | Path
    scale: float = 1.1
    neighbours: int = 5
    smallest: int = 30
    _cascade: cv2.CascadeClassifier = field(init=False, repr=False)

    def __post_init__(self):
        self._cascade = _load_cascade(Path(self.file))

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes and scores of the faces in a picture."""
        gray = cv2.equalizeHist(pictures.gray(rgb))
        boxes, _, weights = self._cascade.detectMultiScale3(
            gray, self.scale, self.neighbours, minSize=(self.smallest, self.smallest), outputRejectLevels=True
        )
        return _ordered(boxes, weights)


@dataclass
class Whole:
    """The whole picture is one face."""

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One box, the picture's own, with score 1."""
        return np.array([[0, 0, rgb.shape[1], rgb.shape[0]]], np.int32), np.ones(1, np.float32)


def haar(**parameters) -> Cascade:
    """OpenCV's frontal-face Haar cascade."""
    return Cascade(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml", **parameters)


DETECTORS: dict[str, Callable[..., Detector]] = {"haar": haar, "whole": Whole}


def detector(name: str | Path, **parameters) -> Detector:
    """The detector `name`, or that of a cascade file (.xml) of one's own.

    Raises `DetectorError` for an unknown name, and for a file or package that is missing.
    """
    if str(name).endswith(".xml"):
        return Cascade(name, **parameters)
    if name not in DETECTORS:
        known = ", ".join(DETECTORS)
        raise DetectorError(f"detector {str(name)!r} is unknown; choose {known} or give a cascade file (.xml)")
    try:
        return DETECTORS[name](**parameters)
    except TypeError as error:
        raise DetectorError(f"detector {name}: {error}") from error


def _load_cascade(path: Path) -> cv2.CascadeClassifier:
    if not path.is_file():
        raise DetectorError(f"{path}: no such cascade file")
    try:
        cascade = cv2.CascadeClassifier(str(path))
    except cv2.error:
        cascade = None
    if cascade is None or cascade.empty():
        raise DetectorError(f"{path.name}: no cascade that OpenCV reads; opencv_traincascade writes one")
    return cascade


def _ordered(boxes, scores) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores as arrays, best first."""
    boxes = np.asarray(boxes, np.int32).reshape(-1, 4)
    scores = np.asarray(scores, np.float32).reshape(-1)
    order = np.argsort(-scores, kind="stable")
    return boxes[order], scores[order]
