"""Recognised faces drawn into their picture, and followed from frame to frame of a video. Pillow
draws: OpenCV's letters have no accents, and matplotlib would take a second to import."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from fercore.artifacts import printable
from fercore.plots import colours
from fercore.recognition.detection import YuNet
from fercore.recognition.recogniser import Face, Recogniser, crop

INK, PAPER = "#181818", "white"
SMALLEST = 9  # pixels: lower letters cannot be read, and nothing is written
PLATE, EMPTY = "#181818B8", "#4B4B4BD2"  # under the bars, and what a bar does not fill
LONGEST = 480  # pixels: larger frames are reduced for the search; faces of 5 % of it are found
SLOW = 4  # frames from search to search with a detector that cannot keep up with a video
SMOOTHING = 0.35  # s: time constant of the mean over time
OVERLAP = 0.3  # of intersection and union: from there on a box found belongs to a track
STILL = 0.9  # of them: from there on a face has not moved, its detector trembles
PATIENCE = 0.4  # s that a face is kept while searches miss it
_font = lru_cache(ImageFont.load_default)


def annotate(rgb: np.ndarray, faces: Sequence[Face], *, bars: bool = True) -> np.ndarray:
    """A copy of the picture, uint8 [h, w, 3], with its faces marked: a box, a label and a plate of
    `bars`. Labels and plates never lie over each other; what does not fit is smaller or missing."""
    image = Image.fromarray(np.ascontiguousarray(rgb))  # drawing makes it a copy
    draw, side = ImageDraw.Draw(image), min(image.size)
    for face in faces:
        _draw_box(draw, face, side)
    boxes = np.array([face.box for face in faces]).reshape(-1, 4)
    low, high = (np.clip(at, 0, image.size) for at in (boxes[:, :2], boxes[:, :2] + boxes[:, 2:]))
    boxes, labelled = np.hstack([low, high - low]), []
    written: list[np.ndarray] = []
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
        plate, gap = _bars(face, max(SMALLEST, round(0.85 * letters))), letters // 4
        wide, tall = plate.size
        beside = [(x + width + gap, y), (x - wide - gap, y), (x, y + height + gap)]
        _paste(image, plate, [*beside, (x, y - tall - gap - 2 * letters)], boxes, written, most=0.1)
    return np.array(image)


def shared(boxes: np.ndarray, others: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """The areas that boxes [n, 4] (x, y, width, height) share with others [k, 4]: [n, k]."""
    boxes, others = boxes[:, None], np.reshape(others, (-1, 4))
    low = np.maximum(boxes[..., :2], others[:, :2])
    high = np.minimum(boxes[..., :2] + boxes[..., 2:], others[:, :2] + others[:, 2:])
    return np.maximum(high - low, 0).prod(axis=2)


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
    tone, text = _tone(face), f"{printable(face.expression, 40)} {face.probability:.0%}"
    font, edge = _font(letters), max(2, letters // 4)
    height = sum(font.getmetrics()) + 2 * edge  # type: ignore[union-attr]
    width = round(font.getlength(text)) + 2 * edge
    plate = Image.new("RGBA", (width, height), tone)
    draw = ImageDraw.Draw(plate)
    draw.rectangle((0, 0, width - 1, height - 1), outline=INK)
    bright = np.dot(ImageColor.getrgb(tone), (0.299, 0.587, 0.114)) > 110
    draw.text((edge, edge), text, INK if bright else PAPER, font)
    return plate


def _bars(face: Face, letters: int) -> Image.Image:
    """A row for each expression, its name and a bar as long as its probability, on a dark plate."""
    edge, row, longest = max(2, letters // 3), round(1.35 * letters), round(4.5 * letters)
    names, font = [printable(name, 40) for name in face.class_names], _font(letters)
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


def _paste(image, plate, places: list, faces: np.ndarray, written: list, *, most: float) -> bool:
    """Lay a plate to that of `places`, moved into the picture, where it covers least of the faces,
    of none more than the share `most`, and nothing `written`; whether there is one."""
    room = np.subtract(image.size, plate.size)
    if room.min() < 0:
        return False
    areas = np.hstack([np.clip(places, 0, room), [plate.size] * len(places)])
    covered = shared(areas, faces)
    fits = (covered <= most * faces[:, 2:].prod(axis=1)).all(axis=1)
    fits &= ~shared(areas, written).any(axis=1)
    if fits.any():
        best = areas[np.where(fits, covered.sum(axis=1), np.inf).argmin()]
        image.paste(plate, tuple(best[:2].tolist()), plate)
        written.append(best)
    return bool(fits.any())


@dataclass(eq=False)
class Track:
    """A face over time: `place` float [5], its box and tilt, last found at `found` seconds, `hits`
    times in all; smoothed `probabilities` float [c], last renewed at `seconds`."""

    number: int
    place: np.ndarray
    score: float
    found: float
    hits: int = 1
    probabilities: np.ndarray | float = 0.0
    seconds: float = -np.inf

    def renew(self, fresh: np.ndarray, seconds: float) -> np.ndarray:
        """Take in the probabilities of one more frame: an exponential mean over time."""
        kept = np.exp((self.seconds - seconds) / SMOOTHING)
        mean = fresh + kept * (self.probabilities - fresh)
        self.probabilities, self.seconds = mean, seconds
        return mean.astype(np.float32)


class Tracker:
    """Recognises the faces of frame after frame, and counts the tracks `begun`. YuNet searches
    every frame, other detectors every `SLOW`th; in between boxes stay where they are."""

    def __init__(self, recogniser: Recogniser):
        self.recogniser = recogniser
        self.every = 1 if isinstance(recogniser.detector, YuNet) else SLOW
        self.tracks: list[Track] = []
        self.begun = self.frames = 0

    def step(self, rgb: np.ndarray, seconds: float) -> list[tuple[int, Face]]:
        """The faces of the next frame, uint8 [h, w, 3], shown at `seconds`, by track number."""
        if self.frames % self.every == 0:
            self._search(rgb, seconds)
        self.frames += 1
        reader, seen = self.recogniser, []
        crops = [crop(rgb, one.place[:4], reader.margin, one.place[4]) for one in self.tracks]
        found = reader.probabilities(np.array(crops)) if crops else ()
        for track, fresh in zip(self.tracks, found, strict=True):
            x, y, width, height = (round(value) for value in track.place[:4].tolist())
            smoothed = track.renew(fresh, seconds)
            face = Face((x, y, width, height), track.score, smoothed, reader.class_names)
            seen.append((track.number, face))
        return seen

    def _search(self, rgb: np.ndarray, seconds: float) -> None:
        """Give each face found to its track, or to a new one; end tracks without faces."""
        scale = min(1.0, LONGEST / max(rgb.shape[:2]))
        small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        boxes, scores, tilts = self.recogniser.find(small)
        places, missed = np.column_stack([boxes / scale, tilts]), list(self.tracks)
        for place, score in zip(places, scores.tolist(), strict=True):  # best first
            shares = overlap(place[:4], [track.place[:4] for track in missed])
            if len(missed) and shares.max() >= OVERLAP:
                track = missed.pop(int(shares.argmax()))
                track.place = (track.place + place) / 2 if shares.max() > STILL else place
                track.score, track.found, track.hits = score, seconds, track.hits + 1
            else:
                self.begun += 1
                self.tracks.append(Track(self.begun, place, score, seconds))
        for track in missed:
            if track.hits == 1 or seconds - track.found > PATIENCE:
                self.tracks.remove(track)


def overlap(box: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
    """Intersection over union of a box (x, y, width, height) with each of `others`: float [k]."""
    common = shared(box[None], others)[0]
    return common / (box[2:].prod() + np.reshape(others, (-1, 4))[:, 2:].prod(axis=1) - common)
