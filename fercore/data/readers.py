"""FER2013's CSV forms, plain or packed, as arrays.

All that is read is checked. Damage is a `DatasetError` of one line: file, row, cure. A row is
counted as data row, 1-based, and as the line that a text editor shows (one more, for the header).
"""

import gzip
import io
import lzma
import os
import re
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fercore.artifacts import printable
from fercore.data.faces import CLASS_NAMES, SIDE, USAGES, DatasetError

PIXELS = SIDE * SIDE
CLASSES_FILE = "classes.txt"
CSV_NAMES = ("fer2013.csv", "icml_face_data.csv", "train.csv")
SYNONYMS = {"anger": "angry", "disgusted": "disgust", "fearful": "fear", "happiness": "happy"}
SYNONYMS |= {"sadness": "sad", "surprised": "surprise"}
AGAIN = "download the file again"
ROWS, LONGEST = 1000, 100_000  # read at a time; bytes of a row
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def read_csv(path: Path) -> Arrays:
    """All faces of a FER2013 CSV: images uint8 [n, 48, 48], labels int8 [n], usage codes int8 [n]
    (0, 1, 2).

    Columns `emotion`, `pixels` and `Usage`, in any order; without `Usage` (the competition's
    train.csv) every face is Training. Raises `DatasetError` at the first damaged row.
    """
    arrays = bytearray(), bytearray(), bytearray()  # they grow in place, in memory only once
    row, blank = 1, 0
    with opened(path) as (file, name):
        columns = _columns(file.readline(LONGEST), name)
        while lines := list(islice(iter(lambda: file.readline(LONGEST), b""), ROWS)):
            filled = next((k for k in range(len(lines), 0, -1) if lines[k - 1].strip()), 0)
            if (blank and filled) or len(lines) - filled == ROWS:
                raise DatasetError(_at(name, blank or row, "blank line; delete it"))
            parts = _parsed(lines[:filled], columns, name, row)
            for whole, part in zip(arrays, parts, strict=True):
                whole += part.tobytes()
            blank = blank or (row + filled if filled < len(lines) else 0)
            row += len(lines)
        if not arrays[1]:
            raise DatasetError(f"{name}: a header and no rows; {AGAIN}")
    images = np.frombuffer(arrays[0], np.uint8).reshape(-1, SIDE, SIDE)
    return images, np.frombuffer(arrays[1], np.int8), np.frombuffer(arrays[2], np.int8)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, str]]:
    """The CSV in a file, whatever it is packed in and called, and the name to show for it. Raises
    `DatasetError` for what cannot be read, also within the block."""
    name = printable(path.name)
    try:
        with open(path, "rb") as raw:
            start = raw.read(6)
        if start.startswith(b"PK"):
            with zipfile.ZipFile(path) as packed:
                member = _member(packed.namelist(), name)
                with packed.open(member) as file:
                    yield file, f"{name}/{printable(member)}"
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                member = _member([entry.name for entry in archive if entry.isfile()], name)
                yield archive.extractfile(member), f"{name}/{printable(member)}"
        else:
            unpack: Any = {b"\x1f\x8b": gzip.open, b"\xfd7": lzma.open}.get(start[:2], open)
            with unpack(path, "rb") as file:
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
    known = [n for wanted in CSV_NAMES for n in tables if Path(n).name.lower() == wanted]
    if known or len(tables) == 1:
        return (known or tables)[0]
    wanted = " or ".join(CSV_NAMES)
    raise DatasetError(f"{archive}: holds no {wanted}; unpack it and give the folder or the CSV")


def _columns(header: bytes, name: str) -> list[str]:
    """Names of the columns. Blanks, quotes, capitals and a byte-order mark do not matter."""
    text = header.decode("utf-8-sig", errors="replace").strip()
    if not text:
        raise DatasetError(f"{name}: empty file; {AGAIN}")
    found = [column.strip(' "').lower() for column in text.split(",")]
    alone = Path(name).name.lower().startswith("train")
    if not {"emotion", "pixels", *(() if alone else ("usage",))} <= set(found):
        needed = "line 1 must be emotion,pixels,Usage, or emotion,pixels in a file called train.csv"
        start = f"begins with '{printable(text, 40)}'"
        raise DatasetError(f"{name}: not FER2013's CSV ({start}); {needed}")
    return found


def _parsed(lines: list[bytes], columns: list[str], name: str, first: int) -> Arrays:
    """Pixels, labels and usage codes of some lines; `first` is the row number of the first."""
    import pandas as pd

    try:
        table = pd.read_csv(
            io.BytesIO(b"".join(lines)),
            names=columns,
            header=None,
            index_col=False,
            dtype=str,
            na_filter=False,
            skip_blank_lines=False,
            skipinitialspace=True,
            encoding_errors="replace",
        )
    except ValueError as error:
        fault = str(error).rstrip().replace(" in line ", f" in line {first} + ")
        raise DatasetError(f"{name}: {printable(fault)}; {AGAIN}") from error
    usages = list(table.get("usage", USAGES[:1] * len(table)))
    labels, codes = [_LABELS.get(x) for x in table.emotion], [_CODES.get(x) for x in usages]
    try:
        pixels = np.fromstring(" ".join(table.pixels), np.int64, sep=" ")
        sound = all(row.count(" ") == PIXELS - 1 for row in table.pixels)
        sound &= len(pixels) == PIXELS * len(lines) and pixels.min() >= 0 and pixels.max() < 256
    except (ValueError, TypeError):
        sound = False
    if not sound or None in labels or None in codes:
        rows = enumerate(zip(table.emotion, usages, table.pixels, strict=True), first)
        faults = ((row, _fault(*map(str, fields))) for row, fields in rows)
        row, fault = next(((r, f) for r, f in faults if f), (first, "not as in FER2013's CSV"))
        if row == first + len(lines) - 1 and not lines[-1].endswith(b"\n"):
            fault = f"the file is cut off inside this row ({fault})"
        raise DatasetError(_at(name, row, f"{fault}; {AGAIN} or delete the row"))
    return pixels.astype(np.uint8), np.array(labels, np.int8), np.array(codes, np.int8)


def _fault(label: str, usage: str, text: str) -> str | None:
    """What is wrong with a row."""
    if not label + text:
        return "blank line"
    if label not in _LABELS:
        return f"emotion '{printable(label, 20)}' is not 0 to {len(CLASS_NAMES) - 1}"
    pixels = text.split(" ")
    for position, pixel in enumerate(pixels, start=1):
        if not re.fullmatch(r"\d{1,3}", pixel, re.ASCII) or int(pixel) > 255:
            return f"pixel {position} is '{printable(pixel, 20)}', not 0 to 255"
    if len(pixels) != PIXELS:
        return f"{len(pixels)} pixels instead of {PIXELS} ({SIDE} by {SIDE})"
    known = ", ".join(USAGES)
    return None if usage in _CODES else f"Usage '{printable(usage, 20)}' is none of {known}"


_LABELS = {str(label): label for label in range(len(CLASS_NAMES))}
_CODES = {usage: code for code, usage in enumerate(USAGES)}


def _at(name: str, row: int, fault: str) -> str:
    return f"{name}: row {row} (line {row + 1}): {fault}"


def class_names_of(path: Path) -> tuple[str, ...]:
    """The classes of a folder of pictures: a line each of its `classes.txt`, else FER2013's seven;
    so those of a file. Their case does not matter where FER2013 has them.

    Raises `DatasetError` for fewer than two, one twice, or more than labels can count.
    """
    file = Path(path) / CLASSES_FILE
    if not file.is_file():
        return CLASS_NAMES
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    known = {name.lower(): name for name in (*CLASS_NAMES, "Contempt")}
    names = [known.get(line.strip().lower(), line.strip()) for line in lines if line.strip()]
    if not 2 <= len(names) <= 100 or len({name.lower() for name in names}) < len(names):
        fault = f"{len(names)} classes ({printable(', '.join(names[:9]))})"
        cure = "write 2 to 100 different, a line each"
        raise DatasetError(f"{printable(file.parent.name)}/{CLASSES_FILE}: {fault}; {cure}")
    return tuple(names)


def class_of(folder_name: str, class_names: Sequence[str]) -> int | None:
    """The label of a folder of pictures by its name; None for no class."""
    labels = {name.lower(): label for label, name in enumerate(class_names)}
    return labels.get(folder_name.lower(), labels.get(SYNONYMS.get(folder_name.lower(), "")))


def files_below(folder: Path) -> Iterator[Path]:
    """Files in a folder at any depth, sorted; links are followed, hidden names left out. Raises
    `DatasetError` for a folder that one may not look into."""

    def refuse(error: OSError):
        place = printable(error.filename)
        raise DatasetError(f"{place}: cannot be read ({error.strerror})") from error

    seen = set()
    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))
