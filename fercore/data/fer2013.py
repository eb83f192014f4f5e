"""FER2013: its CSV, plain or packed, and what is known of its rows without pixels.

Sources: FER2013 (Goodfellow et al. 2013, arXiv:1307.0414) and the votes of FER+ (Barsoum et al.
2016, arXiv:1608.01041; github.com/microsoft/FERPlus, MIT licence). `benchmarks/pack_facts.py` makes
`fer2013_facts.npz` anew.
"""

import csv
import gzip
import io
import logging
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from fercore.artifacts import printable
from fercore.data import synthetic
from fercore.data.faces import CLASS_NAMES, SIDE, USAGES, DatasetError, Faces, pixel_hashes

FILE = Path(__file__).with_name("fer2013_facts.npz")
FINGERPRINT = "6bc2f740b19d75b8"  # of the faces that the published results were computed on
CSV_NAMES = ("fer2013.csv", "icml_face_data.csv", "train.csv")
EXPRESSIONS = (*CLASS_NAMES, "Contempt")
_FIRST = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")
VOTE_NAMES = (*_FIRST, "contempt", "unknown", "NF")
COLUMNS = np.array([4, 5, 6, 1, 3, 2, 0, 7])  # in `VOTE_NAMES`, of each of `EXPRESSIONS`
LONGEST = 100_000  # characters of a line
AGAIN = "download the file again"
LABELS = [str(label) for label in range(len(CLASS_NAMES))]

log = logging.getLogger(__name__)


def read_csv(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All faces of a CSV: images uint8 [n, 48, 48], labels int8 [n], usage codes int8 [n].

    Columns `emotion`, `pixels` and `Usage`, in any order; without `Usage` (the competition's
    train.csv) every face is Training. Raises `DatasetError` at the first damaged row.
    """
    images, labels, codes = bytearray(), bytearray(), bytearray()  # in memory only once
    with opened(path) as (file, name):
        text = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
        rows = csv.reader(iter(lambda: text.readline(LONGEST), ""), skipinitialspace=True)
        first = next(rows, [])
        header = [column.strip().lower() for column in first]
        alone = Path(name).name.lower().startswith("train")
        if not {"emotion", "pixels", "emotion" if alone else "usage"} <= set(header):
            start = printable(",".join(first), 40)
            cure = "line 1 must be emotion,pixels,Usage, or emotion,pixels in a file train.csv"
            raise DatasetError(f"{name}: not FER2013's CSV (begins with '{start}'); {cure}")
        for number, fields in enumerate(rows, start=1):
            if not any(fields) and not text.read(LONGEST).strip():
                break  # blank lines at the end
            try:
                pixels, label, code = _row(header, fields)
            except ValueError as error:
                place = f"{name}: row {number} (line {number + 1})"
                raise DatasetError(f"{place}: {error}; {AGAIN} or delete the row") from error
            images += pixels.tobytes()
            labels.append(label)
            codes.append(code)
    if not labels:
        raise DatasetError(f"{name}: a header and no rows; {AGAIN}")
    faces = np.frombuffer(images, np.uint8).reshape(-1, SIDE, SIDE)
    return faces, np.frombuffer(labels, np.int8), np.frombuffer(codes, np.int8)


def _row(header: list[str], fields: list[str]) -> tuple[np.ndarray, int, int]:
    """Pixels uint8 [2304], label and usage code of a row; `ValueError` says what is wrong."""
    if len(fields) != len(header):
        raise ValueError(f"{len(fields)} fields instead of {len(header)}")
    row = dict(zip(header, fields, strict=True))
    label, usage, text = row["emotion"], row.get("usage", USAGES[0]), row["pixels"]
    if label not in LABELS:
        raise ValueError(f"emotion '{printable(label, 20)}' is not 0 to {len(LABELS) - 1}")
    if text.count(" ") != SIDE * SIDE - 1:
        raise ValueError(f"{len(text.split())} pixels instead of {SIDE * SIDE} ({SIDE} by {SIDE})")
    pixels = np.fromstring(text if text.replace(" ", "").isdecimal() else "", np.int64, sep=" ")
    if len(pixels) != SIDE * SIDE or pixels.max() > 255:
        raise ValueError("a pixel is not 0 to 255")
    if usage not in USAGES:
        raise ValueError(f"Usage '{printable(usage, 20)}' is not one of {', '.join(USAGES)}")
    return pixels.astype(np.uint8), LABELS.index(label), USAGES.index(usage)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, str]]:
    """The CSV in a file, however packed, and its name. Raises `DatasetError`, also in the block."""
    name = printable(path.name)
    try:
        with open(path, "rb") as raw:
            start = raw.read(2)
        if start == b"PK":
            with zipfile.ZipFile(path) as packed:
                member = _member(packed.namelist(), name)
                with packed.open(member) as file:
                    yield file, f"{name}/{printable(member)}"
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                member = _member([entry.name for entry in archive if entry.isfile()], name)
                yield archive.extractfile(member), f"{name}/{printable(member)}"
        else:
            with gzip.open(path) if start == b"\x1f\x8b" else open(path, "rb") as file:
                yield file, name
    except DatasetError:
        raise
    except Exception as error:  # archives break in many ways, also encrypted or oddly packed ones
        if isinstance(error, OSError) and error.strerror:
            raise DatasetError(f"{name}: cannot be read ({error.strerror})") from error
        fault = printable(str(error) or type(error).__name__)
        raise DatasetError(f"{name}: cut off or damaged archive ({fault}); {AGAIN}") from error


def _member(names: list[str], archive: str) -> str:
    tables = [name for name in names if name.lower().endswith(".csv")]
    wanted = [name for name in tables if Path(name).name.lower() in CSV_NAMES]
    if wanted or len(tables) == 1:
        return min(wanted or tables, key=lambda name: Path(name).name)  # fer2013.csv comes first
    known = " or ".join(CSV_NAMES)
    raise DatasetError(f"{archive}: holds no {known}; unpack it and give the folder or the CSV")


@cache
def facts() -> SimpleNamespace:
    """The packed facts, arrays over the rows of fer2013.csv: `labels` int8, `codes` int8 of
    `USAGES`, `hashes` uint32 of the pixels, `groups` int32 first row with the same pixels,
    `constant` bool, `exact` bool: not the JPEG stand-ins of the copy that circulates; `votes` int8
    [n, 10], columns `VOTE_NAMES`."""
    with np.load(FILE, allow_pickle=False) as file:
        return SimpleNamespace(**file)


def counts(labels: np.ndarray, codes: np.ndarray, classes: int = len(CLASS_NAMES)) -> np.ndarray:
    """Faces of each usage and class, int [3, classes]."""
    cells = codes.astype(int) * classes + labels
    return np.bincount(cells, minlength=len(USAGES) * classes).reshape(len(USAGES), -1)


def identified(faces: Faces, file_name: str) -> Faces:
    """Faces as they were read, with what they are as `origin`: 'FER2013, complete', 'FER2013, 177
    faces differ', 'not FER2013: …'. Where nine in ten are known, a row id is the row of
    fer2013.csv, or, of a face that cannot be placed, a number beyond the last."""
    known, n = facts(), len(faces)
    keys = _keys(hashes_of(faces), faces.labels, faces.usage_codes)
    reference = _keys(known.hashes, known.labels, known.codes)
    found = Counter(keys.tolist())
    originals = (found & Counter(reference[known.exact].tolist())).total()
    stand_ins = (found & Counter(reference[~known.exact].tolist())).total()
    here, there = counts(faces.labels, faces.usage_codes), counts(known.labels, known.codes)
    differ = known.exact.sum() - originals + stand_ins
    rows, is_known = faces.row_ids, originals + stand_ins >= 0.9 * n
    if is_known:
        rows = _placed(keys, reference)
        rows = np.where(rows < 0, len(reference) + np.arange(n), rows).astype(np.int32)
    if (here == there).all():
        differing = f"{differ:,} face{'s differ' if differ > 1 else ' differs'}"
        origin = f"FER2013, {differing if differ else 'complete'}"
    elif is_known and (here[0] == there[0]).all() and not here[1:].any():
        origin = f"FER2013, Training only ({n:,} faces)"
    else:
        part = f" ({n:,} of its {len(reference):,} faces)" if is_known else ""
        origin = f"not FER2013: {file_name}{part}"
    return replace(faces, origin=origin, row_ids=rows)


def hashes_of(faces: Faces) -> np.ndarray:
    """The hash of each face's pixels as `facts().hashes` has it, uint32 [n]."""
    return (pixel_hashes(faces.images) >> np.uint64(32)).astype(np.uint32)


def _keys(hashes: np.ndarray, labels: np.ndarray, codes: np.ndarray) -> np.ndarray:
    place = 8 * codes.astype(np.uint64) + labels.astype(np.uint64)
    return (hashes.astype(np.uint64) << np.uint64(32)) + place


def _placed(keys: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The row of the reference that each face is, int [n]; -1 where that is not certain. Duplicates
    and unknown pixels are placed where the faces found before and after say the same, if label,
    usage and known pixels agree there."""
    import pandas as pd

    values, first, times = np.unique(reference, return_index=True, return_counts=True)
    nearest = np.minimum(np.searchsorted(values, keys), len(values) - 1)
    known = values[nearest] == keys
    rows = np.where(known & (times[nearest] == 1), first[nearest], -1)
    offsets = pd.Series(rows - np.arange(len(keys))).where(rows >= 0)
    before, after = offsets.ffill().bfill(), offsets.bfill().ffill()
    there = np.arange(len(keys)) + before.fillna(0).to_numpy(int)
    certain = (before == after) & (there >= 0) & (there < len(reference))
    expected = reference[np.clip(there, 0, len(reference) - 1)]
    place = np.uint64(0xFFFFFFFF)
    certain &= np.where(known, expected == keys, (expected & place) == (keys & place))
    return np.where((rows < 0) & certain, there, rows)


@lru_cache(maxsize=4)
def rows_agree(faces: Faces) -> bool:
    """Whether row ids name rows of fer2013.csv: nine faces in ten have the pixels of theirs."""
    if not faces.has_pixels:
        return faces.is_fer2013
    known, rows = facts().hashes, faces.row_ids
    inside = rows < len(known)
    right = inside & (known[rows * inside] == hashes_of(faces))
    return bool(len(faces) and right.mean() >= 0.9)


def load_votes(faces: Faces) -> np.ndarray:
    """The FER+ votes of each face by its row, int8 [n, 10], columns `VOTE_NAMES`; synthetic ones of
    synthetic faces. Raises `DatasetError` for faces of other data."""
    if faces.origin == synthetic.ORIGIN:
        return synthetic.votes(faces, COLUMNS)
    if not rows_agree(faces):
        raise DatasetError(f"FER+ votes: known of FER2013's faces only; these are {faces.origin}")
    known = facts().votes
    placed = faces.row_ids < len(known)
    if missing := (~placed).sum():
        log.warning("FER+: %d faces are none of FER2013's and have no votes", missing)
    return np.where(placed[:, None], known[faces.row_ids * placed], 0).astype(np.int8)


def vote_shares(everybody: Faces, faces: Faces) -> np.ndarray:
    """Share of the votes for each class, float32 [n, c], of `faces` taken from `everybody` in their
    order. Single votes and other classes do not count; a face without votes has its label."""
    columns = COLUMNS[[EXPRESSIONS.index(name) for name in faces.class_names]]
    chosen = np.isin(everybody.row_ids, faces.row_ids)
    counted = load_votes(everybody)[chosen][:, columns].astype(np.float32)
    counted[counted == 1] = 0
    empty = counted.sum(1) == 0
    counted[empty] = np.eye(len(columns), dtype=np.float32)[faces.labels[empty]]
    return counted / counted.sum(1, keepdims=True)


def majority(votes: np.ndarray) -> np.ndarray:
    """The expression with more than half of a face's votes, int8 [n], positions in `EXPRESSIONS`;
    -1 for none. `votes` int [n, 10]; single ones are dropped first, as the authors do."""
    counted = np.where(votes > 1, votes, 0).astype(int)
    expressions = counted[:, COLUMNS]
    agreed = 2 * expressions.max(1) > counted.sum(1)
    return np.where(agreed, expressions.argmax(1), -1).astype(np.int8)


def agreement(votes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many voters gave each face its label, a position in `CLASS_NAMES`, int [n]."""
    return votes[np.arange(len(votes)), COLUMNS[labels]].astype(int)
