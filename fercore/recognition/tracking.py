"""Faces followed from frame to frame of a video or camera: one track a face, its probabilities
smoothed over time."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from fercore.recognition import recogniser as recognition
from fercore.recognition.detection import YuNet
from fercore.recognition.recogniser import Face, Recogniser

LONGEST = 480  # pixels: larger frames are reduced for the search; faces of 5 % of it are found
SLOW = 4  # frames from search to search with a detector that cannot keep up with a film
SMOOTHING = 0.35  # s: time constant of the mean over time
OVERLAP = 0.3  # of intersection and union: from there on a box found belongs to a track
PATIENCE = 0.4  # s that a face is kept while searches miss it


@dataclass
class Track:
    """A face over time: `box` float [4], `probabilities` float [c] smoothed, `seconds` when they
    were last renewed, `found` when the face was last found, `hits` times in all."""

    number: int
    box: np.ndarray
    score: float
    found: float
    hits: int = 1
    probabilities: np.ndarray | None = None
    seconds: float = 0.0

    def renew(self, probabilities: np.ndarray, seconds: float, smoothing: float) -> None:
        """Take in the probabilities of one more frame: an exponential mean over time."""
        before = self.probabilities
        if before is None or smoothing <= 0:
            before = probabilities
        share = 1 - np.exp(-max(seconds - self.seconds, 0) / max(smoothing, 1e-9))
        self.probabilities = before + share * (probabilities.astype(np.float64) - before)
        self.seconds = seconds


@dataclass
class Tracker:
    """Recognises the faces of frame after frame.

    `every`: frames from one search for faces to the next, boxes stay where they are in between;
    None: 1 for YuNet, `SLOW` for others. `smoothing` in seconds, 0 for none.
    """

    recogniser: Recogniser
    every: int | None = None
    smoothing: float = SMOOTHING
    tracks: list[Track] = field(default_factory=list, init=False)
    begun: int = field(default=0, init=False)
    _frames: int = field(default=0, init=False, repr=False)

    def step(self, rgb: np.ndarray, seconds: float) -> list[tuple[int, Face]]:
        """The faces of the next frame, uint8 [h, w, 3], shown at `seconds`: numbers of their
        tracks, and faces."""
        every = self.every or (1 if isinstance(self.recogniser.detector, YuNet) else SLOW)
        if self._frames % every == 0:
            self._search(rgb, seconds)
        self._frames += 1
        if not self.tracks:
            return []
        margin, names = self.recogniser.margin, self.recogniser.class_names
        crops = [recognition.crop(rgb, track.box, margin) for track in self.tracks]
        seen = []
        found = self.recogniser.probabilities(np.array(crops))
        for track, probabilities in zip(self.tracks, found, strict=True):
            track.renew(probabilities, seconds, self.smoothing)
            x, y, width, height = (int(value) for value in np.round(track.box))
            smoothed = np.asarray(track.probabilities, np.float32)
            seen.append((track.number, Face((x, y, width, height), track.score, smoothed, names)))
        return seen

    def _search(self, rgb: np.ndarray, seconds: float) -> None:
        """Find the faces of a frame and give each to its track, or to a new one; end tracks without
        faces."""
        scale = min(1.0, LONGEST / max(rgb.shape[:2]))
        size = [max(1, round(side * scale)) for side in rgb.shape[1::-1]]
        small = rgb if scale == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        boxes, scores = self.recogniser.detector.detect(small)
        boxes = boxes / scale
        given = _matched(np.array([track.box for track in self.tracks]).reshape(-1, 4), boxes)
        for number, box in given.items():
            track = self.tracks[number]
            track.box, track.score = (
                (track.box + boxes[box]) / 2,
                float(scores[box]),
            )  # detectors tremble
            track.hits, track.found = track.hits + 1, seconds
        self.tracks = [
            track
            for track in self.tracks
            if track.found == seconds or (track.hits > 1 and seconds - track.found < PATIENCE)
        ]
        for box in sorted(set(range(len(boxes))) - set(given.values())):
            self.begun += 1
            self.tracks.append(Track(self.begun, boxes[box], float(scores[box]), seconds))


def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union, float [n, m], of boxes [n, 4] and [m, 4]."""
    one, other = one[:, None], other[None]
    low = np.maximum(one[..., :2], other[..., :2])
    high = np.minimum(one[..., :2] + one[..., 2:], other[..., :2] + other[..., 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = np.prod(one[..., 2:], axis=-1) + np.prod(other[..., 2:], axis=-1)
    return shared / np.maximum(areas - shared, 1e-9)


def _matched(tracks: np.ndarray, boxes: np.ndarray) -> dict[int, int]:
    """Which box belongs to which track: the pairs that overlap most come first."""
    shares, given = overlap(tracks, boxes), {}
    while shares.size and shares.max() >= OVERLAP:
        track, box = np.unravel_index(shares.argmax(), shares.shape)
        given[int(track)] = int(box)
        shares[track], shares[:, box] = 0, 0
    return given
