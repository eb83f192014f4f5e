"""Faces followed from frame to frame of a video or camera, probabilities smoothed over time."""

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
STILL = 0.9  # of them: from there on a face has not moved, its detector trembles
PATIENCE = 0.4  # s that a face is kept while searches miss it


@dataclass(eq=False)
class Track:
    """A face over time: `place` float [5], its box and tilt, last found at `found` seconds, `hits`
    times in all; `probabilities` float [c] smoothed, last renewed at `seconds`."""

    number: int
    place: np.ndarray
    score: float
    found: float
    hits: int = 1
    probabilities: np.ndarray | None = None
    seconds: float = 0.0

    def renew(self, probabilities: np.ndarray, seconds: float, smoothing: float) -> np.ndarray:
        """The probabilities with those of one more frame taken in: an exponential mean over
        time."""
        before = probabilities if self.probabilities is None else self.probabilities
        kept = np.exp((self.seconds - seconds) / smoothing) if smoothing > 0 else 0.0
        self.probabilities, self.seconds = probabilities + kept * (before - probabilities), seconds
        return self.probabilities.astype(np.float32)


@dataclass
class Tracker:
    """Recognises the faces of frame after frame.

    `every`: frames from one search to the next, between which boxes stay where they are; None: 1
    for YuNet, `SLOW` for others. `smoothing` in seconds, 0 for none.
    """

    recogniser: Recogniser
    every: int | None = None
    smoothing: float = SMOOTHING
    tracks: list[Track] = field(default_factory=list, init=False)
    begun: int = field(default=0, init=False)  # tracks
    frames: int = field(default=0, init=False)

    def step(self, rgb: np.ndarray, seconds: float) -> list[tuple[int, Face]]:
        """The faces of the next frame, uint8 [h, w, 3], shown at `seconds`: numbers of their
        tracks, and faces."""
        reader = self.recogniser
        every = self.every or (1 if isinstance(reader.detector, YuNet) else SLOW)
        if self.frames % every == 0:
            self._search(rgb, seconds)
        self.frames += 1
        crops, seen = [], []
        for *box, tilt in (track.place for track in self.tracks):
            crops.append(recognition.crop(rgb, np.array(box), margin=reader.margin, tilt=tilt))
        found = reader.probabilities(np.array(crops)) if crops else ()
        for track, fresh in zip(self.tracks, found, strict=True):
            x, y, width, height = (round(value) for value in track.place[:4].tolist())
            smoothed = track.renew(fresh, seconds, self.smoothing)
            face = Face((x, y, width, height), track.score, smoothed, reader.class_names)
            seen.append((track.number, face))
        return seen

    def _search(self, rgb: np.ndarray, seconds: float) -> None:
        """Find the faces of a frame and give each to its track, or to a new one; end tracks without
        faces."""
        scale = min(1.0, LONGEST / max(rgb.shape[:2]))
        size = [max(1, round(side * scale)) for side in rgb.shape[1::-1]]
        small = rgb if scale == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        boxes, scores, tilts = self.recogniser.find(small)
        places, missed = np.column_stack([boxes / scale, tilts]), list(self.tracks)
        for place, score in zip(places, scores, strict=True):  # best first
            shares = [overlap(track.place, place) for track in missed]
            if shares and max(shares) >= OVERLAP:
                track = missed.pop(int(np.argmax(shares)))
                track.place = (track.place + place) / 2 if max(shares) > STILL else place
                track.score, track.found, track.hits = float(score), seconds, track.hits + 1
            else:
                self.begun += 1
                self.tracks.append(Track(self.begun, place, float(score), seconds))
        for track in missed:
            if track.hits == 1 or seconds - track.found > PATIENCE:
                self.tracks.remove(track)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes, x, y, width, height first."""
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(one[:2] + one[2:4], other[:2] + other[2:4])
    shared = np.prod(np.maximum(high - low, 0))
    return float(shared / max(np.prod(one[2:4]) + np.prod(other[2:4]) - shared, 1e-9))
