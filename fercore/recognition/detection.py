"""Faces in a picture: boxes and scores, by a detector that is chosen by name.

A detector is any object with `detect(rgb uint8 [h, w, 3]) -> (boxes int32 [k, 4], scores float32
[k])`. A box is x, y, width, height in pixels, and the best comes first. A score is the detector's
own measure: two detectors' scores do not compare.
"""

import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import cv2
import numpy as np

from fercore import paths
from fercore.artifacts import printable
from fercore.data import pictures

LONGEST = 1280  # pixels: longer pictures are reduced for the search
COARSEST = 1.6  # but not more than this where that leaves `AREA`, or small faces are lost
AREA = 6_000_000  # pixels
LARGE = 320  # pixels: YuNet misses larger faces, so it also sees the picture at this length
SMALLEST = 8  # pixels of a side of the picture that YuNet is shown
OVERLAP = 0.3  # intersection over union: above it two boxes hold one face

# OpenCV's model zoo; MIT licence
YUNET = "face_detection_yunet_2023mar.onnx"
ADDRESS = f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{YUNET}"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
VARIABLE = "FERCORE_YUNET"

# How system D calls `detectMultiScale`
SYSTEM_D = {"scale": 1.3, "neighbours": 5, "smallest": 50, "longest": None}


class DetectorError(ValueError):
    """A detector that does not exist, lacks its file, or was given parameters that it does not
    take."""


class Detector(Protocol):
    """What `detector` returns."""

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes int32 [k, 4] (x, y, width, height) and scores float32 [k], best first."""


@dataclass
class YuNet:
    """OpenCV's small network for faces (Wu et al. 2023).

    `file` is its ONNX model; None takes what `yunet_file` finds or fetches. `threshold`: the lowest
    score that counts, 0..1. `longest` in pixels: longer pictures are reduced, at most `COARSEST`
    times; None never reduces.
    """

    file: str | Path | None = None
    threshold: float = 0.6
    longest: int | None = LONGEST
    margin: ClassVar[float] = -0.025  # as benchmarks/margin.py measured it, for `recogniser.crop`
    _network: cv2.FaceDetectorYN = field(init=False, repr=False)

    def __post_init__(self):
        if not 0 < self.threshold < 1:
            raise DetectorError(f"threshold {self.threshold}: give a share between 0 and 1")
        path = yunet_file() if self.file is None else Path(self.file).expanduser()
        if not path.is_file():
            raise DetectorError(f"{printable(path)}: no such model file; give YuNet's {YUNET}")
        self.file = path
        try:
            content = np.frombuffer(path.read_bytes(), np.uint8)
            self._network = cv2.FaceDetectorYN.create(
                "onnx", content, np.empty(0, np.uint8), (LARGE, LARGE), self.threshold
            )
        except (cv2.error, SystemError) as error:
            raise DetectorError(
                f"{printable(path.name)}: no YuNet model; give OpenCV's {YUNET}"
            ) from error
        except OSError as error:
            raise DetectorError(f"{printable(path)}: cannot be read ({error.strerror})") from error

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes and scores of the faces in a picture."""
        return self.find(rgb)[:2]

    def find(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes, scores, and tilts float32 [k] in degrees: how far the eyes' line falls to the
        right."""
        fine, factor = _reduced(rgb, self.longest)
        found = [self._search(fine, factor)]
        if max(fine.shape[:2]) > 2 * LARGE:
            coarse, more = _reduced(fine, LARGE, coarsest=np.inf)
            found.append(self._search(coarse, factor * more))
        boxes, tilts, scores = np.split(_distinct(np.concatenate(found)), [4, 5], axis=1)
        return *_ordered(boxes, scores), tilts[:, 0].astype(np.float32)

    def _search(self, rgb: np.ndarray, factor: float) -> np.ndarray:
        """Boxes in pixels of the whole picture, tilts, scores: float [k, 6]."""
        if min(rgb.shape[:2]) < SMALLEST:  # in a line of pixels it sees faces of any size
            return np.empty((0, 6))
        self._network.setInputSize(rgb.shape[1::-1])
        try:
            found = self._network.detect(np.ascontiguousarray(rgb[:, :, ::-1]))[1]
        except cv2.error as error:
            name = printable(Path(str(self.file)).name)
            raise DetectorError(f"{name}: fails on a picture; give OpenCV's {YUNET}") from error
        if found is None:
            return np.empty((0, 6))
        # of a low picture it may see faces without end
        found = found[np.abs(found).max(axis=1) < 4 * max(rgb.shape)]
        right, left = found[:, 4:6], found[:, 6:8]  # eyes of the person, who looks at us
        tilts = np.degrees(np.arctan2(*(left - right).T[::-1]))
        return np.column_stack([found[:, :4] * factor, tilts, found[:, -1]])


@dataclass
class Cascade:
    """Viola and Jones's cascade by OpenCV; `file` is its description.

    `scale` between the sizes searched; `neighbours`: overlapping hits that make a face; `smallest`
    in pixels: the side of the smallest face searched; `longest` as for `YuNet`. The score is the
    weight of the cascade's last stage. System D's parameters are `SYSTEM_D`.
    """

    file: str | Path
    scale: float = 1.1
    neighbours: int = 5
    smallest: int = 30
    longest: int | None = LONGEST
    margin: ClassVar[float] = 0.01
    _cascade: cv2.CascadeClassifier = field(init=False, repr=False)

    def __post_init__(self):
        if not self.scale > 1 or self.neighbours < 0 or self.smallest < 0:
            raise DetectorError(
                f"scale {self.scale}, neighbours {self.neighbours}, smallest {self.smallest}: "
                "scale must be above 1, the others not below 0"
            )
        path = Path(self.file).expanduser()
        if not path.is_file():
            raise DetectorError(f"{printable(path)}: no such cascade file")
        try:
            self._cascade = cv2.CascadeClassifier(str(path))
            empty = self._cascade.empty()
        except (cv2.error, SystemError):
            empty = True
        if empty:
            raise DetectorError(
                f"{printable(path.name)}: no cascade that OpenCV reads; "
                "opencv_traincascade writes one"
            )

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes and scores of the faces in a picture."""
        small, factor = _reduced(pictures.gray(rgb), self.longest, 2 * COARSEST)  # it is slower
        boxes, _, weights = self._cascade.detectMultiScale3(
            small,
            self.scale,
            self.neighbours,
            minSize=(self.smallest, self.smallest),
            outputRejectLevels=True,
        )
        return _ordered(np.asarray(boxes, float).reshape(-1, 4) * factor, weights)


@dataclass
class Whole:
    """The whole picture is one face."""

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One box, the picture's own, with score 1."""
        return np.array([[0, 0, rgb.shape[1], rgb.shape[0]]], np.int32), np.ones(1, np.float32)


def haar(**parameters) -> Cascade:
    """OpenCV's frontal-face Haar cascade."""
    folder = Path(cv2.__file__).parent / "data"
    return Cascade(folder / "haarcascade_frontalface_default.xml", **parameters)


DETECTORS: dict[str, Callable[..., Detector]] = {"yunet": YuNet, "haar": haar, "whole": Whole}


def detector(name: str | Path | None = None, **parameters) -> Detector:
    """The detector `name`, that of a cascade file (.xml) of one's own, or YuNet by its .onnx file.

    None takes YuNet; where its model is not there and cannot be fetched, the Haar cascade, with a
    warning. `parameters` are those of the detector's class. Raises `DetectorError` for an unknown
    name or parameter and for a missing file.
    """
    if name is None:
        return _default(**parameters)
    if not isinstance(name, str | Path):
        raise DetectorError(f"a detector of type {type(name).__name__}: give a name or a file")
    suffix = Path(name).suffix.lower()
    if suffix in (".xml", ".onnx"):
        return (Cascade if suffix == ".xml" else YuNet)(name, **parameters)
    if name not in DETECTORS:
        raise DetectorError(
            f"detector {printable(repr(str(name)))} is unknown; choose {', '.join(DETECTORS)}, "
            "a cascade file (.xml) or YuNet's file (.onnx)"
        )
    try:
        return DETECTORS[name](**parameters)
    except TypeError as error:
        raise DetectorError(f"detector {name}: {str(error).split('() ', 1)[-1]}") from error


def yunet_file() -> Path:
    """YuNet's model file: the one named by FERCORE_YUNET, the one in the cache, or one fetched from
    OpenCV's model zoo and checked by its SHA-256.

    Raises `DetectorError` when there is none and it cannot be fetched.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    path = paths.CACHE / "models" / YUNET
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256:
        return path
    import pooch

    pooch.get_logger().setLevel("ERROR")
    try:
        pooch.retrieve(
            ADDRESS,
            f"sha256:{SHA256}",
            fname=path.name,
            path=path.parent,
            downloader=pooch.HTTPDownloader(timeout=10),
        )
    except (OSError, ValueError) as error:  # no network, no place to write, another file
        raise DetectorError(
            f"YuNet's model cannot be fetched ({_reason(error)}); download {YUNET} from OpenCV's "
            f"model zoo and name it by --detector or {VARIABLE}"
        ) from error
    return path


def _default(**parameters) -> Detector:
    try:
        return YuNet(**parameters)
    except DetectorError as error:
        if os.environ.get(VARIABLE) or parameters:
            raise
        warnings.warn(f"faces are sought by the weaker Haar cascade: {error}", stacklevel=4)
        return haar()


def _reason(error: Exception) -> str:
    """Why a file could not be fetched, without the address and the classes of the client."""
    if isinstance(error, PermissionError) or getattr(error, "strerror", None):
        return f"cache {printable(paths.CACHE)}: {getattr(error, 'strerror', None)}"
    return "not the file expected" if isinstance(error, ValueError) else "no connection"


def _reduced(
    picture: np.ndarray, longest: int | None, coarsest: float = COARSEST
) -> tuple[np.ndarray, float]:
    """The picture with no side above `longest`, but reduced at most `coarsest` times, and what its
    coordinates must be multiplied by."""
    height, width = picture.shape[:2]
    enough = max(coarsest, (height * width / AREA) ** 0.5)
    factor = min(max(height, width) / longest, enough) if longest else 1.0
    if factor <= 1:
        return picture, 1.0
    size = [max(1, round(side / factor)) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), factor


def _distinct(found: np.ndarray) -> np.ndarray:
    """The rows, boxes first and scores last, best first, without those whose box overlaps with a
    better one."""
    kept = cv2.dnn.NMSBoxes(found[:, :4].tolist(), found[:, -1].tolist(), 0.0, OVERLAP)
    return found[np.asarray(kept, int).reshape(-1)]


def _ordered(boxes, scores) -> tuple[np.ndarray, np.ndarray]:
    """Boxes int32 and scores float32, best first."""
    boxes = np.round(np.asarray(boxes, float).reshape(-1, 4)).astype(np.int32)
    scores = np.asarray(scores, np.float32).reshape(-1)
    order = np.argsort(-scores, kind="stable")
    return boxes[order], scores[order]
