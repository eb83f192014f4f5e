"""Recognised faces drawn into their picture: box, label with probability, a bar for each
expression; and the expressions of a film over time.

Sizes follow the picture and the face. Boxes and plates carry the colours of the study; a dark edge
around them keeps them visible on light pictures, the colours themselves on dark ones. Pillow draws:
OpenCV's letters have no accents, and matplotlib would take a second to import.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from fercore.plots.palette import colours
from fercore.recognition.recogniser import Face

INK, PAPER = (24, 24, 24), (255, 255, 255)
# largest and smallest height of letters, as shares of the picture's shorter side
LETTERS = (0.035, 0.018)
OF_FACE = 0.14  # and as a share of the face's width, between those two
SMALLEST = 9  # pixels: below this nothing can be read, and nothing is written
LONGEST_NAME = 40  # signs of a class's name that are written
PLATE = 184  # of 255: how opaque the plate under the bars is
EMPTY = (75, 75, 75, 210)  # what a bar does not fill
TRACKS = 6  # panels of a timeline, each so high and wide, so far from the left
PANEL, TIMELINE, LEFT = 100, 720, 70

Area = tuple[int, int, int, int]


def annotate(rgb: np.ndarray, faces: Sequence[Face], *, bars: bool = True) -> np.ndarray:
    """A copy of the picture, uint8 [h, w, 3], with its faces marked.

    Each face gets a box, a label (expression and probability), and, where there is room for it and
    `bars` is True, a plate with a bar for each expression. Labels and plates stay inside the
    picture, never lie over each other, and beside faces rather than over them where that can be.
    What does not fit is written smaller or left out: 40×40 pixels have room for boxes only.
    """
    image = Image.fromarray(np.ascontiguousarray(rgb))  # drawing makes it a copy
    draw = ImageDraw.Draw(image)
    boxes = [_inside(face.box, image.size) for face in faces]
    for face in faces:
        _draw_box(draw, face, min(image.size))
    written: list[Area] = []
    labelled = []
    for face, box in zip(faces, boxes, strict=True):
        for letters in range(_letters(min(image.size), box[2]), SMALLEST - 1, -1):
            label = _label(face, letters)
            if area := _free(_around_label(box, *label.size), image.size, written, boxes, most=1.0):
                image.paste(label, area[:2])
                labelled.append((face, box, max(SMALLEST, round(0.85 * letters))))
                break
    for face, box, letters in labelled if bars else ():
        plate = _bars(face, letters)
        places = _around_plate(box, *plate.size, letters)
        if area := _free(places, image.size, written, boxes, most=0.1):
            image.paste(plate, area[:2], plate)
    return np.array(image)


def timeline(table: Path, class_names: Sequence[str], *, seconds: float) -> Image.Image:
    """Probabilities over time, stacked, a panel for each of the `TRACKS` faces that are seen
    longest.

    `table`: a CSV whose first column is the time, the third the track, the last ones a share for
    each class, as `recognise_video` writes it. `seconds`: length of the film.
    """
    sums, times = _by_track(table, len(class_names), max(seconds, 1e-9))
    frame, bottom = -(-TIMELINE // max(1, times)), 10 + PANEL * max(1, len(sums))
    image = Image.new("RGB", (LEFT + TIMELINE + 30, bottom + 50), PAPER)
    draw = ImageDraw.Draw(image)
    for panel, track in enumerate(sorted(sums, key=int)):
        draw.text((8, PANEL * panel + PANEL // 2), f"face {track}", INK)
        for x in np.flatnonzero(sums[track][:, -1]).tolist():
            foot: float = PANEL * (panel + 1)
            for colour, share in zip(colours(class_names), sums[track][x], strict=False):
                head = foot - (PANEL - 10) * share / sums[track][x, -1]
                if round(head) < round(foot):
                    area = (LEFT + x, round(head), LEFT + x + frame - 1, round(foot) - 1)
                    draw.rectangle(area, colour)
                foot = head
    if not sums:
        draw.text((LEFT, PANEL // 2), "No face was found", INK)
    for k in range(5):
        draw.text((LEFT + TIMELINE * k / 4, bottom), f"{seconds * k / 4:.1f} s", INK, anchor="ma")
    step = TIMELINE // max(1, len(class_names))
    for k, (name, colour) in enumerate(zip(class_names, colours(class_names), strict=True)):
        draw.rectangle((LEFT + k * step, bottom + 26, LEFT + k * step + 10, bottom + 36), colour)
        draw.text((LEFT + k * step + 15, bottom + 25), _printable(name)[: step // 7], INK)
    return image


def _by_track(table: Path, classes: int, seconds: float) -> tuple[dict[str, np.ndarray], int]:
    """For the `TRACKS` longest tracks, float [TIMELINE, classes + 1], the sums of shares in each
    part of the time and how many were added; and the number of frames with faces."""
    longest = Counter(row[2] for row in _rows(table)).most_common(TRACKS)
    sums = {track: np.zeros((TIMELINE, classes + 1)) for track, _ in longest}
    before, frames = "", 0
    for time, _, track, *rest in _rows(table):
        before, frames = time, frames + (time != before)
        if track in sums:
            place = min(TIMELINE - 1, int(float(time) / seconds * TIMELINE))
            sums[track][place] += [*map(float, rest[-classes:]), 1]
    return sums, frames


def _rows(table: Path) -> Iterator[list[str]]:
    with open(table, newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        next(rows)
        yield from rows


def _letters(side: int, width: int) -> int:
    """Height of letters in pixels, for a picture's shorter side and a face's width."""
    high, low = (share * side for share in LETTERS)
    return max(SMALLEST, round(min(max(OF_FACE * width, low), high)))


@lru_cache(maxsize=64)
def _font(letters: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(letters)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _printable(name: str) -> str:
    """A class's name, which comes from outside, as it is drawn: short, on one line."""
    return "".join(sign if sign.isprintable() else "?" for sign in name)[:LONGEST_NAME]


def _tone(face: Face) -> tuple[int, ...]:
    return ImageColor.getrgb(colours(face.class_names)[int(face.probabilities.argmax())])


def _draw_box(draw: ImageDraw.ImageDraw, face: Face, side: int) -> None:
    x, y, width, height = face.box
    line = max(1, round(min(side / 200, width / 20)))
    edge, half = max(1, line // 2), line // 2
    for out, thick, colour in ((half + edge, line + 2 * edge, INK), (half, line, _tone(face))):
        corners = (x - out, y - out, x + width - 1 + out, y + height - 1 + out)
        draw.rectangle(corners, outline=colour, width=thick)


def _label(face: Face, letters: int) -> Image.Image:
    """The plate with the expression and its probability."""
    text, font = f"{_printable(face.expression)} {face.probability:.0%}", _font(letters)
    tone, edge = _tone(face), max(2, letters // 4)
    size = round(font.getlength(text)) + 2 * edge, sum(font.getmetrics()) + 2 * edge
    plate = Image.new("RGB", size, tone)
    draw = ImageDraw.Draw(plate)
    draw.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=INK)
    bright = np.dot(tone, (0.299, 0.587, 0.114)) > 110
    draw.text((edge, edge), text, INK if bright else PAPER, font)
    return plate


def _bars(face: Face, letters: int) -> Image.Image:
    """A row for each expression, its name and a bar as long as its probability, on a dark
    plate."""
    edge, row, longest = max(2, letters // 3), round(1.35 * letters), round(4.5 * letters)
    names, font = [_printable(name) for name in face.class_names], _font(letters)
    start = round(max(map(font.getlength, names))) + 2 * edge
    size = start + longest + edge, len(names) * row + 2 * edge
    plate = Image.new("RGBA", size, (*INK, PLATE))
    draw, inner = ImageDraw.Draw(plate), max(1, row // 6)
    tones = colours(face.class_names)
    for k, (name, share, tone) in enumerate(zip(names, face.probabilities, tones, strict=True)):
        top = edge + k * row
        draw.text((edge, top + row / 2), name, PAPER, font, anchor="lm")
        for length, colour in ((longest, EMPTY), (round(longest * float(share)), tone)):
            if length:
                area = (start, top + inner, start + length - 1, top + row - inner - 1)
                draw.rectangle(area, colour)
    return plate


def _around_label(box: Area, wide: int, high: int) -> Iterable[Area]:
    """Where a label may go, best first: above the box, below it, beside it, within it."""
    x, y, width, height = box
    foot = y + height - high
    places = [(x, y - high), (x, y + height), (x + width, y), (x - wide, y)]
    places += [(x + width, foot), (x - wide, foot), (x, y), (x, foot)]
    return [(*place, wide, high) for place in places]


def _around_plate(box: Area, wide: int, high: int, letters: int) -> Iterable[Area]:
    """Where bars may go, best first: right of the box, left of it, below or above it and its
    label."""
    x, y, width, height = box
    gap, label = max(2, letters // 3), round(2.1 * letters)
    places = [(x + width + gap, y), (x - wide - gap, y), (x, y + height + gap)]
    return [(*place, wide, high) for place in [*places, (x, y - high - gap - label)]]


def _free(
    places: Iterable[Area],
    size: tuple[int, int],
    written: list[Area],
    faces: Sequence[Area],
    *,
    most: float,
) -> Area | None:
    """Of `places`, moved into a picture of this `size`, the one that covers nothing `written` and
    least of the faces; it is then written. None where there is none, or where it would cover more
    than the share `most` of a face."""
    best, least = None, np.inf
    for x, y, wide, high in places:
        area = min(max(x, 0), size[0] - wide), min(max(y, 0), size[1] - high), wide, high
        covered = [_shared(area, face) for face in faces]
        shares = [
            part / max(1, face[2] * face[3]) for part, face in zip(covered, faces, strict=True)
        ]
        fits = wide <= size[0] and high <= size[1] and max(shares) <= most
        if fits and sum(covered) < least and not any(_shared(area, other) for other in written):
            best, least = area, sum(covered)
    if best:
        written.append(best)
    return best


def _inside(box: Area, size: tuple[int, int]) -> Area:
    """The part of a box that lies in the picture."""
    x, y = max(box[0], 0), max(box[1], 0)
    width, height = min(box[0] + box[2], size[0]) - x, min(box[1] + box[3], size[1]) - y
    return x, y, max(0, width), max(0, height)


def _shared(one: Area, other: Area) -> int:
    """Pixels that two areas share."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(0, width) * max(0, height)
