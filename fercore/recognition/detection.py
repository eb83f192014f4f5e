"""Faces in a picture: boxes and scores, by one of several detectors that are chosen by name.

A detector is any object with `detect(rgb uint8 [h, w, 3]) -> (boxes int32 [k, 4], scores float32
[k])`; a box is x, y, width, height in pixels, and the best comes first. What a score means is the
detector's own affair.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from fercore.data import pictures

SYSTEM_D = {
    "scale": 1.3,
    "neighbours": 5,
    "smallest": 50,
    "longest": None,
}  # how system D calls `detectMultiScale`
LONGEST = 1280  # pixels: larger pictures are reduced for the search
MISSPELT = b"featuhreParams"


class DetectorError(ValueError):
    """A detector that does not exist, lacks its file or package, or was given parameters that it
    does not take."""


class Detector(Protocol):
    """What `detector` returns."""

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes int32 [k, 4] (x, y, width, height) and scores float32 [k], best first."""


@dataclass
class Cascade:
    """Viola and Jones's cascade, Haar or LBP features, by OpenCV: `file` is its description.

    `scale` between the sizes searched; `neighbours`: overlapping hits that make a face; `smallest`
    and `longest` in pixels: the side of the smallest face searched, and of the picture after it was
    reduced (None: never). The score is the weight of the cascade's last stage. System D's
    parameters are `SYSTEM_D`; finer steps cost time and find more of the faces
    (benchmarks/margin.py counts both).
    """

    file: str | Path
    scale: float = 1.1
    neighbours: int = 5
    smallest: int = 30
    longest: int | None = LONGEST
    _cascade: cv2.CascadeClassifier = field(init=False, repr=False)

    def __post_init__(self):
        if not self.scale > 1 or self.neighbours < 0 or self.smallest < 0:
            raise DetectorError(
                f"scale {self.scale}, neighbours {self.neighbours}, smallest {self.smallest}: "
                "scale must be above 1, the others not below 0"
            )
        self._cascade = _load_cascade(Path(self.file))

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes and scores of the faces in a picture."""
        small, factor = _reduced(pictures.gray(rgb), self.longest)
        boxes, _, weights = self._cascade.detectMultiScale3(
            small,
            self.scale,
            self.neighbours,
            minSize=(self.smallest, self.smallest),
            outputRejectLevels=True,
        )
        return _ordered(boxes, weights, factor)


@dataclass
class Dlib:
    """Histograms of oriented gradients and a linear classifier, by dlib (the optional package
    dlib-bin).

    `upsample`: how often the picture is doubled first (faces of 80 pixels are found without);
    `threshold`: the lowest score that counts, which is the classifier's.
    """

    upsample: int = 0
    threshold: float = 0.0
    longest: int | None = LONGEST

    def __post_init__(self):
        self._detector = _package("dlib", "dlib-bin").get_frontal_face_detector()

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes and scores of the faces in a picture."""
        small, factor = _reduced(pictures.gray(rgb), self.longest)
        boxes, scores, _ = self._detector.run(small, self.upsample, self.threshold)
        return _ordered(
            [(box.left(), box.top(), box.width(), box.height()) for box in boxes], scores, factor
        )


@dataclass
class YuNet:
    """OpenCV's small network for faces (Wu et al. 2023); `file` is its ONNX model, which OpenCV's
    wheels lack.

    `threshold`: the lowest score that counts, 0..1.
    """

    file: str | Path | None = None
    threshold: float = 0.6
    longest: int | None = LONGEST
    _network: cv2.FaceDetectorYN = field(init=False, repr=False)

    def __post_init__(self):
        if self.file is None or not Path(self.file).is_file():
            raise DetectorError(
                f"yunet: model file {str(self.file)!r} is not there; give face_detection_yunet_*.onnx "
                "of OpenCV's model zoo"
            )
        try:
            self._network = cv2.FaceDetectorYN.create(
                str(self.file), "", (320, 320), self.threshold
            )
        except cv2.error as error:
            raise DetectorError(
                f"{Path(self.file).name}: no YuNet model that OpenCV reads"
            ) from error

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes and scores of the faces in a picture."""
        small, factor = _reduced(rgb, self.longest)
        self._network.setInputSize(small.shape[1::-1])
        try:
            found = self._network.detect(small[:, :, ::-1].copy())[1]
        except cv2.error as error:
            raise DetectorError(
                f"{Path(self.file).name}: no YuNet model, it fails on a picture"
            ) from error
        found = np.empty((0, 15), np.float32) if found is None else found
        return _ordered(found[:, :4], found[:, -1], factor)


@dataclass
class Whole:
    """The whole picture is one face."""

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One box, the picture's own, with score 1."""
        return np.array([[0, 0, rgb.shape[1], rgb.shape[0]]], np.int32), np.ones(1, np.float32)


def haar(**parameters) -> Cascade:
    """OpenCV's frontal-face Haar cascade."""
    return Cascade(
        Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml", **parameters
    )


def lbp(file: str | Path | None = None, **parameters) -> Cascade:
    """A cascade of local binary patterns: `file`, or the one that scikit-image brings (OpenCV's
    wheels have none)."""
    if file is None:
        found = importlib.util.find_spec("skimage")
        if found is None:
            raise DetectorError(
                "lbp: OpenCV's wheels have no LBP cascade; install scikit-image or give a cascade file"
            )
        file = Path(found.origin).parent / "data" / "lbpcascade_frontalface_opencv.xml"
    return Cascade(file, **parameters)


DETECTORS: dict[str, Callable[..., Detector]] = {
    "haar": haar,
    "lbp": lbp,
    "dlib": Dlib,
    "yunet": YuNet,
    "whole": Whole,
}


def detector(name: str | Path, **parameters) -> Detector:
    """The detector `name`, that of a cascade file (.xml) of one's own, or YuNet by its model file
    (.onnx).

    `parameters` are those of its class. Raises `DetectorError` for an unknown name or parameter,
    and for a file or package that is missing.
    """
    suffix = Path(name).suffix.lower()
    if suffix in (".xml", ".onnx"):
        return (Cascade if suffix == ".xml" else YuNet)(name, **parameters)
    if name not in DETECTORS:
        known = ", ".join(DETECTORS)
        raise DetectorError(
            f"detector {str(name)!r} is unknown; choose {known} or give a cascade file (.xml)"
        )
    try:
        return DETECTORS[name](**parameters)
    except TypeError as error:
        raise DetectorError(f"detector {name}: {str(error).split('() ', 1)[-1]}") from error


def _load_cascade(path: Path) -> cv2.CascadeClassifier:
    if not path.is_file():
        raise DetectorError(f"{path}: no such cascade file")
    try:
        cascade = (
            _repaired(path) if MISSPELT in path.read_bytes() else cv2.CascadeClassifier(str(path))
        )
    except (cv2.error, SystemError):
        cascade = None
    if cascade is None or cascade.empty():
        raise DetectorError(
            f"{path.name}: no cascade that OpenCV reads; opencv_traincascade writes one"
        )
    return cascade


def _repaired(path: Path) -> cv2.CascadeClassifier:
    """scikit-image's LBP cascade misspells a name, so that OpenCV refuses the file as it is."""
    text = path.read_bytes().replace(MISSPELT, b"featureParams").decode()
    storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
    cascade = cv2.CascadeClassifier()
    cascade.read(storage.getFirstTopLevelNode())
    return cascade


def _package(name: str, distribution: str):
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DetectorError(
            f"{name}: not installed; pip install {distribution}, or take another detector"
        ) from None


def _reduced(picture: np.ndarray, longest: int | None) -> tuple[np.ndarray, float]:
    """The picture with no side above `longest`, and what its coordinates must be multiplied by."""
    factor = max(picture.shape[:2]) / longest if longest else 1.0
    if factor <= 1:
        return picture, 1.0
    size = [max(1, round(side / factor)) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), factor


def _ordered(boxes, scores, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Boxes in the pixels of the whole picture, and scores, best first."""
    boxes = np.round(np.asarray(boxes, np.float64).reshape(-1, 4) * factor).astype(np.int32)
    scores = np.asarray(scores, np.float32).reshape(-1)
    order = np.argsort(-scores, kind="stable")
    return boxes[order], scores[order]
