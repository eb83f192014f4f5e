"""A face drawn from numbers: an identity, an expression, a pose, a light.

Coordinates: the frame is -1..1, x to the right, y down. Drawn at twice the size and averaged down.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from fercore.data.faces import SIDE

CANVAS = 2 * SIDE


@dataclass(frozen=True)
class Expression:
    """How far each part has moved from rest; about -1..1, 0 is rest."""

    brow_inner: float = 0.0  # up
    brow_outer: float = 0.0  # up
    frown: float = 0.0  # brows together, a furrow between them
    lids: float = 0.0  # wide open above 0, narrowed below
    lower_lid: float = 0.0  # raised
    nose: float = 0.0  # wrinkled
    lip: float = 0.0  # upper lip raised in the middle
    corners: float = 0.0  # of the mouth, up
    opening: float = 0.0  # of the mouth
    width: float = 0.0  # of the mouth
    square: float = 0.0  # an open mouth with flat upper and lower edge
    teeth: float = 0.0
    cheeks: float = 0.0  # raised, with folds from nose to mouth
    pout: float = 0.0  # lower lip pushed up, a wrinkled chin
    droop: float = 0.0  # upper lids sink towards the outside


@dataclass(frozen=True)
class Identity:
    """What stays when the expression changes; lengths in frame units, shades in 0..255."""

    width: float
    length: float
    jaw: float  # 0 pointed, 1 square
    skin: float
    hair: float
    style: int  # 0 bald, 1 short, 2 fringe, 3 long
    brow: float  # thickness
    eye: float  # half width
    spacing: float
    iris: float
    nose: float
    mouth: float  # half width
    lips: float  # thickness
    beard: float
    glasses: bool
    age: float


def draw(person: Identity, moved: Expression, rng: np.random.Generator) -> np.ndarray:
    """One face, uint8 [48, 48]: pose, light, blur, grain and contrast by chance."""
    canvas = _Canvas(rng)
    _head(canvas, person, rng)
    _folds(canvas, person, moved)
    for side in (-1, 1):
        _eye(canvas, person, moved, side)
        _brow(canvas, person, moved, side)
    _nose(canvas, person, moved)
    _mouth(canvas, person, moved)
    _fringe(canvas, person)
    if person.glasses:
        _glasses(canvas, person)
    return canvas.photograph(rng)


class _Canvas:
    """A float image with a pose: shapes come in face coordinates and are blended in,
    antialiased."""

    def __init__(self, rng: np.random.Generator):
        angle, scale = np.deg2rad(rng.normal(0, 6)), rng.uniform(0.9, 1.06)
        turn = np.clip(rng.normal(0, 0.06), -0.14, 0.14)
        cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
        self.matrix = np.array([[cosine, -sine], [sine, cosine]]) * (CANVAS / 2)
        self.origin = CANVAS / 2 + rng.normal(0, 0.04, 2) * (CANVAS / 2)
        self.turn = turn
        rows, columns = np.mgrid[:CANVAS, :CANVAS]
        from_corner = np.stack([columns, rows]) - self.origin[:, None, None]
        self.x, self.y = np.tensordot(np.linalg.inv(self.matrix), from_corner, 1).astype(np.float32)
        low, high = rng.uniform(20, 210, 2)
        self.image = (low + (high - low) * rows / CANVAS).astype(np.float32)
        self.light = rng.normal(0, 0.16), rng.normal(-0.08, 0.1)

    def points(self, xy: np.ndarray, turned: float = 1.0) -> np.ndarray:
        """Pixel positions with 4 fractional bits; `turned` features move sideways as the head
        turns."""
        corner = self.origin + turned * self.turn * self.matrix[:, 0]
        return np.rint(xy @ (16 * self.matrix.T) + 16 * corner).astype(np.int32)

    def fill(self, xy: np.ndarray, shade: float | np.ndarray, alpha: float = 1.0, turned: float = 1.0,
             within: np.ndarray | None = None) -> np.ndarray:  # fmt: skip
        """Fill a polygon [n, 2]; returns the mask that it covers, to clip others `within`."""
        points = self.points(xy, turned)
        mask = np.zeros((CANVAS, CANVAS), np.uint8)
        cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, 4)
        self._blend(mask, self._box(points, 1), shade, alpha, within)
        return mask

    def line(self, xy: np.ndarray, shade: float, width: float, alpha: float = 1.0) -> None:
        """An open line through `xy`, `width` in frame units."""
        points = self.points(xy)
        mask = np.zeros((CANVAS, CANVAS), np.uint8)
        thickness = max(1, round(width * CANVAS / 2))
        cv2.polylines(mask, [points], False, 255, thickness, cv2.LINE_AA, 4)
        self._blend(mask, self._box(points, thickness), shade, alpha, None)

    def shadow(self, x: float, y: float, width: float, height: float, amount: float) -> None:
        """Darken (or lighten, below 0) softly around a point of the face."""
        centre = self.matrix @ (x + self.turn, y) + self.origin
        reach = np.array([width, height]) * (CANVAS / 2)
        low, high = (
            np.clip(centre + side * 2.2 * reach, 0, CANVAS).astype(int) for side in (-1, 1)
        )
        across, down = (
            np.exp(-(((np.arange(low[k], high[k], dtype=np.float32) - centre[k]) / reach[k]) ** 2))
            for k in (0, 1)
        )
        self.image[low[1] : high[1], low[0] : high[0]] *= 1 - np.multiply.outer(
            amount * down, across
        )

    def _box(self, points: np.ndarray, margin: int) -> tuple[slice, slice]:
        """The part of the image around `points`."""
        left, top, width, height = (value // 16 for value in cv2.boundingRect(points))
        return (
            slice(max(top - margin, 0), max(top + height + margin + 2, 0)),
            slice(max(left - margin, 0), max(left + width + margin + 2, 0)),
        )

    def _blend(self, mask: np.ndarray, box: tuple[slice, slice], shade: float | np.ndarray, alpha: float,
               within: np.ndarray | None) -> None:  # fmt: skip
        cover = mask[box] * np.float32(alpha / 255)
        if within is not None:
            cover *= within[box] * np.float32(1 / 255)
        self.image[box] += cover * ((shade if np.isscalar(shade) else shade[box]) - self.image[box])

    def photograph(self, rng: np.random.Generator) -> np.ndarray:
        """The picture as a camera gives it: light from somewhere, blur, contrast, grain."""
        light = 1 + self.light[0] * self.x + self.light[1] * self.y
        small = cv2.resize(self.image * light, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.2, 0.65))
        small = 128 + rng.uniform(0.8, 1.2) * (small - 128) + rng.normal(0, 10)
        return np.clip(small + rng.normal(0, rng.uniform(1, 5.5), small.shape), 0, 255).astype(
            np.uint8
        )


_T = np.linspace(-1, 1, 15)
_ROUND = np.linspace(0, 2 * np.pi, 40)[:-1]


def _oval(x: float, y: float, width: float, height: float) -> np.ndarray:
    return np.stack([x + width * np.cos(_ROUND), y + height * np.sin(_ROUND)], 1)


def _head(canvas: _Canvas, person: Identity, rng: np.random.Generator) -> None:
    """Hair behind, neck, ears and the shaded face."""
    if person.style == 3:
        canvas.fill(_oval(0, 0.1, person.width + 0.24, 1.35), person.hair, turned=0)
    elif person.style:
        canvas.fill(_oval(0, -0.32, person.width + 0.12, 0.85), person.hair, turned=0)
    canvas.fill(
        np.array([[-0.4, 0.6], [0.4, 0.6], [0.5, 1.5], [-0.5, 1.5]]), 0.72 * person.skin, turned=0
    )
    for side in (-1, 1):
        canvas.fill(_oval(side * person.width, 0.0, 0.1, 0.2), 0.82 * person.skin, turned=0)
    x, y = np.cos(_ROUND), np.sin(_ROUND)
    narrow = np.where(y > 0, 1 - (0.28 - 0.2 * person.jaw) * y**2, 1)
    outline = np.stack(
        [
            person.width * np.sign(x) * np.abs(x) ** (1 - 0.2 * person.jaw) * narrow,
            person.length * y,
        ],
        1,
    )
    u, v = canvas.x / person.width, canvas.y / person.length
    shade = person.skin * (1.06 - 0.3 * (u * u + v * v) ** 2)
    inside = canvas.fill(outline, shade, turned=0.3)
    if person.beard:
        chin = inside / np.float32(255) * np.clip((canvas.y - 0.25 - 0.25 * u * u) * 6, 0, 1)
        canvas.image += chin * np.float32(0.75 * person.beard) * (person.hair - canvas.image)


def _folds(canvas: _Canvas, person: Identity, moved: Expression) -> None:
    """Eye sockets, cheeks, the fold from nose to mouth, the furrow between the brows, the chin."""
    cheeks, dark = max(moved.cheeks, 0), 0.62 * person.skin
    for side in (-1, 1):
        canvas.shadow(side * person.spacing, -0.25, 0.28, 0.2, 0.2)
        canvas.shadow(side * 0.42, 0.22 - 0.08 * cheeks, 0.22, 0.16, -0.08 - 0.14 * cheeks)
        fold = np.array([[0.19, 0.2], [0.33, 0.32], [0.4, 0.5]]) * [side, 1] + [0, -0.04 * cheeks]
        canvas.line(fold, dark, 0.035, min(1, 0.12 + 0.2 * person.age + 0.6 * cheeks))
        if moved.frown > 0.15:
            furrow = np.array([[side * 0.055, -0.5], [side * 0.045, -0.34]])
            canvas.line(furrow, dark, 0.035, min(1, 0.85 * moved.frown))
    lift = (moved.brow_inner + moved.brow_outer) / 2
    if lift > 0.35:
        for height in (-0.74, -0.83):
            forehead = np.stack([0.4 * _T, height + 0.04 * _T**2], 1)
            canvas.line(forehead, 0.75 * person.skin, 0.025, min(1, 0.7 * lift))
    canvas.shadow(0, 0.83, 0.16, 0.07, 0.1 + 0.3 * max(moved.pout, 0))


def _eye(canvas: _Canvas, person: Identity, moved: Expression, side: int) -> None:
    """White, iris and lids; the iris is cut by the lids."""
    wide = 1 + 0.95 * moved.lids
    upper = person.eye * np.clip(0.5 * wide, 0.1, 1.05)
    lower = person.eye * np.clip(0.38 + 0.1 * moved.lids - 0.34 * moved.lower_lid, 0.02, 0.6)
    x, y = side * person.spacing, -0.22
    outside = side * _T
    droop = 0.1 * moved.droop * np.clip(outside + 0.4, 0, None)
    top = np.stack([x + person.eye * _T, y - upper * (1 - _T**2) ** 0.8 + droop], 1)
    bottom = np.stack([x + person.eye * _T, y + lower * (1 - _T**2) + 0.5 * droop], 1)
    inside = canvas.fill(np.concatenate([top, bottom[::-1]]), min(245, 150 + 0.42 * person.skin))
    canvas.fill(_oval(x, y - 0.01, 0.105, 0.105), person.iris, within=inside)
    canvas.fill(_oval(x + 0.035, y - 0.045, 0.028, 0.028), 235, 0.9, within=inside)
    canvas.line(top, 0.2 * person.skin, 0.05)
    canvas.line(bottom, 0.55 * person.skin, 0.022, 0.7)
    crease = top[2:-2] - [0, 0.07 + 0.02 * moved.lids]
    canvas.line(crease, 0.62 * person.skin, 0.022, 0.5)
    if moved.lower_lid > 0.25:
        bag = np.stack([x + person.eye * _T, y + 0.07 + lower + 0.05 * (1 - _T**2)], 1)
        canvas.line(bag, 0.62 * person.skin, 0.025, min(1, 0.8 * moved.lower_lid))


def _brow(canvas: _Canvas, person: Identity, moved: Expression, side: int) -> None:
    """A tapered stroke from the inner to the outer end."""
    t = np.linspace(0, 1, 9)
    inner = person.spacing - 0.21 - 0.05 * max(moved.frown, 0)
    x = inner + (0.43 + 0.02 * moved.frown) * t
    rest = -0.47 - 0.06 * np.sin(np.pi * np.minimum(t * 0.85 + 0.1, 1))
    rise = moved.brow_inner * (1 - t) ** 1.3 + moved.brow_outer * t**0.8
    arch = 0.06 * np.sin(np.pi * t) * min(max(moved.brow_inner, -0.6), moved.brow_outer)
    y = rest - np.where(rise > 0, 0.17, 0.15) * rise - arch
    half = person.brow * (1 - 0.65 * t**2)
    outline = np.concatenate([np.stack([x, y - half], 1), np.stack([x, y + half], 1)[::-1]])
    canvas.fill(outline * [side, 1], min(person.hair * 0.8, 0.55 * person.skin), 0.95)


def _nose(canvas: _Canvas, person: Identity, moved: Expression) -> None:
    """A lit ridge, wings, nostrils; wrinkles across the bridge when it is drawn up."""
    up = 0.07 * max(moved.nose, 0)
    canvas.shadow(0, 0.0, 0.06, 0.26, -0.1)
    dark = 0.5 * person.skin
    for side in (-1, 1):
        canvas.shadow(side * 0.13, 0.02, 0.06, 0.2, 0.12)
        wing = np.array([[0.75, -0.08], [1.05, 0.0], [0.9, 0.07]]) * [side * person.nose, 1] + [
            0,
            0.2 - up,
        ]
        canvas.line(wing, 0.6 * person.skin, 0.03, 0.7)
        canvas.fill(
            _oval(side * 0.55 * person.nose, 0.26 - up, 0.045, 0.028), 0.3 * person.skin, 0.9
        )
        if moved.nose > 0.2:
            for k in range(3):
                wrinkle = np.array([[0.02, 0.0], [0.15, -0.06]]) * [side, 1] + [0, -0.2 + 0.09 * k]
                canvas.line(wrinkle, dark, 0.028, min(1, moved.nose))
    base = np.stack([0.6 * person.nose * _T, 0.3 - up - 0.02 * _T**2], 1)
    canvas.line(base, 0.62 * person.skin, 0.025, 0.6)


def _mouth(canvas: _Canvas, person: Identity, moved: Expression) -> None:
    """Lips around an opening, with teeth and tongue inside it."""
    half = person.mouth * (1 + 0.42 * moved.width)
    opening, lip = max(moved.opening, 0), max(moved.lip, 0)
    power = 2 + 3 * np.clip(moved.square, 0, 1)
    swell = 1 - np.abs(_T) ** power
    bend = -0.17 * moved.corners * _T**2 + 0.06 * moved.corners
    middle = 0.53 + 0.05 * opening - 0.06 * max(moved.pout, 0)
    top = middle + bend - (0.12 * opening + 0.12 * lip * (1 - np.abs(_T)) ** 0.5) * np.sqrt(swell)
    bottom = middle + bend + 0.33 * opening * np.sqrt(swell) - 0.06 * lip * swell + 0.03 * lip
    bottom = np.maximum(bottom, top)
    x = half * _T
    thick = person.lips * (1 - 0.35 * moved.frown * (opening < 0.2))
    bow = 1 - 0.25 * np.exp(-((_T / 0.15) ** 2))
    outer_top = top - thick * bow * (1 - _T**2) ** 0.7
    outer_bottom = bottom + thick * (1.2 + 0.5 * max(moved.pout, 0)) * (1 - _T**2) ** 0.6
    shade = 0.62 * person.skin
    canvas.shadow(0, float(outer_bottom[7]) + 0.06, 0.2, 0.05, 0.22)
    canvas.fill(_band(x, outer_top, outer_bottom), shade)
    canvas.line(np.stack([x, (top + bottom) / 2], 1), 0.25 * person.skin, 0.032)
    inside = canvas.fill(_band(x, top, bottom), 22)
    if opening > 0.35:
        canvas.fill(
            _oval(0, float(bottom[7]), 0.6 * half, 0.11), 0.42 * person.skin, 0.9, within=inside
        )
    if moved.teeth > 0.15 and (bottom - top).max() > 0.03:
        depth = np.minimum(0.11, (0.85 if moved.square > 0.5 else 0.7) * (bottom - top))
        canvas.fill(
            _band(0.92 * x, top, top + depth), 228, min(1, 1.2 * moved.teeth), within=inside
        )
        if moved.square > 0.5:
            canvas.fill(
                _band(0.88 * x, bottom - 0.6 * depth, bottom),
                205,
                min(1, moved.teeth),
                within=inside,
            )


def _band(x: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.concatenate([np.stack([x, top], 1), np.stack([x, bottom], 1)[::-1]])


def _fringe(canvas: _Canvas, person: Identity) -> None:
    """Hair over the forehead, under the curve of the skull."""
    if not person.style:
        return
    line = (-0.8 + 0.35 * _T**4, -0.64 - 0.05 * np.cos(6 * _T) + 0.3 * _T**4, -0.86 + 0.75 * _T**2)[
        person.style - 1
    ]
    skull = -0.32 - 0.86 * np.sqrt(1 - 0.8 * _T**4)
    x = (person.width + 0.06) * _T
    canvas.fill(_band(x, skull, np.maximum(line, skull)), person.hair, 0.97, turned=0.2)


def _glasses(canvas: _Canvas, person: Identity) -> None:
    for side in (-1, 1):
        rim = _oval(side * person.spacing, -0.2, 0.27, 0.2)
        canvas.line(np.concatenate([rim, rim[:1]]), 30, 0.03, 0.9)
    canvas.line(np.array([[-0.1, -0.24], [0.1, -0.24]]), 30, 0.03, 0.9)
