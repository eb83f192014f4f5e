"""Expressions of the faces in pictures: a detector finds faces; each is levelled, cut out with a
margin, made gray and 48×48; a network predicts the probabilities of the expressions.

    results = Recogniser().recognise(["one.jpg", "two.jpg"])    # a list of faces for each picture
    table(["one.jpg", "two.jpg"], results)
"""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from fercore.config import DEFAULT_VIEWS
from fercore.data import pictures
from fercore.data.faces import SIDE
from fercore.recognition import detection, inference

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 10_000  # pixels: of a longer square not every row and column is read
COLUMNS = ("picture", "face", "x", "y", "width", "height", "score", "expression", "probability")
Picture = Any  # what `pictures.read` takes: path, bytes, open file, Pillow image, array


class RecognitionError(ValueError):
    """Pictures or a margin that cannot be worked with."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a picture: `box` (x, y, width, height) in pixels, as the detector found it, and its
    `score`; calibrated `probabilities` float32 [c] of `class_names`."""

    box: tuple[int, int, int, int]
    score: float
    probabilities: np.ndarray
    class_names: tuple[str, ...]

    @property
    def expression(self) -> str:
        """The most probable expression."""
        return self.class_names[int(self.probabilities.argmax())]

    @property
    def probability(self) -> float:
        """Its probability, 0..1."""
        return float(self.probabilities.max())


class Recogniser:
    """A network and a detector, ready for pictures.

    `model`, `views` and `known` (precision, prior, class_names) are those of `inference.load`;
    `detector` that of `detection.detector`, or an object with `detect`; `margin`: share of a box's
    side that `crop` adds, None for the detector's own. Raises `ModelError`, `DetectorError` or
    `RecognitionError`.
    """

    def __init__(
        self,
        model: str | Path = "compact",
        detector: str | Path | detection.Detector | None = None,
        *,
        margin: float | None = None,
        views: int = DEFAULT_VIEWS,
        **known,
    ):
        by_name = detector is None or isinstance(detector, str | Path)
        self.detector: Any = detection.detector(detector) if by_name else detector  # type: ignore[arg-type]
        self.network = inference.load(model, views=views, **known)
        self.class_names = self.network.class_names  # of the expressions, as predicted
        self.margin = getattr(self.detector, "margin", 0.0) if margin is None else margin
        if not -0.5 < self.margin <= 2:
            raise RecognitionError(f"margin {self.margin} is a share of the box's side, -0.4 to 2")

    def recognise(self, pictures: Picture | Iterable[Picture]) -> list[list[Face]]:
        """The faces of each picture, best detected first: one list a picture. `pictures`: one or
        several, as `pictures.read` takes them, or folders. Raises `PictureError`; a bad picture of
        a folder is a warning and has no faces."""
        found, crops = [], []
        for rgb in _pixels(pictures):
            boxes, scores, tilts = self.find(rgb)
            found.append(list(zip(boxes.tolist(), scores.tolist(), strict=True)))
            places = zip(boxes, tilts, strict=True)
            crops += [crop(rgb, box, self.margin, tilt) for box, tilt in places]
        predicted = iter(self.probabilities(np.array(crops, np.uint8).reshape(-1, SIDE, SIDE)))
        return [
            [Face(tuple(box), score, next(predicted), self.class_names) for box, score in faces]
            for faces in found
        ]

    def find(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes int32 [k, 4], scores and tilts float32 [k] of the faces in a picture uint8 [h, w,
        3]; tilts in degrees, as `crop` takes them, 0 where the detector does not know."""
        if isinstance(self.detector, detection.YuNet) and rgb.size:
            return self.detector.find(rgb)
        nothing = np.empty((0, 4), np.int32), np.empty(0, np.float32)
        boxes, scores = self.detector.detect(rgb) if rgb.size else nothing
        return boxes, scores, np.zeros(len(boxes), np.float32)

    def probabilities(self, crops: np.ndarray) -> np.ndarray:
        """Calibrated probabilities float32 [n, c] of gray crops uint8 [n, 48, 48]."""
        return self.network.probabilities(crops)


def crop(rgb: np.ndarray, box: np.ndarray, margin: float, tilt: float = 0.0) -> np.ndarray:
    """The square around a box with `margin` of its side added on each side, gray uint8 [48, 48],
    turned with the eyes' line, which falls by `tilt` degrees to the right."""
    x, y, width, height = (float(value) for value in box)
    side = max(width, height) * (1 + 2 * margin)
    # a square half as large again holds the turned one; at twice the size it stays sharp
    face = _square(rgb, x + width / 2, y + height / 2, 1.5 * side if tilt else side)
    if tilt:
        face = cv2.resize(face, (3 * SIDE, 3 * SIDE))
        turn = cv2.getRotationMatrix2D((1.5 * SIDE - 0.5, 1.5 * SIDE - 0.5), float(tilt), 1)
        face = cv2.warpAffine(face, turn, face.shape, borderMode=cv2.BORDER_REPLICATE)
        face = face[SIDE // 2 : -SIDE // 2, SIDE // 2 : -SIDE // 2]
    how = cv2.INTER_AREA if face.shape[0] > SIDE else cv2.INTER_CUBIC
    return cv2.resize(face, (SIDE, SIDE), interpolation=how)


def rows(names: Iterable[object], results: Iterable[Sequence[Face]]) -> list[dict]:
    """One dictionary per face: `COLUMNS`, then the probability of each expression by its name."""
    found = []
    for name, faces in zip(names, results, strict=True):
        for number, face in enumerate(faces):
            values = (str(name), number, *face.box, face.score, face.expression, face.probability)
            predicted = zip(face.class_names, face.probabilities.tolist(), strict=True)
            found.append(dict(zip(COLUMNS, values, strict=True)) | dict(predicted))
    return found


def table(names: Iterable[object], results: Iterable[Sequence[Face]]) -> "pd.DataFrame":
    """`rows` as a table."""
    import pandas as pd

    found = rows(names, results)
    return pd.DataFrame(found, columns=list(found[0] if found else COLUMNS))


def _square(rgb: np.ndarray, x: float, y: float, side: float) -> np.ndarray:
    """The square around a point, gray uint8; beyond the picture its last pixels are repeated."""
    left, top, side = round(x - side / 2), round(y - side / 2), max(1, round(side))
    if min(left, top) >= 0 and left + side <= rgb.shape[1] and top + side <= rgb.shape[0]:
        return pictures.gray(rgb[top : top + side, left : left + side])
    step = 1 + side // LARGEST
    rows = np.clip(np.arange(top, top + side, step), 0, rgb.shape[0] - 1)
    columns = np.clip(np.arange(left, left + side, step), 0, rgb.shape[1] - 1)
    return pictures.gray(rgb[rows[:, None], columns])


def _pixels(given: Picture | Iterable[Picture]) -> Iterator[np.ndarray]:
    """The pixels of pictures and folders; of a bad picture in a folder none, and a warning."""
    single = str | bytes | bytearray | memoryview | Path | np.ndarray | Image.Image
    if isinstance(given, single) or hasattr(given, "read") or not isinstance(given, Iterable):
        given = [given]
    for picture in given:
        if not (isinstance(picture, str | Path) and os.path.isdir(picture)):
            yield pictures.read(picture)
            continue
        for path in pictures.listed(picture):
            try:
                yield pictures.read(path)
            except pictures.PictureError as error:
                warnings.warn(str(error), stacklevel=3)
                yield np.zeros((0, 0, 3), np.uint8)
