"""Folders of pictures by class: read as a data set, and made from a user's own pictures.

made = image_folders.make("photos/", "data/mine")  # faces: train/Happy/00012_holiday.png, ...
made.counts, made.problems  # faces by class and part; what was left out, and why
"""

import logging
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fercore import artifacts
from fercore.artifacts import printable
from fercore.data import pictures
from fercore.data.faces import CLASS_NAMES, SIDE, USAGES, DatasetError

CLASSES_FILE = "classes.txt"
SYNONYMS = {"anger": "angry", "disgusted": "disgust", "fearful": "fear", "happiness": "happy"}
SYNONYMS |= {"sadness": "sad", "surprised": "surprise"}
PARTS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "publictest": 1}
PARTS |= {"test": 2, "testing": 2, "privatetest": 2}
WRITTEN = ("train", "val", "test")

log = logging.getLogger(__name__)
Row = tuple[int, int, Path]  # usage code, label, picture


def files_below(folder: Path) -> Iterator[Path]:
    """Files at any depth, sorted; links are followed, hidden names not. Raises `DatasetError`."""

    def refuse(error: OSError):
        raise DatasetError(f"{printable(error.filename)}: cannot be read ({error.strerror})")

    seen = set()
    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))


def class_names_of(path: Path) -> tuple[str, ...]:
    """The classes of a folder: a line each of its `classes.txt`, else FER2013's seven, whose case
    does not matter. Raises `DatasetError` for fewer than two, one twice, or more than 100."""
    file = path / CLASSES_FILE
    if not file.is_file():
        return CLASS_NAMES
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    known = {name.lower(): name for name in (*CLASS_NAMES, "Contempt")}
    names = [known.get(line.lower(), line) for line in map(str.strip, text.splitlines()) if line]
    if not 2 <= len(names) <= 100 or len({name.lower() for name in names}) < len(names):
        fault = f"{len(names)} classes ({printable(', '.join(names[:9]))})"
        cure = "write 2 to 100 different ones, a line each"
        raise DatasetError(f"{printable(path.name)}/{CLASSES_FILE}: {fault}; {cure}")
    return tuple(names)


def label_of(name: str, class_names: Sequence[str]) -> int | None:
    """The label of a folder of pictures by its name; None for no class."""
    labels = {known.lower(): label for label, known in enumerate(class_names)}
    return labels.get(name.lower(), labels.get(SYNONYMS.get(name.lower(), "")))


def read_folder(
    folder: Path, class_names: Sequence[str] = CLASS_NAMES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures in folders named after their class, at any depth: images uint8 [n, 48, 48], labels
    int8 [n], usage codes int8 [n], in the order of usage, class, file name.

    A folder above says the part (`train`, `val`, `test`, …), else the file name (`Training_…`,
    `PublicTest_…`, `PrivateTest_…`), else it is Training. Raises `DatasetError` for an unknown
    class or part, and an unreadable picture.
    """
    files = list(files_below(folder))
    found = [path for path in files if path.suffix.lower() in pictures.SUFFIXES]
    _warn(folder, sorted(set(files).difference(found, [folder / CLASSES_FILE])), "are no pictures")
    if not found:
        names = printable(", ".join(class_names))
        raise DatasetError(f"{printable(folder.name)}: no pictures in folders named {names}")
    rows = _placed(folder, found, class_names)
    rows.sort(key=lambda row: (row[0], row[1], pictures.natural(row[2].name)))
    images = np.empty((len(rows), SIDE, SIDE), np.uint8)
    for image, (_, _, path) in zip(images, artifacts.progress(rows, "pictures"), strict=True):
        try:
            image[:] = pictures.squeezed(pictures.read(path, smallest=2 * SIDE))
        except pictures.PictureError as error:
            place, fault = printable(path.relative_to(folder)), str(error).split(": ", 1)[-1]
            raise DatasetError(f"{place}: {fault}, or delete it") from error
    usage, labels = np.array([row[:2] for row in rows], np.int8).T.copy()
    return images, labels, usage


def _placed(folder: Path, found: list[Path], class_names: Sequence[str]) -> list[Row]:
    """The nearest folder names the class of a picture, one above it the part."""
    above = [path.relative_to(folder).parts[:-2] for path in found]
    parts = [_part(names) for names in above]
    divided, validated = len(set(above)) > 1, 1 in parts
    rows, differ = [], []
    for path, names, part in zip(found, above, parts, strict=True):
        label, shown = label_of(path.parent.name, class_names), printable(path.relative_to(folder))
        if label is None:
            known = printable(", ".join(class_names))
            raise DatasetError(f"{shown}: its folder is no class ({known}); rename or move it")
        if part is None and names and divided:
            fault = f"'{printable('/'.join(names))}' is no part"
            raise DatasetError(f"{shown}: {fault}; call it one of {', '.join(PARTS)}")
        named = next((k for k, usage in enumerate(USAGES) if path.name.startswith(usage)), None)
        if part is None or (part == 2 and named == 1 and not validated):
            part = named or 0  # Kaggle's folder test holds both kinds of test faces
        elif named not in (None, part):
            differ.append(path)
        rows.append((part, label, path))
    _warn(folder, differ, "are named after another part than their folder, which counts")
    return rows


def _warn(folder: Path, paths: Sequence[Path], what: str) -> None:
    if paths:
        first = printable(paths[0].relative_to(folder))
        log.warning("%s: %d files %s, first %s", printable(folder.name), len(paths), what, first)


def _part(names: Sequence[str]) -> int | None:
    """The usage code that a folder on the way to a picture says: 'Public Test', training_set, …"""
    plain = (re.sub(r"[\W_]+|set$|data$", "", name.lower()) for name in names)
    return next((PARTS[name] for name in plain if name in PARTS), None)


@dataclass(frozen=True)
class Made:
    """What was written where: faces of each class in train, val and test; what was left out."""

    folder: Path
    counts: dict[str, tuple[int, int, int]]
    problems: list[tuple[str, str]]


def make(
    folder: str | Path,
    target: str | Path,
    crop: Callable[[np.ndarray], np.ndarray | None] = pictures.squeezed,
) -> Made:
    """Turn the pictures in `folder`, a subfolder by class, into the data set `target`, a folder
    that is not there yet: 80, 10 and 10 % of each class train, validate and test.

    `crop`: from a picture, uint8 [h, w, 3] RGB, to its face, gray uint8 [48, 48], or None where it
    finds none. What cannot be used is listed. Raises `DatasetError` when too little remains.
    """
    folder, target = (Path(os.path.expanduser(path)) for path in (folder, target))
    if not folder.is_dir():
        raise DatasetError(f"{printable(folder)}: no such folder; give one with folders by class")
    if os.path.exists(target):  # Path's own raises for a name too long
        raise DatasetError(f"{printable(target)}: there already; delete it or give another name")
    if target.resolve().is_relative_to(folder.resolve()):
        raise DatasetError(f"{printable(target)}: lies in the folder that is read; go elsewhere")
    counts, problems, rows = {}, [], []  # type: ignore[var-annotated]
    for name, faces in _faces(folder, crop, problems).items():
        if len(faces) < 3:
            problems.append((f"{name}/", f"{len(faces)} usable pictures, at least 3 are needed"))
            continue
        tenth = max(1, round(len(faces) / 10))
        counts[name] = len(faces) - 2 * tenth, tenth, tenth
        parts = np.random.default_rng(len(counts)).permutation(np.repeat(WRITTEN, counts[name]))
        rows += [(part, name, *found) for part, found in zip(parts, faces, strict=True)]
    if len(counts) < 2:
        lost = printable("; ".join(map(": ".join, problems)), 200) or "nothing"
        fault = f"faces of {len(counts)} classes, two are needed (left out: {lost})"
        raise DatasetError(f"{printable(folder.name)}: {fault}")
    try:
        _write(target, rows, tuple(counts))
    except OSError as error:
        raise DatasetError(f"{printable(target)}: cannot be written ({error.strerror})") from error
    return Made(target, counts, problems)


def _faces(folder: Path, crop: Callable, problems: list) -> dict[str, list[tuple]]:
    """Pictures and faces by class, each once, none that two classes have; adds to `problems`."""
    classes = class_names_of(folder)
    kept: dict[str, list[tuple]] = {name: [] for name in classes}
    same: dict[bytes, list[tuple[str, Path, np.ndarray]]] = defaultdict(list)
    for path in artifacts.progress(list(files_below(folder)), "faces"):
        place, *deeper = path.relative_to(folder).parts
        label = label_of(place, classes)
        if not deeper or label is None:
            fault = f"no class ({', '.join(classes)}); rename it or name it as one"
            problem = (f"{place}/", fault) if deeper else (place, "lies in no class's folder")
            if place != CLASSES_FILE and problem not in problems:
                problems.append(problem)
            continue
        try:
            face, fault = crop(pictures.read(path)), "no face found"
        except pictures.PictureError as error:
            face, fault = None, str(error).split(": ", 1)[-1]
        if face is None:
            problems.append((str(path.relative_to(folder)), fault))
        else:
            same[face.tobytes()].append((classes[label], path, face))
    for group in same.values():
        clash = len({name for name, _, _ in group}) > 1
        what = "the same face under another class" if clash else "a duplicate"
        for _, path, _ in group if clash else group[1:]:
            twin = next(other for _, other, _ in group if other != path).relative_to(folder)
            problems.append((str(path.relative_to(folder)), f"{what}: {twin}"))
        if not clash:
            kept[group[0][0]].append(group[0][1:])
    return {name: faces for name, faces in kept.items() if faces}


def _write(target: Path, rows: list, class_names: tuple[str, ...]) -> None:
    """The folder, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making.", dir=target.parent) as home:
        made = Path(home) / "made"
        for number, (part, name, path, face) in enumerate(rows):
            stem = os.fsencode(path.stem[:50]).decode(errors="replace")
            file = made / part / name / f"{number:05d}_{stem}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(cv2.imencode(".png", face)[1].tobytes())
        if class_names != CLASS_NAMES:
            (made / CLASSES_FILE).write_text("\n".join(class_names) + "\n", encoding="utf-8")
        made.rename(target)
