"""The faces that everything works on: pixels, labels, where each one comes from."""

from dataclasses import dataclass, replace

import numpy as np

from fercore.config import SIDE as SIDE

CLASS_NAMES = ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")
USAGES = ("Training", "PublicTest", "PrivateTest")


class DatasetError(ValueError):
    """Data that cannot be found, read or trusted."""


@dataclass(frozen=True, eq=False)  # hashed by identity
class Faces:
    """Faces with their labels, in the order of the file they come from.

    `images` uint8 [n, 48, 48], or [n, 0, 0] where only labels are known; `labels` int8 [n],
    positions in `class_names`; `row_ids` int32 [n], rows of fer2013.csv counted from 0; `usage` str
    [n], values of `USAGES`; `origin` names the data on reports.
    """

    images: np.ndarray
    labels: np.ndarray
    row_ids: np.ndarray
    usage: np.ndarray
    class_names: tuple[str, ...] = CLASS_NAMES
    origin: str = ""
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def has_pixels(self) -> bool:
        """Whether the images are known."""
        return self.images.size > 0

    @property
    def is_fer2013(self) -> bool:
        """Whether the data were recognised as FER2013, complete or not."""
        return self.origin.startswith("FER2013")

    @property
    def usage_codes(self) -> np.ndarray:
        """Position in `USAGES` of each face's usage, int8 [n]."""
        return np.argmax([self.usage == usage for usage in USAGES], axis=0).astype(np.int8)

    def select(self, positions: np.ndarray) -> "Faces":
        """The faces at `positions`, ints or a mask; origin and fingerprint stay the whole's."""
        arrays = {name: value for name, value in vars(self).items() if hasattr(value, "dtype")}
        return replace(self, **{name: value[positions] for name, value in arrays.items()})


def from_arrays(
    images: np.ndarray,
    labels: np.ndarray,
    usage_codes: np.ndarray,
    origin: str,
    class_names: tuple[str, ...] = CLASS_NAMES,
) -> Faces:
    """`Faces`, rows numbered, from images, labels and codes of `USAGES` (0, 1, 2)."""
    rows, usage = np.arange(len(labels), dtype=np.int32), np.array(USAGES)[usage_codes]
    digits = fingerprint(images, labels, usage_codes)
    return Faces(images, labels.astype(np.int8), rows, usage, tuple(class_names), origin, digits)


def fingerprint(images: np.ndarray, labels: np.ndarray, usage_codes: np.ndarray) -> str:
    """16 hexadecimal digits of pixels, labels and usages, the same for any order of the faces."""
    place = usage_codes.astype(np.uint64) * np.uint64(256) + labels.astype(np.uint64)
    hashes = _mixed(_linear(images) + (place + np.uint64(1)) * _GOLDEN)
    return f"{int(hashes.sum(dtype=np.uint64)):016x}"


def pixel_hashes(images: np.ndarray) -> np.ndarray:
    """A hash of the pixels of each image [n, 48, 48], uint64 [n]: duplicates share it."""
    return _mixed(_linear(images))


def _linear(images: np.ndarray) -> np.ndarray:
    """A random linear form mod 2^64 of the mixed pixels of each image, uint64 [n]."""
    words = np.ascontiguousarray(images).reshape(len(images), -1).view(np.uint64)
    weights = _mixed(np.arange(1, words.shape[1] + 1, dtype=np.uint64) * _GOLDEN) | np.uint64(1)
    parts = np.array_split(words, len(words) // 256 + 1)
    return np.concatenate([(_mixed(part) * weights).sum(1, dtype=np.uint64) for part in parts])


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mixed(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser: each bit of the result depends on each bit of the value."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
