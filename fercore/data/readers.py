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
    arrays = bytearray(), bytearray(), bytearray()  # they grow in place, in memory only once
    row, blank = 1, 0
    with opened(path) as (file, name):
        columns = _columns(file.readline(LONGEST), name)
        while lines := list(islice(iter(lambda: file.readline(LONGEST), b""), ROWS)):
            filled = next((k for k in range(len(lines), 0, -1) if lines[k - 1].strip()), 0)
            if (blank and filled) or len(lines) - filled == ROWS:
                raise DatasetError(_at(name, blank or row, "blank line; delete the row"))
            for whole, part in zip(
                arrays, _parsed(lines[:filled], columns, name, row), strict=True
            ):
                whole += part.tobytes()
            blank = blank or (row + filled if filled < len(lines) else 0)
            row += len(lines)
        if not arrays[1]:
            raise DatasetError(f"{name}: a header and no rows; {AGAIN}")
    images = np.frombuffer(arrays[0], np.uint8).reshape(-1, SIDE, SIDE)
    return images, np.frombuffer(arrays[1], np.int8), np.frombuffer(arrays[2], np.int8)


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], str]]:
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
            unpack = gzip.open if start.startswith(b"\x1f\x8b") else open
            with (lzma.open if start == b"\xfd7zXZ\0" else unpack)(path, "rb") as file:
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
        raise DatasetError(
            f"{name}: not FER2013's CSV ({start}); line 1 must be emotion,pixels,Usage"
        )
    needed = ["emotion", "pixels", "usage"][
        : 2 if Path(name).name.lower().startswith("train") else 3
    ]
    for column in needed:
        if column not in found:
            cure = "; a file without Usage must be called train.csv" if column == "usage" else ""
            has = printable(", ".join(found))
            raise DatasetError(f"{name}: no column '{column}' in line 1 ({has}); {AGAIN}{cure}")
    return found


def _parsed(lines: list[bytes], columns: list[str], name: str, first: int) -> Arrays:
    """Pixels, labels and usage codes of some lines; `first` is the row number of the first."""
    import pandas as pd

    text, options = io.BytesIO(b"".join(lines)), {"index_col": False, "skipinitialspace": True}
    options |= {"header": None, "dtype": str, "na_filter": False, "skip_blank_lines": False}
    try:
        table = pd.read_csv(text, names=columns, encoding_errors="replace", **options)
    except ValueError as error:
        fault = str(error).rstrip().replace(" in line ", f" in line {first} + ")
        raise DatasetError(f"{name}: {printable(fault)}; {AGAIN}") from error
    usages = table.usage if "usage" in table else USAGES[:1] * len(table)
    labels, codes = [_LABELS.get(x) for x in table.emotion], [_CODES.get(x) for x in usages]
    try:
        pixels = np.fromstring(" ".join(table.pixels), np.int64, sep=" ")
        sound = all(row.count(" ") == PIXELS - 1 for row in table.pixels)
        sound &= len(pixels) == PIXELS * len(lines) and pixels.min() >= 0 and pixels.max() < 256
    except (ValueError, TypeError):
        sound = False
    if not sound or None in labels or None in codes:
        rows = zip(table.emotion, usages, table.pixels, strict=True)
        faults = ((row, _fault(*map(str, fields))) for row, fields in enumerate(rows, first))
        row, fault = next(((r, f) for r, f in faults if f), (first, "not as in FER2013's CSV"))
        if row == first + len(lines) - 1 and not lines[-1].endswith(b"\n"):
            fault = f"the file is cut off inside this row ({fault}); {AGAIN}"
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
        listed = f"{len(names)} classes ({printable(', '.join(names[:9]))})"
        raise DatasetError(
            f"{file.parent.name}/{CLASSES_FILE}: {listed}; write 2 to 100 different, a line each"
        )
    return tuple(names)


def files_below(folder: Path) -> Iterator[Path]:
    """Files in a folder at any depth, sorted; links are followed, hidden names left out. Raises
    `DatasetError` for a folder that one may not look into."""

    def refuse(error: OSError):
        place = printable(error.filename)
        raise DatasetError(f"{place}: cannot be read ({error.strerror})") from error

    seen = set()
    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(place)
        visible = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        folders[:] = [] if real in seen else sorted(visible)
        for name in [] if real in seen else sorted(files):
            if not name.startswith("."):
                yield Path(place, name)
        seen.add(real)


def read_folder(folder: Path, class_names: Sequence[str] = CLASS_NAMES, side: int = SIDE) -> Arrays:
    """Pictures in folders named after their class, at any depth: arrays as `read_csv` gives them.

    A folder above says the part (`train`, `val`, `test`, …), else the file name (`Training_…`,
    `PublicTest_…`, `PrivateTest_…`); where no picture lies in a part, all are Training. Pictures of
    any size and colour become grayscale, `side` by `side`. Order: usage, class, file name.
    AffectNet's own folders are read as well; Contempt and pictures without an expression are left
    out. What is passed over is counted in a warning. Raises `DatasetError` for an unknown class or
    part, and for a picture that cannot be read.
    """
    folder = Path(folder)
    files = list(files_below(folder))
    found = [path for path in files if path.suffix.lower() in pictures.SUFFIXES]
    affectnet = (folder / "val_set").is_dir() and not (folder / "test_set").is_dir()
    rows = (_affectnet if affectnet else _by_class)(folder, found, class_names)
    if not rows:
        names = printable(", ".join(class_names))
        raise DatasetError(
            f"{printable(folder.name)}: no pictures in folders named after classes ({names})"
        )
    rows.sort(key=lambda row: (row[0], row[1], pictures.natural(row[2].name)))
    ours = {CLASSES_FILE, "problems.csv"}
    others = [path for path in files if path.suffix.lower() not in (*pictures.SUFFIXES, ".npy")]
    _tell(folder, [path for path in others if path.name not in ours], "files are no pictures")
    images = np.empty((len(rows), side, side), np.uint8)
    for position, (_, _, path) in enumerate(artifacts.progress(rows, "pictures")):
        try:
            images[position] = squeezed(pictures.read(path, smallest=2 * side), side)
        except pictures.PictureError as error:
            shown = printable(path.relative_to(folder))
            fault = str(error).split(": ", 1)[-1]
            raise DatasetError(f"{shown}: {fault}, or delete it") from error
    usage, labels = np.array([row[:2] for row in rows], np.int8).T
    return images, labels.copy(), usage.copy()


def squeezed(rgb: np.ndarray, side: int = SIDE) -> np.ndarray:
    """A picture as grayscale uint8 [side, side]; one that is not square is squeezed, not cut."""
    image = pictures.gray(rgb)
    if image.shape == (side, side):
        return image
    how = cv2.INTER_AREA if min(image.shape) >= side else cv2.INTER_CUBIC
    return cv2.resize(image, (side, side), interpolation=how)


def _tell(folder: Path, passed_over: Sequence[Path], what: str) -> None:
    if passed_over:
        first = printable(passed_over[0].relative_to(folder))
        log.warning("%s: %d %s, first %s", folder.name, len(passed_over), what, first)


def class_of(folder_name: str, class_names: Sequence[str]) -> int | None:
    """The label of a folder of pictures by its name; None for no class."""
    labels = {name.lower(): label for label, name in enumerate(class_names)}
    return labels.get(folder_name.lower(), labels.get(SYNONYMS.get(folder_name.lower(), "")))


def _by_class(
    folder: Path, found: list[Path], class_names: Sequence[str]
) -> list[tuple[int, int, Path]]:
    """(usage code, label, path) of each picture; the nearest folder names the class, one above it
    the part."""
    above = [path.relative_to(folder).parts[:-2] for path in found]
    common = os.path.commonpath([os.path.join(*names, ".") for names in above] or ["."])
    shared = Path(common).parts  # folders that hold everything
    placed, rows, differ = [_part(names) for names in above], [], []
    for path, names, part in zip(found, above, placed, strict=True):
        label = class_of(path.parent.name, class_names)
        if label is None:
            shown, known = printable(path.relative_to(folder)), printable(", ".join(class_names))
            raise DatasetError(f"{shown}: its folder is no class ({known}); rename or move it")
        if part is None and len(names) > len(shared):
            shown, unknown = printable(path.relative_to(folder)), printable(names[len(shared)])
            raise DatasetError(
                f"{shown}: '{unknown}' is no part; call it one of {', '.join(PARTS)}"
            )
        named = next(
            (code for code, usage in enumerate(USAGES) if path.name.startswith(usage)), None
        )
        if part is None or (part == 2 and named == 1 and 1 not in placed):
            part = named or 0  # Kaggle's folder test holds both kinds of test faces
        elif named not in (None, part):
            differ.append(path)
        rows.append((part, label, path))
    _tell(folder, differ, "pictures are named after another part than their folder, which counts")
    return rows


def _part(names: Sequence[str]) -> int | None:
    """The usage code that a folder on the way to a picture says: 'Public Test', training_set, …"""
    plain = (re.sub(r"[\W_]+|set$|data$", "", name.lower()) for name in names)
    return next((PARTS[name] for name in plain if name in PARTS), None)


def _affectnet(
    folder: Path, found: list[Path], class_names: Sequence[str]
) -> list[tuple[int, int, Path]]:
    """(usage code, label, path) of AffectNet's pictures whose expression is one of the classes.

    Folders `train_set` and `val_set` hold `images/0.jpg` with `annotations/0_exp.npy`, or a folder
    for each expression, numbered or named.
    """
    rows, others = [], []
    for path in found:
        shown = path.relative_to(folder)
        kind = path.parent.name.lower()
        if kind == "images":
            file = path.parent.parent / "annotations" / f"{path.stem}_exp.npy"
            try:
                kind = str(np.load(file, allow_pickle=False)).strip().lower()
            except (OSError, ValueError) as error:
                fault = f"no readable annotations/{file.name} beside it; unpack AffectNet again"
                raise DatasetError(f"{printable(shown)}: {fault}") from error
        numbered = kind.isascii() and kind.isdigit() and int(kind) < len(AFFECTNET)
        name = AFFECTNET[int(kind)] if numbered else SYNONYMS.get(kind, kind)
        if name not in AFFECTNET:
            known = f"0 to {len(AFFECTNET) - 1}, or {', '.join(AFFECTNET)}"
            fault = (
                f"'{printable(kind)}' is no expression of AffectNet ({known}); rename or move it"
            )
            raise DatasetError(f"{printable(shown)}: {fault}")
        label, part = class_of(name, class_names), AFFECTNET_PARTS.get(shown.parts[0])
        if label is None or part is None:
            others.append(path)
        else:
            rows.append((part, label, path))
    _tell(folder, others, "pictures of other expressions or parts left out")
    return rows
