"""Faces drawn by code, so that every notebook, table and test runs without FER2013.

A face is a person and an expression: how far brows, lids, nose and mouth have moved, after the
action units of the Facial Action Coding System (Ekman & Friesen, 1978). The frame is -1..1, y down.
"""

from types import SimpleNamespace

import cv2
import numpy as np

from fercore.data.faces import CLASS_NAMES, SIDE, USAGES, Faces, from_arrays

ORIGIN = "embedded synthetic faces"
CANVAS = 2 * SIDE
DUPLICATES = 0.02  # share that repeats an earlier face, a tenth of them under another label
# What moves, about -1..1, 0 at rest: ends of the brows up; brows together; lids open; nose
# wrinkled; corners of the mouth up; mouth open, wide; teeth seen. For each of `CLASS_NAMES` in two
# ways of showing it.
MOVES = {
    "inner": (-1, -1, -0.5, -0.4, 1, 1, 0, 0, 0.8, 0.95, 0.9, 0.8, 0, 0),
    "outer": (0.3, 0.35, 0, 0, 0.1, 0.15, 0.1, 0.1, -0.5, -0.35, 1, 0.9, 0, 0),
    "frown": (1, 1, 0.45, 0.3, 0.5, 0.5, 0, 0, 0.3, 0.5, 0, 0, 0, 0),
    "lids": (-0.35, 0, -0.6, -0.7, 0.8, 0.9, -0.4, -0.2, -0.5, -0.6, 0.8, 0.7, 0, -0.15),
    "nose": (0, 0.25, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "corners": (-0.5, -0.25, -0.6, -0.7, -0.35, -0.25, 1, 0.9, -0.9, -0.75, 0, 0.15, 0, 0.05),
    "opening": (0, 0.5, 0, 0.3, 0.38, 0.2, 0.5, 0, 0, 0.12, 1, 0.65, 0, 0),
    "width": (-0.15, 0.1, 0, 0, 0.45, 0.5, 0.5, 0.45, 0, 0.1, -0.45, -0.2, 0, 0),
    "teeth": (0, 1, 0, 0.7, 0.7, 0.3, 1, 0, 0, 0, 0, 0.4, 0, 0),
}
VARIANTS = np.array(list(MOVES.values())).T.reshape(len(CLASS_NAMES), 2, -1)
_T = np.linspace(-1, 1, 15)
_ROUND = np.linspace(0, 2 * np.pi, 40)[:-1]


def faces(train: int = 2100, validation: int = 420, test: int = 420, seed: int = 0) -> Faces:
    """Drawn `Faces`, the same for the same seed: `train` Training, `validation` PublicTest, `test`
    PrivateTest. Expressions are equally frequent; each face is another person's."""
    rng = np.random.default_rng(seed)
    n = train + validation + test
    usage = np.repeat(np.arange(len(USAGES), dtype=np.int8), (train, validation, test))
    labels = rng.permutation(np.arange(n) % len(CLASS_NAMES)).astype(np.int8)
    drawn = [draw(person(rng), expression(label, rng), rng) for label in labels]
    images = np.array(drawn, np.uint8).reshape(n, SIDE, SIDE)
    for repeated in np.flatnonzero(rng.random(n) < DUPLICATES)[1:]:
        original = rng.integers(repeated)
        images[repeated] = images[original]
        labels[repeated] = labels[original] if rng.random() < 0.9 else labels[repeated]
    return from_arrays(images, labels, usage, origin=ORIGIN)


def votes(faces: Faces, columns: np.ndarray) -> np.ndarray:
    """Ten votes on each drawn face, int8 [n, 10]: four in five for the column of its label, others
    anywhere. The same for the same row, whichever faces are given."""
    rng, rows = np.random.default_rng(0), faces.row_ids
    shape = rows.max(initial=0) + 1, 10
    agree, others = rng.random(shape)[rows] < 0.8, rng.integers(10, size=shape)[rows]
    given = np.where(agree, columns[faces.labels][:, None], others)
    return (given[:, :, None] == np.arange(10)).sum(1).astype(np.int8)


def person(rng: np.random.Generator) -> SimpleNamespace:
    """What stays when the expression changes; lengths in frame units, shades in 0..255."""
    return SimpleNamespace(
        face=rng.uniform((0.68, 0.96), (0.82, 1.1)),  # half width, half height
        skin=rng.uniform(95, 215),
        hair=rng.uniform(30, 90),
        fringe=rng.uniform(-0.8, 1),
        eye=rng.uniform(0.17, 0.21),
        spacing=rng.uniform(0.33, 0.39),
        mouth=rng.uniform(0.26, 0.34),
    )


def expression(label: int, rng: np.random.Generator) -> SimpleNamespace:
    """`MOVES` that show a class: some weaker, none exact, one in six with a trace of another."""
    values = rng.beta(3.2, 1.7) * VARIANTS[label, rng.integers(2)]
    if rng.random() < 1 / 6:
        values = 0.6 * values + 0.4 * VARIANTS[rng.integers(len(CLASS_NAMES)), rng.integers(2)]
    values = values + rng.normal(0, 0.09, len(values))
    return SimpleNamespace(**dict(zip(MOVES, values, strict=True)))


def draw(who: SimpleNamespace, move: SimpleNamespace, rng: np.random.Generator) -> np.ndarray:
    """One face, uint8 [48, 48]: pose, light, blur, contrast and grain by chance."""
    canvas = _Canvas(rng)
    _head(canvas, who)
    for side in (-1, 1):
        _eye(canvas, who, move, side)
        for y in (-0.2, -0.11, -0.02):
            line = [[0.02 * side, y], [0.15 * side, y - 0.06]]
            canvas.fill(line, 0.55 * who.skin, move.nose - 0.15, width=0.035)
    _nose_and_mouth(canvas, who, move)
    light = 1 + rng.normal(0, 0.16) * np.linspace(-1, 1, CANVAS, dtype=np.float32)
    small = cv2.resize(canvas.image * light, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.2, 0.65))
    small = 128 + rng.uniform(0.8, 1.2) * (small - 128) + rng.normal(0, 10)
    return np.clip(small + rng.normal(0, rng.uniform(1, 5.5), small.shape), 0, 255).astype(np.uint8)


class _Canvas:
    """A float image with a pose, into which shapes in face coordinates are blended."""

    def __init__(self, rng: np.random.Generator):
        angle, scale = rng.normal(0, 6), rng.uniform(0.9, 1.06) * CANVAS / 2
        self.pose = cv2.getRotationMatrix2D((0, 0), -angle, scale)
        self.pose[:, 2] = CANVAS / 2 * (1 + rng.normal(0, 0.04, 2))
        shades = np.linspace(rng.uniform(20, 210), rng.uniform(20, 210), CANVAS, dtype=np.float32)
        self.image = np.repeat(shades[:, None], CANVAS, axis=1)

    def fill(self, xy, shade, alpha=1.0, within=None, width=0.0) -> np.ndarray:
        """Fill a polygon [n, 2], or draw a line of some `width`; the mask that it covers."""
        points = np.rint(16 * cv2.transform(np.array([xy], float), self.pose)).astype(np.int32)
        mask = np.zeros((CANVAS, CANVAS), np.uint8)
        if width:
            thick = max(1, round(width * CANVAS / 2))
            cv2.polylines(mask, [*points], False, 255, thick, cv2.LINE_AA, 4)
        else:
            cv2.fillPoly(mask, [*points], 255, cv2.LINE_AA, 4)
        cover = mask * np.float32(1 / 255) * (1 if within is None else within)
        self.image += np.float32(np.clip(alpha, 0, 1)) * cover * (shade - self.image)
        return cover


def _oval(x: float, y: float, width: float, height: float) -> np.ndarray:
    return np.stack([x + width * np.cos(_ROUND), y + height * np.sin(_ROUND)], 1)


def _band(x: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.concatenate([np.stack([x, top], 1), np.stack([x, bottom], 1)[::-1]])


def _head(canvas: _Canvas, who: SimpleNamespace) -> None:
    """Hair, and the face, darker towards its edge, narrower below, under a fringe."""
    canvas.fill(_oval(0, -0.3, who.face[0] + 0.12, 0.85 + 0.3 * who.fringe), who.hair)
    outline = _oval(0, 0, 1, 1)
    outline[:, 0] *= 1 - 0.2 * np.maximum(outline[:, 1], 0) ** 2
    for size, shade in ((1, 0.8), (0.93, 0.9), (0.8, 1)):
        canvas.fill(size * who.face * outline, shade * who.skin)
    skull = -0.32 - 0.86 * np.sqrt(1 - 0.8 * _T**4)
    fringe = np.maximum(0.5 * _T**4 - 0.76 + 0.08 * who.fringe, skull)
    canvas.fill(_band((who.face[0] + 0.06) * _T, skull, fringe), who.hair)


def _eye(canvas: _Canvas, who: SimpleNamespace, move: SimpleNamespace, side: int) -> None:
    """White, iris, cut by the lids, and the upper lid; the brow, tapered towards its outer end."""
    x, y = side * who.spacing + who.eye * _T, -0.22
    top = y - who.eye * np.clip(0.5 + 0.48 * move.lids, 0.1, 1.05) * (1 - _T**2) ** 0.8
    bottom = y + who.eye * np.clip(0.32 + 0.2 * move.lids, 0.05, 0.6) * (1 - _T**2)
    inside = canvas.fill(_band(x, top, bottom), min(245, 150 + 0.42 * who.skin))
    canvas.fill(_oval(x[7], y - 0.01, 0.105, 0.105), 50, within=inside)
    canvas.fill(np.stack([x, top], 1), 0.2 * who.skin, width=0.05)
    t = np.linspace(0, 1, 9)
    x = who.spacing - 0.21 - 0.1 * max(move.frown, 0) + 0.43 * t
    y = -0.5 - 0.16 * (move.inner * (1 - t) ** 1.3 + move.outer * t**0.8)
    half = 0.055 * (1 - 0.65 * t**2)
    canvas.fill(_band(x, y - half, y + half) * [side, 1], min(who.hair, 0.5 * who.skin), 0.95)


def _nose_and_mouth(canvas: _Canvas, who: SimpleNamespace, move: SimpleNamespace) -> None:
    """Nostrils; lips around an opening with teeth inside it."""
    tip = 0.26 - 0.07 * max(move.nose, 0)
    for side in (-1, 1):
        canvas.fill(_oval(0.09 * side, tip, 0.045, 0.028), 0.3 * who.skin, 0.9)
    x, opening = who.mouth * (1 + 0.42 * move.width) * _T, max(move.opening, 0)
    middle = 0.53 + 0.05 * opening + move.corners * (0.06 - 0.17 * _T**2)
    lift = 0.1 * max(move.nose, 0) * (1 - np.abs(_T)) ** 0.5  # a wrinkled nose raises the lip
    swell = np.sqrt(1 - np.abs(_T) ** 3)
    top = middle - (0.12 * opening + lift) * swell
    bottom = middle + (0.33 * opening - 0.3 * lift) * swell
    thick = 0.06 * (1 - _T**2) ** 0.65
    canvas.fill(_band(x, top - thick, bottom + 1.2 * thick), 0.62 * who.skin)
    canvas.fill(np.stack([x, (top + bottom) / 2], 1), 0.25 * who.skin, width=0.032)
    inside = canvas.fill(_band(x, top, bottom), 22)
    depth = np.minimum(0.11, 0.8 * (bottom - top))
    canvas.fill(_band(0.92 * x, top, top + depth), 228, 1.2 * move.teeth, inside)
