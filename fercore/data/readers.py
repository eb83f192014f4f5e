"""Files to arrays: FER2013's CSV forms, plain or compressed, and folders of pictures by class.

Both readers check all they read. Damage is a `DatasetError` of one line: file, row, cure. A row is
counted as data row, 1-based, and as the line that a text editor shows (one more, for the header).
"""

import gzip
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from fercore import artifacts
from fercore.data import affectnet
from fercore.data.faces import CLASS_NAMES, SIDE, USAGES, DatasetError

PIXELS = SIDE * SIDE
CLASSES_FILE = "classes.txt"
CSV_NAMES = ("fer2013.csv", "icml_face_data.csv", "train.csv")
COMPRESSED = (".tar.gz", ".tgz", ".zip", ".gz", ".xz")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm")
AGAIN = "download the file again"
BLOCK = 1 << 19
SPLIT_FOLDERS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "publictest": 1,
                 "test": 2, "testing": 2, "privatetest": 2}  # fmt: skip
FOLDER_SYNONYMS = {"anger": "angry", "disgusted": "disgust", "fearful": "fear", "happiness": "happy",
                   "sadness": "sad", "surprised": "surprise"}  # fmt: skip
BROKEN = (
    EOFError,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    zipfile.BadZipFile,
    tarfile.TarError,
)


def read_csv(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All faces of a FER2013 CSV: images uint8 [n, 48, 48], labels int8 [n], usage codes int8 [n]
    (0, 1, 2).

    Columns `emotion`, `pixels` and `Usage`, in any order; without `Usage` (the competition's
    train.csv) every face is Training. Raises `DatasetError` at the first damaged row.
    """
    path = Path(path)
    try:
        with _opened(path) as (file, name):
            columns = _columns(file.readline(10_000), name)
            parts = [
                _parse(lines, first, last, columns, name) for lines, first, last in _blocks(file)
            ]
    except BROKEN as error:
        raise DatasetError(f"{path.name}: cut off or damaged archive ({error}); {AGAIN}") from error
    except OSError as error:
        raise DatasetError(
            f"{path.name}: cannot be read ({error.strerror or error}); check the file"
        ) from error
    if not parts:
        raise DatasetError(f"{name}: a header and no rows; {AGAIN}")
    images, labels, usage = (np.concatenate(column) for column in zip(*parts, strict=True))
    return images, labels, usage


def is_csv(path: Path) -> bool:
    """Whether a file's name is one that `read_csv` takes."""
    name = path.name.lower()
    return name.endswith(".csv") or name.endswith(COMPRESSED)


def class_names_of(path: Path) -> tuple[str, ...]:
    """The classes of a folder of pictures: a line each of its `classes.txt`, else FER2013's seven;
    so those of a file.

    Raises `DatasetError` for fewer than two, one twice, or more than labels can count.
    """
    file = Path(path) / CLASSES_FILE
    if not file.is_file():
        return CLASS_NAMES
    names = [
        line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()
    ]
    if not 2 <= len(names) <= 100 or len({name.lower() for name in names}) < len(names):
        raise DatasetError(
            f"{file.parent.name}/{CLASSES_FILE}: {len(names)} classes ({', '.join(names[:9])}); write "
            "2 to 100 different ones, a line each"
        )
    return tuple(names)


def read_folder(
    folder: Path, class_names: Sequence[str] = CLASS_NAMES, side: int = SIDE
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures in folders named after their class, at any depth: arrays as `read_csv` gives them.

    The split is taken from the file name (`Training_…`, `PublicTest_…`, `PrivateTest_…`), else from
    a folder (`train`, `val`, `test`), else it is Training. Pictures of any size and colour become
    grayscale, `side` by `side`. Order: split, class, file name. AffectNet's own folders are read as
    well (`affectnet.rows`).
    """
    folder = Path(folder)
    known = affectnet.is_affectnet(folder)
    found = (
        affectnet.rows(folder, class_names, PICTURES)
        if known
        else _picture_rows(folder, class_names)
    )
    rows = sorted(found, key=lambda row: (row[0], row[1], _natural(row[2].name)))
    if not rows:
        raise DatasetError(
            f"{folder.name}: no pictures in folders named after classes ({', '.join(class_names)})"
        )
    images = np.empty((len(rows), side, side), np.uint8)
    for position, (_, _, path) in enumerate(artifacts.progress(rows, "pictures")):
        images[position] = read_picture(path, side, shown=path.relative_to(folder))
    usage, labels = np.array([row[:2] for row in rows], np.int8).T
    return images, labels.copy(), usage.copy()


def read_picture(path: Path, side: int = SIDE, shown: Path | None = None) -> np.ndarray:
    """One picture as grayscale uint8 [side, side]; one that is not square is squeezed, not cut."""
    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
    if image is None:
        raise DatasetError(f"{shown or path.name}: not a readable picture; replace it or delete it")
    if image.shape != (side, side):
        shrinks = min(image.shape) >= side
        image = cv2.resize(
            image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        )
    return image


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """The CSV inside a file, whatever it is packed in, and the name to show for it."""
    name = path.name.lower()
    if name.endswith((".tar.gz", ".tgz")):
        with tarfile.open(path) as archive:
            member = _member(archive.getnames(), path.name)
            yield archive.extractfile(member), f"{path.name}/{member}"
    elif name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            member = _member(archive.namelist(), path.name)
            with archive.open(member) as file:
                yield file, f"{path.name}/{member}"
    else:
        opener = gzip.open if name.endswith(".gz") else lzma.open if name.endswith(".xz") else open
        with opener(path, "rb") as file:
            yield file, path.name


def _member(names: list[str], archive: str) -> str:
    tables = [name for name in names if name.lower().endswith(".csv")]
    known = [n for wanted in CSV_NAMES for n in tables if Path(n).name.lower() == wanted]
    if known or len(tables) == 1:
        return (known or tables)[0]
    raise DatasetError(
        f"{archive}: holds no {' or '.join(CSV_NAMES)}; unpack it and give the folder or the CSV"
    )


def _columns(header: bytes, name: str) -> dict[str, int]:
    """Which column is which. Blanks, quotes, capitals and a byte-order mark do not matter."""
    if not header.strip():
        raise DatasetError(f"{name}: empty file; {AGAIN}")
    names = header.decode("utf-8-sig", errors="replace").strip().split(",")
    found = {column.strip(' "').lower(): position for position, column in enumerate(names)}
    if not {"emotion", "pixels"} & set(found):
        start = "".join(c if c.isprintable() else "?" for c in ",".join(names)[:40])
        raise DatasetError(
            f"{name}: not FER2013's CSV (begins with '{start}'); line 1 must be emotion,pixels,Usage"
        )
    required = (
        ("emotion", "pixels")
        if Path(name).name.lower().startswith("train")
        else ("emotion", "pixels", "usage")
    )
    for column in required:
        if column not in found:
            cure = "; a file without Usage must be called train.csv" if column == "usage" else ""
            raise DatasetError(
                f"{name}: no column '{column}' in line 1 (found: {', '.join(found)}); {AGAIN}{cure}"
            )
    return found


def _blocks(file: BinaryIO) -> Iterator[tuple[list[bytes], int, bool]]:
    """Lines of the file in blocks, the first one's row number, and whether the last one ends the
    file unfinished."""
    row, rest = 1, b""
    while True:
        read = file.read(BLOCK)
        block = rest + read
        # a row longer than that is damage: let it be refused
        whole_rows = read and len(block) < 16 * BLOCK
        body = (block[: block.rfind(b"\n") + 1] if whole_rows else block).rstrip()
        if body:
            lines = body.split(b"\n")
            rest = block[len(body) :]
            yield lines, row, not read and b"\n" not in rest
            row += len(lines)
            rest = rest[rest.find(b"\n") + 1 :]
        else:
            rest = block
        if not read:
            return


def _parse(
    lines: list[bytes], first: int, unfinished: bool, columns: dict[str, int], name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, labels and usage codes of some lines; `first` is the row number of lines[0]."""
    rows = [line.split(b",") for line in lines]
    emotion, pixels, usage = (columns.get(c) for c in ("emotion", "pixels", "usage"))
    if all(len(row) == len(columns) for row in rows):
        labels = [_LABELS.get(row[emotion].strip(b' "\r')) for row in rows]
        splits = [
            _SPLITS.get(row[usage].strip(b' "\r')) if usage is not None else 0 for row in rows
        ]
        images = _numbers([row[pixels].strip(b' "\r') for row in rows])
        if images is not None and None not in labels and None not in splits:
            return (
                images.reshape(-1, SIDE, SIDE),
                np.array(labels, np.int8),
                np.array(splits, np.int8),
            )
    for position, row in enumerate(rows):
        fault = _fault(row, columns)
        if fault and unfinished and position == len(rows) - 1:
            fault = f"the file is cut off inside this row ({fault.split(';')[0]}); {AGAIN}"
        if fault:
            raise DatasetError(
                f"{name}: row {first + position} (line {first + position + 1}): {fault}"
            )
    raise AssertionError(f"{name}: rows from {first} refused without a fault")


def _numbers(texts: list[bytes]) -> np.ndarray | None:
    """2304 numbers of 0..255 from each text, uint8 [len(texts) * 2304]; None when any text holds
    anything else.

    All bytes of the block are taken at once: a digit at the end of a run is worth 1, the one before
    it 10, then 100.
    """
    data = np.frombuffer(b"   " + b" ".join(texts) + b" ", np.uint8)
    digits = data - 48
    is_digit = digits < 10
    if np.count_nonzero(is_digit) + np.count_nonzero(data == 32) != len(data):
        return None
    digits *= is_digit
    three = is_digit[1:-3] & is_digit[2:-2]
    three &= is_digit[3:-1]
    hundreds = digits[1:-3] * three
    three &= is_digit[:-4]
    if hundreds.max() > 2 or three.any():
        return None
    hundreds *= 100
    values = 10 * digits[2:-2]
    values += digits[3:-1]
    values += hundreds
    if (values < hundreds).any():  # 256 to 299 begin at 0 again
        return None
    ends = np.flatnonzero(is_digit[3:-1] > is_digit[4:])
    stops = np.cumsum([len(text) + 1 for text in texts])
    if len(ends) != PIXELS * len(texts) or (ends[PIXELS - 1 :: PIXELS] >= stops).any():
        return None
    if (ends[PIXELS::PIXELS] < stops[:-1]).any():
        return None
    return values[ends]


def _fault(row: list[bytes], columns: dict[str, int]) -> str | None:
    """What is wrong with a row, and the cure; None when nothing is."""
    if row == [b""] or row == [b"\r"]:
        return "blank line; delete it"
    if len(row) != len(columns):
        return f"{len(row)} columns instead of {len(columns)}; {AGAIN}"
    value = {
        c: row[position].strip(b' "\r').decode("utf-8", errors="replace")
        for c, position in columns.items()
    }
    if value["emotion"].encode() not in _LABELS:
        return f"emotion '{value['emotion'][:20]}' is not 0 to {len(CLASS_NAMES) - 1}; correct it or delete the row"
    if "usage" in value and value["usage"].encode() not in _SPLITS:
        return f"Usage '{value['usage'][:20]}' is none of {', '.join(USAGES)}; correct it or delete the row"
    pixels = value["pixels"].split()
    for position, pixel in enumerate(pixels, start=1):
        if not re.fullmatch(r"\d{1,3}", pixel, re.ASCII) or int(pixel) > 255:
            return f"pixel {position} is '{pixel[:20]}', not 0 to 255; {AGAIN} or delete the row"
    if len(pixels) != PIXELS:
        return f"{len(pixels)} pixels instead of {PIXELS} ({SIDE} by {SIDE}); {AGAIN} or delete the row"
    return None


_LABELS = {str(label).encode(): label for label in range(len(CLASS_NAMES))}
_SPLITS = {usage.encode(): code for code, usage in enumerate(USAGES)}


def _picture_rows(folder: Path, class_names: Sequence[str]) -> Iterator[tuple[int, int, Path]]:
    """(usage code, label, path) of each picture; the nearest folder names the class."""
    labels = {name.lower(): label for label, name in enumerate(class_names)}
    for path in folder.rglob("*"):
        if path.suffix.lower() not in PICTURES or path.name.startswith("."):
            continue
        parts = [part.lower() for part in path.relative_to(folder).parts[:-1]]
        kind = parts[-1] if parts else folder.name.lower()
        label = labels.get(kind, labels.get(FOLDER_SYNONYMS.get(kind, "")))
        if label is None:
            raise DatasetError(
                f"{path.relative_to(folder)}: its folder is no class ({', '.join(class_names)}); rename or move it"
            )
        named = next(
            (code for code, usage in enumerate(USAGES) if path.name.startswith(usage)), None
        )
        placed = next((SPLIT_FOLDERS[part] for part in parts if part in SPLIT_FOLDERS), 0)
        yield placed if named is None else named, label, path


def _natural(name: str) -> list:
    """A sort key that puts Training_9 before Training_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
