"""Files to arrays: FER2013's CSV forms, plain or packed, and folders of pictures by class.

Both readers check all they read. Damage is a `DatasetError` of one line: file, row, cure. A row is
counted as data row, 1-based, and as the line that a text editor shows (one more, for the header).
"""

import gzip
import io
import logging
import lzma
import os
import re
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

import cv2
import numpy as np

from fercore import artifacts
from fercore.artifacts import printable
from fercore.data import pictures
from fercore.data.faces import CLASS_NAMES, SIDE, USAGES, DatasetError

PIXELS = SIDE * SIDE
CLASSES_FILE = "classes.txt"
CSV_NAMES = ("fer2013.csv", "icml_face_data.csv", "train.csv")
PACKED = (".zip", ".gz", ".tgz", ".tar", ".xz")
AGAIN = "download the file again"
ROWS, LONGEST = 1000, 100_000  # read at a time; bytes of a row
PARTS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "publictest": 1}
PARTS |= {"test": 2, "testing": 2, "privatetest": 2}
SYNONYMS = {"anger": "angry", "disgusted": "disgust", "fearful": "fear", "happiness": "happy"}
SYNONYMS |= {"sadness": "sad", "surprised": "surprise"}
# expressions of AffectNet (Mollahosseini et al. 2017, arXiv:1708.03985) by their numbers
AFFECTNET = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
AFFECTNET += ("none", "uncertain", "no-face")
AFFECTNET_PARTS = {"train_set": 0, "val_set": 2}  # its validation faces are what others test on

log = logging.getLogger(__name__)
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def read_csv(path: Path) -> Arrays:
    """All faces of a FER2013 CSV: images uint8 [n, 48, 48], labels int8 [n], usage codes int8 [n]
    (0, 1, 2).

    Columns `emotion`, `pixels` and `Usage`, in any order; without `Usage` (the competition's
    train.csv) every face is Training. Raises `DatasetError` at the first damaged row.
    """
    pixels, labels, codes = bytearray(), bytearray(), bytearray()
    with opened(path) as (file, name):
        columns = _columns(file.readline(LONGEST), name)
        row = 1
        while lines := list(islice(iter(lambda: file.readline(LONGEST), b""), ROWS)):
            for whole, part in zip((pixels, labels, codes), _parsed(lines, columns, name, row)):
                whole += part.tobytes()
            row += len(lines)
    if not labels:
        raise DatasetError(f"{name}: a header and no rows; {AGAIN}")
    images = np.frombuffer(pixels, np.uint8).reshape(-1, SIDE, SIDE)
    return images, np.frombuffer(labels, np.int8), np.frombuffer(codes, np.int8)


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], str]]:
    """The CSV in a file, whatever it is packed in and called, and the name to show for it. Raises
    `DatasetError` for what cannot be read, also within the block."""
    name = printable(path.name)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                member = _member(packed.namelist(), name)
                with packed.open(member) as file:
                    yield file, printable(f"{name}/{member}")
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                files = [entry.name for entry in archive if entry.isfile()]
                member = _member(files, name)
                yield archive.extractfile(member), printable(f"{name}/{member}")
        else:
            start = path.open("rb").read(6)
            opener = {b"\x1f\x8b": gzip.open, b"\xfd7": lzma.open}.get(start[:2], open)
            with opener(path, "rb") as file:
                yield file, name
    except DatasetError:
        raise
    except OSError as error:
        if error.strerror:
            raise DatasetError(f"{name}: cannot be read ({error.strerror})") from error
        raise DatasetError(f"{name}: cut off or damaged archive ({error}); {AGAIN}") from error
    except Exception as error:  # archives break in many ways, also encrypted or oddly packed ones
        fault = printable(str(error) or type(error).__name__)
        raise DatasetError(f"{name}: cut off or damaged archive ({fault}); {AGAIN}") from error


def _member(names: list[str], archive: str) -> str:
    tables = [name for name in names if name.lower().endswith(".csv")]
    known = [n for wanted in CSV_NAMES for n in tables if Path(n).name.lower() == wanted]
    if known or len(tables) == 1:
        return (known or tables)[0]
    wanted = " or ".join(CSV_NAMES)
    raise DatasetError(f"{archive}: holds no {wanted}; unpack it and give the folder or the CSV")


def _columns(header: bytes, name: str) -> list[str]:
    """Names of the columns. Blanks, quotes, capitals and a byte-order mark do not matter."""
    if not header.strip():
        raise DatasetError(f"{name}: empty file; {AGAIN}")
    text = header.decode("utf-8-sig", errors="replace").strip()
    found = [column.strip(' "').lower() for column in text.split(",")]
    if not {"emotion", "pixels"} & set(found):
        start = f"begins with '{printable(text, 40)}'"
        raise DatasetError(f"{name}: not FER2013's CSV ({start}); line 1 must be emotion,pixels,Usage")
    needed = ["emotion", "pixels", "usage"][: 2 if Path(name).name.lower().startswith("train") else 3]
    for column in needed:
        if column not in found:
            cure = "; a file without Usage must be called train.csv" if column == "usage" else ""
            has = printable(", ".join(found))
            raise DatasetError(f"{name}: no column '{column}' in line 1 ({has}); {AGAIN}{cure}")
    return found


def _parsed(lines: list[bytes], columns: list[str], name: str, first: int) -> Arrays:
    """Pixels, labels and usage codes of some lines; `first` is the row number of the first."""
    import pandas as pd

    text = b"".join(lines)
    while len(lines) < ROWS and lines and not lines[-1].strip():
        lines.pop()  # blank lines end a file
    if not lines:
        return (np.empty(0, np.uint8),) * 3
    text = b"".join(lines)
    try:
        table = pd.read_csv(
            io.BytesIO(text),
            header=None,
            names=columns,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            encoding_errors="replace",
            index_col=False,
        )
        labels = [_LABELS[label.strip()] for label in table.emotion]
        codes = [_CODES[usage.strip()] for usage in table.get("usage", [USAGES[0]] * len(table))]
        if len(table) == len(lines) and (table.pixels.str.count(" +") ...):
            pass
    except (ValueError, KeyError):
        pass
