"""What was read, named: a hash of each face, and how many of them are those of FER2013."""
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fercore.readers import CLASS_NAMES, USAGES

if TYPE_CHECKING:
    from fercore.datasets import Faces

REFERENCE = Path(__file__).with_name("fer2013_hashes.npz")
PUBLISHED_COUNTS = np.array(
    [
        [3995, 436, 4097, 7215, 4830, 3171, 4965],
        [467, 56, 496, 895, 653, 415, 607],
        [491, 55, 528, 879, 594, 416, 626],
    ]
)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def counts(labels: np.ndarray, usage_codes: np.ndarray) -> np.ndarray:
    """Faces of each split and class, int [3, 7]."""
    cells = usage_codes.astype(int) * len(CLASS_NAMES) + labels
    return np.bincount(cells, minlength=len(USAGES) * len(CLASS_NAMES)).reshape(len(USAGES), -1)


def face_hashes(images: np.ndarray, labels: np.ndarray, usage_codes: np.ndarray) -> np.ndarray:
    """A hash of pixels, label and split of each face, uint64 [n]: a random linear form mod 2^64, then mixed."""
    words = np.ascontiguousarray(images).reshape(len(images), -1).view(np.uint64)
    weights = _mixed(np.arange(1, words.shape[1] + 1, dtype=np.uint64) * _GOLDEN) | np.uint64(1)
    sums = np.concatenate([_mixed(part) @ weights for part in np.array_split(words, len(words) // 1024 + 1)])
    place = (usage_codes.astype(np.uint64) * np.uint64(256) + labels.astype(np.uint64) + np.uint64(1)) * _GOLDEN
    return _mixed(sums + place)


def fingerprint(hashes: np.ndarray) -> str:
    """16 hexadecimal digits, the same for any order of the faces."""
    return f"{int(hashes.sum(dtype=np.uint64)):016x}"


def name_of(images: np.ndarray, labels: np.ndarray, usage_codes: np.ndarray, file_name: str) -> str:
    """How reports call the data: 'FER2013, complete', 'FER2013, 177 faces differ', 'not FER2013: …'.

    The reference holds hashes of the 35,710 faces whose original pixels are known, and of the JPEG stand-ins
    that take the place of the other 177 in one circulating copy. Order does not matter.
    """
    found = counts(labels, usage_codes)
    known, stand_ins, unknown = matches(face_hashes(images, labels, usage_codes))
    n = len(labels)
    if (found == PUBLISHED_COUNTS).all():
        originals_missing = np.count_nonzero(~_reference()[1])
        if not stand_ins and unknown <= originals_missing:
            return "FER2013, complete"
        return f"FER2013, {unknown + stand_ins:,} faces differ"
    if n and known + stand_ins >= 0.9 * n and not found[1:].any() and (found[0] == PUBLISHED_COUNTS[0]).all():
        return f"FER2013, Training only, {unknown + stand_ins:,} faces differ"
    return f"not FER2013: {file_name} ({n:,} faces, {known:,} of them known from FER2013)"


def matches(hashes: np.ndarray) -> tuple[int, int, int]:
    """How many faces are known originals, known JPEG stand-ins, neither; a copy counts as often as it should."""
    reference, exact = _reference()
    short = _short(hashes)
    known, stand_ins = (_common(short, part) for part in (reference[exact], reference[~exact]))
    return known, stand_ins, len(hashes) - known - stand_ins


def in_file_order(faces: "Faces") -> bool:
    """Whether nine faces in ten stand in the row of fer2013.csv that their row id names."""
    reference, _ = _reference()
    if not len(faces) or faces.row_ids.max() >= len(reference):
        return False
    usage_codes = np.searchsorted(np.sort(USAGES), faces.usage)
    usage_codes = np.argsort(USAGES)[np.minimum(usage_codes, len(USAGES) - 1)]
    hashes = _short(face_hashes(faces.images, faces.labels, usage_codes))
    return bool(np.mean(hashes == reference[faces.row_ids]) >= 0.9)


def _reference() -> tuple[np.ndarray, np.ndarray]:
    """uint32 hash of each row of fer2013.csv, and whether it is that of the original pixels."""
    with np.load(REFERENCE, allow_pickle=False) as file:
        return file["hashes"], file["exact"]


def _short(hashes: np.ndarray) -> np.ndarray:
    return (hashes >> np.uint64(32)).astype(np.uint32)


def _common(first: np.ndarray, second: np.ndarray) -> int:
    """Size of the intersection, counting repeated values."""
    values, times = np.unique(first, return_counts=True)
    other_values, other_times = np.unique(second, return_counts=True)
    _, here, there = np.intersect1d(values, other_values, assume_unique=True, return_indices=True)
    return int(np.minimum(times[here], other_times[there]).sum())


def _mixed(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser: each bit of the result depends on each bit of the value."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
