"""Recognised faces drawn into their picture: box, label with probability, a bar for each
expression; and the expressions of a film over time.

Sizes follow the picture and the face. Boxes and plates carry the colours of the study, with a dark
edge that keeps them visible. Pillow draws: OpenCV's letters have no accents, and matplotlib would
take a second to import.
"""

import csv
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from fercore.artifacts import printable
from fercore.plots.palette import colours
from fercore.recognition.recogniser import Face

INK, PAPER = "#181818", "white"
SMALLEST = 9  # pixels: lower letters cannot be read, and nothing is written
LONGEST_NAME = 40  # characters of a class's name that are written
PLATE, EMPTY = "#181818B8", "#4B4B4BD2"  # under the bars, and what a bar does not fill
TRACKS = 6  # panels of a timeline, each so high and wide, so far from the left
PANEL, TIMELINE, LEFT = 100, 720, 70

Area = tuple[int, int, int, int]  # x, y, width, height


def annotate(rgb: np.ndarray, faces: Sequence[Face], *, bars: bool = True) -> np.ndarray:
    """A copy of the picture, uint8 [h, w, 3], with its faces marked.

    Each face gets a box, a label (expression and probability), and, where there is room for it and
    `bars` is True, a plate with a bar for each expression. Labels and plates stay inside the
    picture, never lie over each other, and beside faces rather than over them where that can be.
    What does not fit is written smaller or left out: 40×40 pixels have room for boxes only.
    """
    image = Image.fromarray(np.ascontiguousarray(rgb))  # drawing makes it a copy
    draw, side = ImageDraw.Draw(image), min(image.size)
    for face in faces:
        _draw_box(draw, face, side)
    boxes = np.array([face.box for face in faces]).reshape(-1, 4)
    low, high = (np.clip(at, 0, image.size) for at in (boxes[:, :2], boxes[:, :2] + boxes[:, 2:]))
    boxes, labelled = np.hstack([low, high - low]), []
    written: list[Area] = []
    for face, (x, y, width, height) in zip(faces, boxes.tolist(), strict=True):
        largest = round(np.clip(0.14 * width, 0.018 * side, 0.035 * side))
        for letters in range(max(SMALLEST, largest), SMALLEST - 1, -1):
            label = _label(face, letters)
            wide, tall = label.size
            beside = [(x, y - tall), (x, y + height), (x + width, y), (x - wide, y)]
            within = [(x, y), (x, y + height - tall)]
            if _paste(image, label, [*beside, *within], boxes, written, most=1.0):
                labelled.append((face, (x, y, width, height), letters))
                break
    for face, (x, y, width, height), letters in labelled if bars else ():
        plate = _bars(face, max(SMALLEST, round(0.85 * letters)))
        wide, tall = plate.size
        gap, label_height = letters // 4, 2 * letters
        beside = [(x + width + gap, y), (x - wide - gap, y), (x, y + height + gap)]
        above = (x, y - tall - gap - label_height)
        _paste(image, plate, [*beside, above], boxes, written, most=0.1)
    return np.array(image)


def shared(box: Sequence[int] | np.ndarray, others: Sequence | np.ndarray) -> np.ndarray:
    """The area that a box (x, y, width, height) shares with each of `others` [k, 4]: float [k]."""
    one, others = np.asarray(box, float), np.reshape(others, (-1, 4))
    low = np.maximum(one[:2], others[:, :2])
    high = np.minimum(one[:2] + one[2:], others[:, :2] + others[:, 2:])
    return np.clip(high - low, 0, None).prod(axis=1)


def timeline(table: Path, class_names: Sequence[str], *, seconds: float) -> Image.Image:
    """Probabilities over time, stacked, a panel for each of the `TRACKS` faces seen longest.

    `table`: a CSV whose first column is the time, the third the track, the last ones a share for
    each class, as `recognise_video` writes it. `seconds`: length of the film.
    """
    count = len(class_names)
    with open(table, newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        next(lines)
        values = ([float(text) for text in (row[0], row[2], *row[-count:])] for row in lines)
        rows = np.fromiter(values, np.dtype((float, (count + 2,))))
    tracks, lengths = np.unique(rows[:, 1], return_counts=True)
    longest = np.sort(tracks[np.argsort(-lengths, kind="stable")[:TRACKS]])
    bottom = 10 + PANEL * max(1, len(longest))
    image = Image.new("RGB", (LEFT + TIMELINE + 30, bottom + 50), PAPER)
    draw = ImageDraw.Draw(image)
    times = np.arange(TIMELINE) * seconds / TIMELINE
    frame = 1.5 * seconds / max(1, min(TIMELINE, len(np.unique(rows[:, 0]))))
    for panel, track in enumerate(longest):
        mine = rows[rows[:, 1] == track]
        last = np.searchsorted(mine[:, 0], times, side="right") - 1  # the frame shown at each time
        seen = (last >= 0) & (times - mine[last, 0] < frame)
        stack = Image.fromarray(_stacked(mine[last, 2:], class_names))
        mask = Image.fromarray(np.repeat(seen[None], stack.height, axis=0))
        image.paste(stack, (LEFT, PANEL * panel + 10), mask)
        draw.text((8, PANEL * panel + PANEL // 2), f"face {track:.0f}", INK)
    if not len(longest):
        draw.text((LEFT, PANEL // 2), "No face was found", INK)
    for k in range(5):
        draw.text((LEFT + TIMELINE * k / 4, bottom), f"{seconds * k / 4:.1f} s", INK, anchor="ma")
    step = TIMELINE // count
    for k, (name, colour) in enumerate(zip(class_names, colours(class_names), strict=True)):
        draw.rectangle((LEFT + k * step, bottom + 26, LEFT + k * step + 10, bottom + 36), colour)
        draw.text((LEFT + k * step + 15, bottom + 25), printable(name, step // 7), INK)
    return image


def _stacked(shares: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Shares [n, c] as stacked colours, uint8 [h, n, 3], the first class at the foot."""
    levels = np.linspace(1, 0, PANEL - 10, endpoint=False)
    which = (levels[:, None, None] > shares.cumsum(axis=1)).sum(axis=2)
    palette = [ImageColor.getrgb(colour) for colour in colours(class_names)]
    return np.array(palette, np.uint8)[np.minimum(which, len(palette) - 1)]


@lru_cache(maxsize=64)
def _font(letters: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(letters)  # type: ignore[return-value]


def _tone(face: Face) -> str:
    return colours(face.class_names)[int(face.probabilities.argmax())]


def _draw_box(draw: ImageDraw.ImageDraw, face: Face, side: int) -> None:
    x, y, width, height = face.box
    line = max(1, round(min(side / 200, width / 20)))
    edge, half = max(1, line // 2), line // 2
    for out, thick, colour in ((half + edge, line + 2 * edge, INK), (half, line, _tone(face))):
        corners = (x - out, y - out, x + width - 1 + out, y + height - 1 + out)
        draw.rectangle(corners, outline=colour, width=thick)


def _label(face: Face, letters: int) -> Image.Image:
    """The plate with the expression and its probability."""
    text = f"{printable(face.expression, LONGEST_NAME)} {face.probability:.0%}"
    font, tone, edge = _font(letters), _tone(face), max(2, letters // 4)
    width, height = round(font.getlength(text)) + 2 * edge, sum(font.getmetrics()) + 2 * edge
    plate = Image.new("RGBA", (width, height), tone)
    draw = ImageDraw.Draw(plate)
    draw.rectangle((0, 0, width - 1, height - 1), outline=INK)
    bright = np.dot(ImageColor.getrgb(tone), (0.299, 0.587, 0.114)) > 110
    draw.text((edge, edge), text, INK if bright else PAPER, font)
    return plate


def _bars(face: Face, letters: int) -> Image.Image:
    """A row for each expression, its name and a bar as long as its probability, on a dark plate."""
    edge, row, longest = max(2, letters // 3), round(1.35 * letters), round(4.5 * letters)
    names, font = [printable(name, LONGEST_NAME) for name in face.class_names], _font(letters)
    start = round(max(map(font.getlength, names))) + 2 * edge
    plate = Image.new("RGBA", (start + longest + edge, len(names) * row + 2 * edge), PLATE)
    draw, inner, tones = ImageDraw.Draw(plate), max(1, row // 6), colours(face.class_names)
    for k, (name, share, tone) in enumerate(zip(names, face.probabilities, tones, strict=True)):
        top = edge + k * row
        draw.text((edge, top + row / 2), name, PAPER, font, anchor="lm")
        for length, colour in ((longest, EMPTY), (round(longest * float(share)), tone)):
            if length:
                area = (start, top + inner, start + length - 1, top + row - inner - 1)
                draw.rectangle(area, colour)
    return plate


def _paste(
    image: Image.Image,
    plate: Image.Image,
    places: list[tuple[int, int]],
    faces: np.ndarray,
    written: list[Area],
    *,
    most: float,
) -> bool:
    """Lay a plate to the one of `places`, moved into the picture, where it covers least of the
    faces, nothing `written`, and of no face more than the share `most`; whether there is one."""
    room = np.subtract(image.size, plate.size)
    if room.min() < 0:
        return False
    areas = [(x, y, *plate.size) for x, y in np.clip(places, 0, room).tolist()]
    allowed = most * faces[:, 2:].prod(axis=1)
    free = [
        area
        for area in areas
        if not shared(area, written).any() and (shared(area, faces) <= allowed).all()
    ]
    if free:
        best = min(free, key=lambda area: shared(area, faces).sum())
        image.paste(plate, best[:2], plate)
        written.append(best)
    return bool(free)
