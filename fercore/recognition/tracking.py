"""Faces followed from frame to frame of a video or camera: one track a face, its probabilities
smoothed over time.

Searching a frame for faces costs ten times what all the rest does. It is done every few frames; in
between, each box is moved along with what is in it (optical flow, Lucas and Kanade 1981). A search
is also made at once where a box cannot be followed, as at a cut.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from fercore.data import pictures
from fercore.recognition import recogniser as recognition
from fercore.recognition.recogniser import Face, Recogniser

EVERY = 5  # frames from search to search
# pixels: larger frames are reduced for search and flow; faces of 5 % of the frame's width are found
LONGEST = 480
SMOOTHING = 0.35  # s: time constant of the mean over time
OVERLAP = 0.3  # of intersection and union: from there on a box found belongs to a track
PATIENCE = 3  # searches that a face seen often may be missed for; one seen n times, n
POINTS = 6  # followed in a box: a grid of 6×6
MISMATCH = 20.0  # grey levels between a point and where it went: above it the point is lost


@dataclass
class Track:
    """A face over time: `box` float [4], `probabilities` float [c] smoothed, `seconds` when they
    were last renewed."""

    number: int
    box: np.ndarray
    score: float
    hits: int = 1
    missed: int = 0
    probabilities: np.ndarray | None = None
    seconds: float = 0.0

    def renew(self, probabilities: np.ndarray, seconds: float, smoothing: float) -> None:
        """Take in what was told of one more frame: an exponential mean over time."""
        if self.probabilities is None or smoothing <= 0:
            self.probabilities = probabilities.astype(np.float64)
        else:
            share = 1 - np.exp(-max(seconds - self.seconds, 0) / smoothing)
            self.probabilities = self.probabilities + share * (probabilities - self.probabilities)
        self.seconds = seconds

    def face(self, class_names: tuple[str, ...]) -> Face:
        """As recognised in the present frame."""
        box = tuple(int(value) for value in np.round(self.box))
        return Face(box, self.score, self.probabilities.astype(np.float32), class_names)


@dataclass
class Tracker:
    """Recognises the faces of frame after frame.

    `every`: frames from one search for faces to the next; `smoothing` in seconds, 0 for none;
    `longest` in pixels: the side that frames are reduced to for the search.
    """

    recogniser: Recogniser
    every: int = EVERY
    smoothing: float = SMOOTHING
    longest: int = LONGEST
    tracks: list[Track] = field(default_factory=list, init=False)
    begun: int = field(default=0, init=False)
    _since: int = field(default=0, init=False, repr=False)
    _before: np.ndarray | None = field(default=None, init=False, repr=False)

    def step(self, rgb: np.ndarray, seconds: float) -> list[tuple[int, Face]]:
        """The faces of the next frame, uint8 [h, w, 3], shown at `seconds`: numbers of their
        tracks, and faces."""
        small, factor = _reduced(rgb, self.longest)
        gray = pictures.gray(small)
        followed = (
            self._before is not None
            and self._before.shape == gray.shape
            and self._follow(gray, factor)
        )
        if not followed or self._since >= self.every - 1:
            self._search(small, factor)
        else:
            self._since += 1
        self._before = gray
        if self.tracks:
            crops = [
                recognition.crop(rgb, track.box, self.recogniser.margin) for track in self.tracks
            ]
            for track, told in zip(
                self.tracks, self.recogniser.probabilities(np.array(crops)), strict=True
            ):
                track.renew(told, seconds, self.smoothing)
        return [(track.number, track.face(self.recogniser.class_names)) for track in self.tracks]

    def _follow(self, gray: np.ndarray, factor: float) -> bool:
        """Move the boxes with what is in them; False when one was lost or there is none."""
        moves = [_move(self._before, gray, track.box / factor) for track in self.tracks]
        for track, move in zip(self.tracks, moves, strict=True):
            if move is not None:
                track.box[:2] += factor * move
        return all(move is not None for move in moves)

    def _search(self, small: np.ndarray, factor: float) -> None:
        """Find the faces of a frame and give each to its track, or to a new one; end tracks without
        faces."""
        self._since = 0
        boxes, scores = self.recogniser.detector.detect(small)
        boxes = boxes.astype(np.float64) * factor
        given = _matched(np.array([track.box for track in self.tracks]).reshape(-1, 4), boxes)
        for number, track in enumerate(self.tracks):
            if number in given:
                found = given[number]
                track.box, track.score = (
                    (track.box + boxes[found]) / 2,
                    float(scores[found]),
                )  # a detector trembles
                track.hits, track.missed = track.hits + 1, 0
            else:
                track.missed += 1
        self.tracks = [
            track for track in self.tracks if track.missed <= min(track.hits - 1, PATIENCE)
        ]
        for found in sorted(set(range(len(boxes))) - set(given.values())):
            self.begun += 1
            self.tracks.append(Track(self.begun, boxes[found], float(scores[found])))


def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union, float [n, m], of boxes [n, 4] and [m, 4]."""
    one, other = one[:, None], other[None]
    low = np.maximum(one[..., :2], other[..., :2])
    high = np.minimum(one[..., :2] + one[..., 2:], other[..., :2] + other[..., 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    return shared / np.maximum(
        np.prod(one[..., 2:], axis=-1) + np.prod(other[..., 2:], axis=-1) - shared, 1e-9
    )


def _matched(tracks: np.ndarray, boxes: np.ndarray) -> dict[int, int]:
    """Which box belongs to which track: the pairs that overlap most come first."""
    shares, given = overlap(tracks, boxes), {}
    while shares.size and shares.max() >= OVERLAP:
        track, box = np.unravel_index(shares.argmax(), shares.shape)
        given[int(track)] = int(box)
        shares[track], shares[:, box] = 0, 0
    return given


def _move(before: np.ndarray, after: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """How far the middle of a box went, float [2], x and y; None when it is not found again."""
    places = np.linspace(0.2, 0.8, POINTS)
    x, y = np.meshgrid(box[0] + places * box[2], box[1] + places * box[3])
    points = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
    found, kept, mismatch = cv2.calcOpticalFlowPyrLK(
        before, after, points, None, winSize=(15, 15), maxLevel=2
    )
    good = (kept.ravel() == 1) & (mismatch.ravel() < MISMATCH)
    return np.median((found - points)[good], axis=0) if good.sum() >= len(points) / 2 else None


def _reduced(rgb: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    """The frame with no side above `longest`, and what its coordinates must be multiplied by."""
    factor = max(rgb.shape[:2]) / longest
    if factor <= 1:
        return rgb, 1.0
    size = [max(1, round(side / factor)) for side in rgb.shape[1::-1]]
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), factor
