"""Faces in a picture, by a detector that is chosen by name: any object with `detect(rgb uint8 [h,
w, 3]) -> (boxes int32 [k, 4], scores float32 [k])`. A box is x, y, width, height in pixels, and the
best comes first. A score is the detector's own measure: two detectors' scores do not compare."""

import hashlib
import os
import threading
import warnings
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from fercore import paths
from fercore.artifacts import printable
from fercore.data import pictures

LONGEST = 1280  # pixels: longer pictures are reduced for the search
COARSEST, AREA = 1.6, 6_000_000  # but not more where that leaves so many pixels: small faces
LARGE = 320  # pixels: YuNet misses larger faces, so it also sees the picture at this length
SMALLEST = 32  # pixels of a side of the picture that YuNet is shown, its coarsest step
OVERLAP = 0.3  # intersection over union: above it two boxes hold one face
THRESHOLD = 0.6  # the lowest score of YuNet's that counts

YUNET = "face_detection_yunet_2023mar.onnx"  # in OpenCV's model zoo; MIT licence
ADDRESS = f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{YUNET}"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
VARIABLE = "FERCORE_YUNET"

HAAR = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"


class DetectorError(ValueError):
    """A detector that does not exist or lacks its file."""


class YuNet:
    """OpenCV's network for faces (Wu et al. 2023); `file` is its ONNX model, None finds it."""

    margin = -0.025  # as benchmarks/margin.py measured it, for `recogniser.crop`

    def __init__(self, file: str | Path | None = None):
        path = yunet_file() if file is None else Path(file).expanduser()
        self._lock = threading.Lock()  # the network keeps state from call to call
        try:
            content = np.frombuffer(path.read_bytes(), np.uint8)
            self._network = cv2.FaceDetectorYN.create(
                "onnx", content, np.empty(0, np.uint8), (LARGE, LARGE), THRESHOLD
            )
            self._network.detect(np.zeros((LARGE, LARGE, 3), np.uint8))
        except (cv2.error, SystemError) as error:
            name = printable(path.name)
            raise DetectorError(f"{name}: no YuNet model; give OpenCV's {YUNET}") from error
        except OSError as error:
            raise DetectorError(f"{printable(path)}: cannot be read ({error.strerror})") from error

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes and scores of the faces in a picture."""
        return self.find(rgb)[:2]

    def find(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes, scores, and tilts float32 [k]: degrees by which the eyes' line falls."""
        fine, factor = _reduced(rgb, LONGEST, COARSEST)
        found = self._search(fine, factor)
        if max(fine.shape[:2]) > 2 * LARGE:
            coarse, more = _reduced(fine, LARGE, np.inf)
            found = np.concatenate([found, self._search(coarse, factor * more)])
        boxes, scores = found[:, :4].tolist(), found[:, 5].tolist()
        best = cv2.dnn.NMSBoxes(boxes, scores, 0.0, OVERLAP)  # of those that overlap, best first
        found = found[np.asarray(best, int).reshape(-1)]
        return *_typed(found[:, :4], found[:, 5]), found[:, 4].astype(np.float32)

    def _search(self, rgb: np.ndarray, factor: float) -> np.ndarray:
        """Boxes in pixels of the whole picture, tilts, scores: float [k, 6]."""
        if min(rgb.shape[:2]) < SMALLEST:  # in a strip of pixels it sees faces of any size
            return np.empty((0, 6))
        with self._lock:
            self._network.setInputSize(rgb.shape[1::-1])
            found = self._network.detect(np.ascontiguousarray(rgb[:, :, ::-1]))[1]
        found = np.empty((0, 15)) if found is None else found
        # of a low picture it may see faces without end
        found = found[np.abs(found).max(axis=1) < 4 * max(rgb.shape)]
        right, left = found[:, 4:6], found[:, 6:8]  # eyes of the person, who looks at us
        tilts = np.degrees(np.arctan2(*(left - right).T[::-1]))
        return np.column_stack([found[:, :4] * factor, tilts, found[:, -1]])


class Cascade:
    """Viola and Jones's cascade by OpenCV; `file` is its description. `scale` between the sizes
    searched; `neighbours`: overlapping hits that make a face; `smallest` face in pixels (system D:
    1.3, 5, 50). The score is the weight of the cascade's last stage."""

    margin = 0.01

    def __init__(
        self, file: str | Path = HAAR, scale: float = 1.1, neighbours: int = 5, smallest: int = 30
    ):
        self.scale, self.neighbours, self.smallest = scale, neighbours, smallest
        self._lock = threading.Lock()
        path, self._cascade = Path(file).expanduser(), cv2.CascadeClassifier()
        if not path.is_file():
            raise DetectorError(f"{printable(path)}: no such file")
        with suppress(cv2.error, SystemError):
            self._cascade.load(str(path))
        if self._cascade.empty():
            raise DetectorError(f"{printable(path)}: no file of a cascade that OpenCV reads")

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes and scores of the faces in a picture."""
        small, factor = _reduced(pictures.gray(rgb), LONGEST, 2 * COARSEST)  # it is slower
        smallest = (self.smallest, self.smallest)
        with self._lock:
            boxes, _, weights = self._cascade.detectMultiScale3(
                small, self.scale, self.neighbours, minSize=smallest, outputRejectLevels=True
            )
        found = np.column_stack([np.reshape(boxes, (-1, 4)), np.reshape(weights, -1)])
        found = found[np.argsort(-found[:, 4], kind="stable")]
        return _typed(found[:, :4] * factor, found[:, 4])


class Whole:
    """The whole picture is one face."""

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One box, the picture's own, with score 1."""
        return _typed([[0, 0, rgb.shape[1], rgb.shape[0]]], [1])


Detector = YuNet | Cascade | Whole
DETECTORS: dict[str, type] = {"yunet": YuNet, "haar": Cascade, "whole": Whole}


def detector(name: str | Path | None = None, **parameters) -> Detector:
    """The detector `name`, a cascade by its .xml file, or YuNet by its .onnx file, with the
    `parameters` of its class. None takes YuNet, or with a warning the Haar cascade."""
    if name is None:
        try:
            return YuNet()
        except DetectorError as error:
            if os.environ.get(VARIABLE):
                raise
            warnings.warn(f"faces are sought by the weaker Haar cascade: {error}", stacklevel=3)
            return Cascade()
    files = {".xml": Cascade, ".onnx": YuNet}
    if (suffix := Path(name).suffix.lower()) in files:
        return files[suffix](name, **parameters)
    if name not in DETECTORS:
        known = f"{', '.join(DETECTORS)}, a cascade file (.xml) or YuNet's file (.onnx)"
        raise DetectorError(f"detector {printable(repr(str(name)))} is unknown; choose {known}")
    return DETECTORS[str(name)](**parameters)


def yunet_file() -> Path:
    """YuNet's model file: the one named by FERCORE_YUNET, else the one in the cache, fetched from
    OpenCV's model zoo and checked by its SHA-256. Raises `DetectorError` when it cannot be had."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    path = paths.CACHE / "models" / YUNET
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256:
        return path
    import pooch

    pooch.get_logger().setLevel("ERROR")
    client = pooch.HTTPDownloader(timeout=10)
    try:
        pooch.retrieve(ADDRESS, f"sha256:{SHA256}", path.name, path.parent, downloader=client)
    except (OSError, ValueError) as error:  # no network, no place to write, another file
        fault = f"cannot be fetched into {printable(path.parent)} ({type(error).__name__})"
        cure = f"download {YUNET} from OpenCV's model zoo, name it by --detector or {VARIABLE}"
        raise DetectorError(f"YuNet's model {fault}; {cure}") from error
    return path


def _reduced(picture: np.ndarray, longest: int, coarsest: float) -> tuple[np.ndarray, float]:
    """The picture with no side above `longest`, but reduced at most `coarsest` times unless `AREA`
    pixels are left, and what its coordinates must be multiplied by."""
    height, width = picture.shape[:2]
    factor = min(max(height, width) / longest, max(coarsest, (height * width / AREA) ** 0.5))
    if factor <= 1:
        return picture, 1.0
    size = max(1, round(width / factor)), max(1, round(height / factor))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), factor


def _typed(boxes, scores) -> tuple[np.ndarray, np.ndarray]:
    return np.round(np.asarray(boxes, float)).astype(np.int32), np.asarray(scores, np.float32)
