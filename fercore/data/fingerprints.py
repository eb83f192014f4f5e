"""What was read, named: a hash of each face, and how many of them are those of FER2013."""

from pathlib import Path

import numpy as np

from fercore.data.faces import CLASS_NAMES, USAGES, Faces, face_hashes

REFERENCE = Path(__file__).with_name("fer2013_hashes.npz")
PUBLISHED_COUNTS = np.array(
    [
        [3995, 436, 4097, 7215, 4830, 3171, 4965],
        [467, 56, 496, 895, 653, 415, 607],
        [491, 55, 528, 879, 594, 416, 626],
    ]
)


def counts(labels: np.ndarray, codes: np.ndarray, classes: int = len(CLASS_NAMES)) -> np.ndarray:
    """Faces of each split and class, int [3, classes]."""
    cells = codes.astype(int) * classes + labels
    return np.bincount(cells, minlength=len(USAGES) * classes).reshape(len(USAGES), -1)


def name_of(images: np.ndarray, labels: np.ndarray, codes: np.ndarray, file_name: str) -> str:
    """How reports call the data: 'FER2013, complete', 'FER2013, 177 faces differ', 'not FER2013:
    …'.

    The reference holds hashes of the 35,710 faces whose original pixels are known, and of the JPEG
    stand-ins that take the place of the other 177 in one circulating copy. Order does not matter.
    """
    found = counts(labels, codes)
    known, replaced, originals = matches(face_hashes(images, labels, codes))
    n, total = len(labels), PUBLISHED_COUNTS.sum()
    if (found == PUBLISHED_COUNTS).all():
        differ = originals - known + replaced
        what = (
            f"{differ:,} faces differ" if differ > 1 else "1 face differs" if differ else "complete"
        )
        return f"FER2013, {what}"
    if known + replaced < 0.9 * n:
        return f"not FER2013: {file_name}"
    if (found[0] == PUBLISHED_COUNTS[0]).all() and not found[1:].any():
        return f"FER2013, Training only ({n:,} faces)"
    return f"not FER2013: {file_name} ({n:,} of its {total:,} faces)"


def usage_codes(faces: Faces) -> np.ndarray:
    """Position in `USAGES` of each face's usage, int8 [n]."""
    return sum(code * (faces.usage == usage) for code, usage in enumerate(USAGES)).astype(np.int8)


def hashes_of(faces: Faces) -> np.ndarray:
    """`faces.face_hashes` with labels counted in FER2013's seven classes, uint64 [n]; other classes
    as they are."""
    known = set(faces.class_names) <= set(CLASS_NAMES)
    labels = (
        np.array([CLASS_NAMES.index(n) for n in faces.class_names])[faces.labels]
        if known
        else faces.labels
    )
    return face_hashes(faces.images, labels, usage_codes(faces))


def stand_ins(faces: Faces) -> np.ndarray:
    """Faces that are known JPEG stand-ins, bool [n]."""
    reference, exact = _reference()
    return np.isin(_short(hashes_of(faces)), reference[~exact])


def matches(hashes: np.ndarray) -> tuple[int, int, int]:
    """How many faces are known originals, how many known stand-ins, and how many originals are
    known at all.

    A repeated face counts as often as FER2013 repeats it.
    """
    reference, exact = _reference()
    short = _short(hashes)
    known, replaced = (_common(short, part) for part in (reference[exact], reference[~exact]))
    return known, replaced, int(exact.sum())


def in_file_order(faces: Faces) -> bool:
    """Whether nine faces in ten stand in the row of fer2013.csv that their row id names."""
    reference, _ = _reference()
    if (
        not len(faces)
        or faces.row_ids.max() >= len(reference)
        or not set(faces.class_names) <= set(CLASS_NAMES)
    ):
        return False
    return bool(np.mean(_short(hashes_of(faces)) == reference[faces.row_ids]) >= 0.9)


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
