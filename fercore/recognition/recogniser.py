"""Expressions of the faces in pictures, in three lines:

    from fercore.recognition import Recogniser, table
    results = Recogniser().recognise(["one.jpg", "two.jpg"])    # a list of faces for each picture
    table(["one.jpg", "two.jpg"], results)

For each picture: a detector finds faces; each is cut out with a margin, made gray and 48×48; a
network tells the probabilities of the expressions.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from fercore.data import pictures
from fercore.data.faces import SIDE
from fercore.recognition import detection, inference

if TYPE_CHECKING:
    import pandas as pd

# pixels: of a longer square not every row and column is read, so that it fits into memory
LARGEST = 10_000
MARGINS = {
    "haar": 0.01,
    "lbp": 0.0,
}  # by detector, from benchmarks/margin.py; others take that of haar

COLUMNS = ("picture", "face", "x", "y", "width", "height", "score", "expression", "probability")
Picture = str | Path | np.ndarray


class RecognitionError(ValueError):
    """Pictures or boxes that cannot be worked on."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a picture.

    `box` (x, y, width, height) in pixels, as the detector found it, without margin; `score` is the
    detector's own; `probabilities` float32 [c], calibrated, in the order of `class_names`.
    """

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

    `model`, `precision`, `threads` and `views` are those of `inference.load`, `views` here by
    default a face and its mirror image; `detector`: a name or cascade file, as `detection.detector`
    takes it, or an object with `detect`; `margin`: share of a found box's side that is added on
    each of its four sides, None for what was measured for this detector.
    """

    def __init__(
        self,
        model: str | Path = "compact",
        detector: str | Path | detection.Detector = "haar",
        *,
        margin: float | None = None,
        threads: int | None = None,
        precision: str | None = None,
        views: int = 2,
    ):
        self.network = inference.load(model, precision=precision, threads=threads, views=views)
        self.detector = (
            detection.detector(detector) if isinstance(detector, str | Path) else detector
        )
        self.margin = _margin(self.detector, detector) if margin is None else margin
        if not -0.5 < self.margin <= 2:
            raise RecognitionError(
                f"margin {self.margin} is a share of the box's side; give one from -0.4 to 2"
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The expressions that are told apart."""
        return self.network.class_names

    def recognise(
        self,
        pictures: Picture | Sequence[Picture],
        *,
        boxes: np.ndarray | Sequence[np.ndarray] | None = None,
    ) -> list[list[Face]]:
        """The faces of each picture, best detected first; one list a picture, also when there is
        but one.

        `pictures`: a file, a folder, an array as `pictures.as_rgb` takes it, or a list of these.
        `boxes`, int [k, 4] of one picture or a list of such arrays, one a picture: the faces'
        places, which are then not searched for and not widened. All faces of all pictures go
        through the network together. Raises `PictureError` and `RecognitionError`; a bad picture of
        a folder is a warning and has no faces.
        """
        names = _listed(pictures)
        places = _places(boxes, len(names))
        found, crops = [], []
        for (picture, listed), given in zip(names, places, strict=True):
            rgb = _rgb(picture, listed)
            where, scores = self._places(rgb) if given is None else _given(given, rgb)
            found.append((where, scores))
            crops += [crop(rgb, box, self.margin if given is None else 0.0) for box in where]
        probabilities = iter(self.probabilities(np.array(crops, np.uint8).reshape(-1, SIDE, SIDE)))
        return [
            [
                Face(tuple(map(int, box)), float(score), next(probabilities), self.class_names)
                for box, score in zip(where, scores, strict=True)
            ]
            for where, scores in found
        ]

    def _places(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (
            self.detector.detect(rgb)
            if rgb.size
            else (np.empty((0, 4), np.int32), np.empty(0, np.float32))
        )

    def probabilities(self, crops: np.ndarray) -> np.ndarray:
        """Calibrated probabilities float32 [n, c] of faces that are cut out already, gray uint8 [n,
        48, 48]."""
        return self.network.probabilities(crops)


def crop(rgb: np.ndarray, box: np.ndarray, margin: float) -> np.ndarray:
    """The square around a box with `margin` of its side added on each side, gray uint8 [48, 48].

    Beyond the picture's edge its last pixels are repeated. Of a square of `LARGEST` pixels a side
    or more, as it lies around a very thin picture, every second, third, ... row and column is
    taken.
    """
    x, y, width, height = (float(value) for value in box)
    side = max(width, height) * (1 + 2 * margin)
    left, top = round(x + width / 2 - side / 2), round(y + height / 2 - side / 2)
    side = max(1, round(side))
    step = 1 + side // LARGEST
    rows = np.clip(np.arange(top, top + side, step), 0, rgb.shape[0] - 1)
    columns = np.clip(np.arange(left, left + side, step), 0, rgb.shape[1] - 1)
    face = pictures.gray(rgb[rows[:, None], columns])
    return cv2.resize(
        face, (SIDE, SIDE), interpolation=cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC
    )


def rows(names: Sequence[str | Path], results: Sequence[Sequence[Face]]) -> list[dict]:
    """A dictionary a face: picture, face (counted from 0), x, y, width, height, score, expression,
    probability, then the probability of each expression by its name. A picture without faces has
    none.
    """
    found = []
    for name, faces in zip(names, results, strict=True):
        for number, face in enumerate(faces):
            row = {"picture": str(name), "face": number}
            row |= dict(zip(("x", "y", "width", "height"), face.box, strict=True))
            row |= {
                "score": face.score,
                "expression": face.expression,
                "probability": face.probability,
            }
            found.append(
                row | dict(zip(face.class_names, face.probabilities.tolist(), strict=True))
            )
    return found


def table(names: Sequence[str | Path], results: Sequence[Sequence[Face]]) -> "pd.DataFrame":
    """`rows` as a table."""
    import pandas as pd

    found = rows(names, results)
    return pd.DataFrame(found, columns=list(found[0] if found else COLUMNS))


def _margin(built: detection.Detector, asked: str | Path | detection.Detector) -> float:
    if isinstance(built, detection.Whole):
        return 0.0
    return MARGINS.get(asked, MARGINS["haar"]) if isinstance(asked, str) else MARGINS["haar"]


def _listed(given: Picture | Sequence[Picture]) -> list[tuple[Picture, bool]]:
    """One or many pictures, folders replaced by what lies in them, and whether each was found in a
    folder."""
    many = [given] if isinstance(given, str | Path | np.ndarray) else list(given)
    names = []
    for picture in many:
        folder = isinstance(picture, str | Path) and Path(picture).is_dir()
        names += (
            [(path, True) for path in pictures.listed(picture)] if folder else [(picture, False)]
        )
    return names


def _places(boxes, count: int) -> list:
    """The boxes given for each picture, None where they are to be found."""
    if boxes is None:
        return [None] * count
    single = count == 1 and np.ndim(boxes) == 2
    places = [boxes] if single else list(boxes)
    if len(places) != count:
        raise RecognitionError(
            f"{len(places)} lists of boxes for {count} pictures; give one for each"
        )
    return places


def _given(boxes, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    boxes = np.asarray(boxes, np.int32).reshape(-1, 4)
    height, width = rgb.shape[:2]
    x, y, w, h = boxes.T
    inside = (w > 0) & (h > 0) & (x < width) & (y < height) & (x + w > 0) & (y + h > 0)
    if not inside.all():
        raise RecognitionError(
            f"box {boxes[~inside][0].tolist()} lies outside the picture of {width}×{height}; "
            "give x, y, width, height in pixels"
        )
    return boxes, np.ones(len(boxes), np.float32)


def _rgb(picture: Picture, listed: bool) -> np.ndarray:
    """The pixels of a picture; of a bad one that lies in a folder, a warning and none."""
    try:
        return (
            pictures.as_rgb(picture) if isinstance(picture, np.ndarray) else pictures.read(picture)
        )
    except pictures.PictureError as error:
        if not listed:
            raise
        warnings.warn(str(error), stacklevel=3)
        return np.zeros((0, 0, 3), np.uint8)
