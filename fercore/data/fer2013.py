"""What is known of FER2013 without its pixels, packed in `fer2013_facts.npz`.

Of each row of fer2013.csv: label, usage, 32 bits of a hash of its pixels, the group of its exact
duplicates, whether it is of one grey value, and the votes of FER+. Facts only. Sources: FER2013
(Goodfellow et al. 2013, arXiv:1307.0414) and FER+ (Barsoum et al. 2016, arXiv:1608.01041;
github.com/microsoft/FERPlus, MIT licence). `benchmarks/pack_facts.py` makes the file anew.
"""

import logging
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from fercore.data import synthetic
from fercore.data.faces import CLASS_NAMES, USAGES, DatasetError, Faces, pixel_hashes

FILE = Path(__file__).with_name("fer2013_facts.npz")
FINGERPRINT = "6bc2f740b19d75b8"  # of the faces that the published results were computed on
EXPRESSIONS = (*CLASS_NAMES, "Contempt")
_FIRST = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")
VOTE_NAMES = (*_FIRST, "contempt", "unknown", "NF")
# the column of `VOTE_NAMES` of each of `EXPRESSIONS`
COLUMNS = np.array([4, 5, 6, 1, 3, 2, 0, 7])

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Facts:
    """Arrays over the rows of fer2013.csv.

    `labels` int8, `codes` int8 positions in `USAGES`, `hashes` uint32 of the pixels, `groups` int32
    first row with the same pixels, `constant` bool, `exact` bool: the pixels are the original ones,
    not the JPEG stand-ins of the copy that circulates; `votes` int8 [n, 10], columns `VOTE_NAMES`.
    """

    labels: np.ndarray
    codes: np.ndarray
    hashes: np.ndarray
    groups: np.ndarray
    constant: np.ndarray
    exact: np.ndarray
    votes: np.ndarray

    def counts(self) -> np.ndarray:
        """Faces of each usage and class, int [3, 7]."""
        return counts(self.labels, self.codes)


@cache
def facts() -> Facts:
    """The packed facts."""
    with np.load(FILE, allow_pickle=False) as file:
        return Facts(**{name: file[name] for name in Facts.__dataclass_fields__})


def without_pixels() -> Faces:
    """FER2013's faces as far as the facts know them: labels, usages, rows; images [n, 0, 0]."""
    known = facts()
    return Faces(
        images=np.empty((len(known.labels), 0, 0), np.uint8),
        labels=known.labels,
        row_ids=np.arange(len(known.labels), dtype=np.int32),
        usage=np.array(USAGES)[known.codes],
        origin="FER2013, labels and votes without pixels",
        fingerprint=FINGERPRINT,
    )


def counts(labels: np.ndarray, codes: np.ndarray, classes: int = len(CLASS_NAMES)) -> np.ndarray:
    """Faces of each usage and class, int [3, classes]."""
    cells = codes.astype(int) * classes + labels
    return np.bincount(cells, minlength=len(USAGES) * classes).reshape(len(USAGES), -1)


def recognised(faces: Faces, file_name: str) -> Faces:
    """Faces of seven classes as they were read, named, with the rows of fer2013.csv that they are.

    `origin` becomes 'FER2013, complete', 'FER2013, 177 faces differ', 'not FER2013: …'. Where nine
    in ten faces are known, each gets its row as row id, whatever is missing before it; one that
    cannot be placed gets a number beyond the last row.
    """
    known = facts()
    keys = _combined(hashes_of(faces), faces.labels, faces.usage_codes)
    reference = _combined(known.hashes, known.labels, known.codes)
    originals, stand_ins = (_common(keys, reference[k]) for k in (known.exact, ~known.exact))
    same = originals + stand_ins
    n, total = len(faces), len(reference)
    here = counts(faces.labels, faces.usage_codes)
    if (here == known.counts()).all():
        differ = int(known.exact.sum()) - originals + stand_ins
        what = f"{differ:,} faces differ" if differ > 1 else "1 face differs" if differ else ""
        origin = f"FER2013, {what or 'complete'}"
    elif same < 0.9 * n:
        return replace(faces, origin=f"not FER2013: {file_name}")
    elif (here[0] == known.counts()[0]).all() and not here[1:].any():
        origin = f"FER2013, Training only ({n:,} faces)"
    else:
        origin = f"not FER2013: {file_name} ({n:,} of its {total:,} faces)"
    rows = _placed(keys, reference) if same >= 0.9 * n else np.arange(n)
    lost = rows < 0
    rows[lost] = total + np.flatnonzero(lost)
    return replace(faces, origin=origin, row_ids=rows.astype(np.int32))


def hashes_of(faces: Faces) -> np.ndarray:
    """The hash of each face's pixels as `Facts.hashes` has it, uint32 [n]."""
    return (pixel_hashes(faces.images) >> np.uint64(32)).astype(np.uint32)


def _combined(hashes: np.ndarray, labels: np.ndarray, codes: np.ndarray) -> np.ndarray:
    place = 8 * codes.astype(np.uint64) + labels.astype(np.uint64)
    return (hashes.astype(np.uint64) << np.uint64(32)) + place


def _placed(keys: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The row of the reference that each face is, int [n]; -1 where that is not certain.

    A face that occurs once is found by its key. Others, duplicates and unknown pixels, are placed
    where the faces found before and after them say the same, if label and usage agree there, and
    the pixels where they are known.
    """
    values, first, times = np.unique(reference, return_index=True, return_counts=True)
    nearest = np.minimum(np.searchsorted(values, keys), len(values) - 1)
    known = values[nearest] == keys
    rows = np.where(known & (times[nearest] == 1), first[nearest], -1)
    anchors = np.flatnonzero(rows >= 0)
    if not len(anchors):
        return rows
    offsets = rows[anchors] - anchors
    after = np.searchsorted(anchors, np.arange(len(keys)))
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, len(anchors) - 1)
    there = np.arange(len(keys)) + offsets[before]
    certain = (offsets[before] == offsets[after]) & (there >= 0) & (there < len(reference))
    expected = reference[np.clip(there, 0, len(reference) - 1)]
    place = np.uint64(0xFFFFFFFF)
    certain &= np.where(known, expected == keys, (expected & place) == (keys & place))
    return np.where((rows < 0) & certain, there, rows)


def _common(first: np.ndarray, second: np.ndarray) -> int:
    """Size of the intersection, counting repeated values."""
    values, times = np.unique(first, return_counts=True)
    other_values, other_times = np.unique(second, return_counts=True)
    _, here, there = np.intersect1d(values, other_values, assume_unique=True, return_indices=True)
    return int(np.minimum(times[here], other_times[there]).sum())


def rows_agree(faces: Faces) -> bool:
    """Whether row ids name rows of fer2013.csv: nine faces in ten have the pixels of theirs."""
    if not faces.has_pixels:
        return faces.is_fer2013
    known, rows = facts().hashes, faces.row_ids
    inside = rows < len(known)
    right = inside & (known[rows * inside] == hashes_of(faces))
    return bool(len(faces) and right.mean() >= 0.9)


def load_votes(faces: Faces) -> np.ndarray:
    """The FER+ votes of each face, int8 [n, 10], columns `VOTE_NAMES`, by the row that it is.

    Faces that could not be placed have none. Synthetic faces have synthetic votes. Raises
    `DatasetError` for faces that are not FER2013's.
    """
    if faces.origin == synthetic.ORIGIN:
        return synthetic.votes(faces, VOTE_NAMES)
    if not rows_agree(faces):
        raise DatasetError(f"FER+ votes: known of FER2013's faces only; these are {faces.origin}")
    known = facts().votes
    placed = faces.row_ids < len(known)
    if not placed.all():
        log.warning("FER+: %d faces are none of FER2013's and have no votes", (~placed).sum())
    return np.where(placed[:, None], known[faces.row_ids * placed], 0).astype(np.int8)


def relabelled(faces: Faces) -> Faces:
    """The faces on whose expression the voters agree, labelled with it: eight classes,
    `EXPRESSIONS`; row ids stay. Raises `DatasetError` where these faces have no votes."""
    labels = majority(load_votes(faces))
    kept = faces.select(labels >= 0)
    return replace(kept, labels=labels[labels >= 0], class_names=EXPRESSIONS)


def vote_shares(everybody: Faces, faces: Faces) -> np.ndarray:
    """Share of the votes that each expression got, float32 [n, c], for each of `faces` in the order
    of its classes.

    Single votes and those for other classes do not count; a face without any other has its label.
    `everybody`: the faces as they were read, from which `faces` were taken, whose labels may be
    others. Raises `DatasetError` where there are no votes.
    """
    column = COLUMNS[[EXPRESSIONS.index(name) for name in faces.class_names]]
    order = np.argsort(everybody.row_ids)
    place = order[np.searchsorted(everybody.row_ids, faces.row_ids, sorter=order)]
    counted = _repeated(load_votes(everybody)[place][:, column]).astype(np.float32)
    empty = counted.sum(1) == 0
    counted[empty] = np.eye(len(column), dtype=np.float32)[faces.labels[empty]]
    return counted / counted.sum(1, keepdims=True)


def majority(votes: np.ndarray) -> np.ndarray:
    """The expression with more than half of a face's votes, int8 [n], positions in `EXPRESSIONS`;
    -1 for none.

    `votes` int [n, 10], columns `VOTE_NAMES`. Single votes are dropped first, as the authors do;
    faces voted unknown or no face get -1.
    """
    counted = _repeated(votes)
    agreed = 2 * counted.max(1) > counted.sum(1)
    position = np.full(len(VOTE_NAMES), -1, np.int8)
    position[COLUMNS] = np.arange(len(EXPRESSIONS))
    return np.where(agreed, position[counted.argmax(1)], -1).astype(np.int8)


def agreement(votes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many voters gave each face the label it carries in FER2013, int [n]. `labels` positions
    in `CLASS_NAMES`."""
    return votes[np.arange(len(votes)), COLUMNS[labels]].astype(int)


def _repeated(votes: np.ndarray) -> np.ndarray:
    return np.where(votes > 1, votes, 0).astype(int)
