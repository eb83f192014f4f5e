"""Recognised faces drawn into their picture: box, label with probability, a bar for each
expression.

Sizes follow the picture and the face. Boxes and plates carry the colours of the study; a dark edge
around them keeps them visible on light pictures, the colours themselves on dark ones. Pillow writes
the words, because OpenCV's own letters have no accents; matplotlib would take a second to import.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fercore.plots.palette import colours

if TYPE_CHECKING:
    from fercore.recognition.recogniser import Face

INK, PAPER = (24, 24, 24), (255, 255, 255)
LETTERS = (
    0.035,
    0.018,
)  # largest and smallest height of letters, as shares of the picture's shorter side
OF_FACE = 0.14  # and as a share of the face's width, between those two
SMALLEST = 9  # pixels: below this nothing can be read, and nothing is written
PLATE = 0.72  # how opaque the plate under the bars is

Area = tuple[int, int, int, int]


def annotate(rgb: np.ndarray, faces: Sequence["Face"], *, bars: bool = True) -> np.ndarray:
    """A copy of the picture, uint8 [h, w, 3], with its faces marked.

    Each face gets a box, a label (expression and probability), and, where there is room for it and
    `bars` is True, a plate with a bar for each expression. Labels and plates stay inside the
    picture, beside faces rather than over them where that can be. What does not fit in the picture
    is left out: a picture of 40×40 pixels gets boxes only.
    """
    picture = np.ascontiguousarray(rgb).copy()
    taken = [_inside(face.box, picture.shape) for face in faces]
    for face in faces:
        _draw_box(picture, face)
    for face in faces:
        letters = _letters(picture.shape, face)
        if letters < SMALLEST:
            continue
        box = _inside(face.box, picture.shape)
        label = _label(face, letters)
        _place(picture, label, _around_label(box, label), taken, must=True)
        if bars:
            plate = _bars(face, letters)
            _place(picture, plate, _around_plate(box, plate, letters), taken)
    return picture


def _letters(shape: tuple[int, ...], face: "Face") -> int:
    """Height of letters in pixels; 0 when the picture is too narrow for the label."""
    side = min(shape[:2])
    high, low = (share * side for share in LETTERS)
    size = max(SMALLEST, round(min(max(OF_FACE * face.box[2], low), high)))
    while size >= SMALLEST and _label(face, size).shape[1] > shape[1]:
        size -= 1
    return size if size >= SMALLEST else 0


def _colour(face: "Face", number: int) -> tuple[int, int, int]:
    text = colours(face.class_names)[number]
    return tuple(int(text[k : k + 2], 16) for k in (1, 3, 5))


def _draw_box(picture: np.ndarray, face: "Face") -> None:
    x, y, width, height = face.box
    line = max(1, round(min(min(picture.shape[:2]) / 200, width / 20)))
    corners = (x, y), (x + width - 1, y + height - 1)
    cv2.rectangle(picture, *corners, INK, line + 2 * max(1, line // 2), cv2.LINE_AA)
    cv2.rectangle(
        picture, *corners, _colour(face, int(face.probabilities.argmax())), line, cv2.LINE_AA
    )


def _label(face: "Face", letters: int) -> np.ndarray:
    """The plate with the expression and its probability, RGBA."""
    text = _words(f"{face.expression} {face.probability:.0%}", letters)
    edge = max(2, letters // 4)
    colour = _colour(face, int(face.probabilities.argmax()))
    plate = np.empty((text.shape[0] + 2 * edge, text.shape[1] + 2 * edge, 4), np.uint8)
    plate[...] = *INK, 255
    plate[1:-1, 1:-1, :3] = colour
    _write(plate, text, edge, edge, INK if np.dot(colour, (0.299, 0.587, 0.114)) > 110 else PAPER)
    return plate


def _bars(face: "Face", letters: int) -> np.ndarray:
    """A row for each expression, its name and a bar as long as its probability, RGBA on a dark
    plate."""
    letters = max(SMALLEST, round(0.85 * letters))
    names = [_words(name, letters) for name in face.class_names]
    edge, row, longest = max(2, letters // 3), round(1.35 * letters), round(4.5 * letters)
    start = 2 * edge + max(name.shape[1] for name in names)
    plate = np.empty((len(names) * row + 2 * edge, start + longest + edge, 4), np.uint8)
    plate[...] = *INK, round(255 * PLATE)
    for number, (name, probability) in enumerate(zip(names, face.probabilities, strict=True)):
        top = edge + number * row
        _write(plate, name, edge, top + (row - name.shape[0]) // 2, PAPER)
        bar = plate[top + max(1, row // 6) : top + row - max(1, row // 6), start : start + longest]
        bar[:, :, :3] = (70, 70, 70)
        bar[:, : round(longest * float(probability)), :3] = _colour(face, number)
        bar[:, : round(longest * float(probability)), 3] = 255
    return plate


@lru_cache(maxsize=512)
def _words(text: str, letters: int) -> np.ndarray:
    """How much ink each pixel of a line of text gets, uint8 [h, w]; all lines of one size are
    equally high."""
    font = ImageFont.load_default(letters)
    ascent, descent = font.getmetrics()
    image = Image.new("L", (max(1, round(font.getlength(text))), ascent + descent))
    ImageDraw.Draw(image).text((0, 0), text, fill=255, font=font)
    return np.asarray(image)


def _write(
    plate: np.ndarray, text: np.ndarray, x: int, y: int, colour: tuple[int, int, int]
) -> None:
    part = plate[y : y + text.shape[0], x : x + text.shape[1]]
    share = text[: part.shape[0], : part.shape[1], None] / 255
    part[..., :3] = np.round(part[..., :3] * (1 - share) + np.array(colour) * share)
    part[..., 3:] = np.maximum(part[..., 3:], np.round(255 * share))


def _around_label(box: Area, label: np.ndarray) -> Iterator[tuple[int, int]]:
    """Where a label may go, best first: above the box, below it, at its upper edge within it."""
    x, y, _, height = box
    yield x, y - label.shape[0]
    yield x, y + height
    yield x, y


def _around_plate(box: Area, plate: np.ndarray, letters: int) -> Iterator[tuple[int, int]]:
    """Where bars may go, best first: right of the box, left of it, below or above it and its
    label."""
    x, y, width, height = box
    gap, label = max(2, letters // 3), round(1.8 * letters)
    yield x + width + gap, y
    yield x - plate.shape[1] - gap, y
    yield x, y + height + gap
    yield x, y - plate.shape[0] - gap - label


def _place(
    picture: np.ndarray,
    plate: np.ndarray,
    places: Iterator[tuple[int, int]],
    taken: list[Area],
    *,
    must: bool = False,
) -> None:
    """Lay `plate` where it covers least of what is `taken`, the earlier place if equal, moved into
    the picture.

    Without `must` it is left out when it would cover more than a tenth of a face, a label or other
    bars.
    """
    height, width = plate.shape[:2]
    if height > picture.shape[0] or width > picture.shape[1]:
        return
    areas = [
        (
            min(max(x, 0), picture.shape[1] - width),
            min(max(y, 0), picture.shape[0] - height),
            width,
            height,
        )
        for x, y in places
    ]
    covered = [sum(_shared(area, other) for other in taken) for area in areas]
    best = areas[int(np.argmin(covered))]
    if not must and any(_shared(best, other) > other[2] * other[3] / 10 for other in taken):
        return
    taken.append(best)
    x, y = best[:2]
    part = picture[y : y + height, x : x + width]
    share = plate[..., 3:].astype(np.float32) / 255
    part[...] = np.round(part * (1 - share) + plate[..., :3] * share)


def _inside(box: Area, shape: tuple[int, ...]) -> Area:
    """The part of a box that lies in the picture."""
    x, y = max(box[0], 0), max(box[1], 0)
    return (
        x,
        y,
        max(0, min(box[0] + box[2], shape[1]) - x),
        max(0, min(box[1] + box[3], shape[0]) - y),
    )


def _shared(one: Area, other: Area) -> int:
    """Pixels that two areas share."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(0, width) * max(0, height)
