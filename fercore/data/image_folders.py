"""Folders of pictures by class: read as a data set, and made from a user's own pictures.

    made = image_folders.make("photos/", "data/mine")
    made.counts, made.problems    # faces by class and part; what was left out, and why

What comes of it is a folder of 48×48 faces, `train/Happy/00012_holiday.png`, which `datasets.load`
reads: look through it, delete what is wrong.
"""

import csv
import io
import logging
import math
import os
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fercore import artifacts
from fercore.artifacts import printable
from fercore.data import pictures, readers
from fercore.data.faces import CLASS_NAMES, SIDE, USAGES, DatasetError

PARTS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "publictest": 1}
PARTS |= {"test": 2, "testing": 2, "privatetest": 2}
WRITTEN = ("train", "val", "test")
OURS = (readers.CLASSES_FILE, "problems.csv")
# expressions of AffectNet (Mollahosseini et al. 2017, arXiv:1708.03985) by their numbers
AFFECTNET = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt"]
AFFECTNET += ["none", "uncertain", "no-face"]
AFFECTNET_PARTS = {"train_set": 0, "val_set": 2}  # its validation faces are what others test on

log = logging.getLogger(__name__)
Row = tuple[int, int, Path]  # usage code, label, picture
Found = tuple[Path, np.ndarray]  # a picture, and its face: gray uint8 [48, 48]


def read_folder(
    folder: Path, class_names: Sequence[str] = CLASS_NAMES, side: int = SIDE
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures in folders named after their class, at any depth: images uint8 [n, side, side],
    labels int8 [n], usage codes int8 [n].

    A folder above says the part (`train`, `val`, `test`, …), else the file name (`Training_…`,
    `PublicTest_…`, `PrivateTest_…`); where no picture lies in a part, all are Training. Pictures of
    any size and colour become grayscale, `side` by `side`. Order: usage, class, file name.
    AffectNet's own folders are read as well; Contempt and pictures without an expression are left
    out. What is passed over is counted in a warning. Raises `DatasetError` for an unknown class or
    part, and for a picture that cannot be read.
    """
    folder = Path(folder)
    files = list(readers.files_below(folder))
    found = [path for path in files if path.suffix.lower() in pictures.SUFFIXES]
    affectnet = any((folder / part).is_dir() for part in AFFECTNET_PARTS)
    affectnet = affectnet and not (folder / "test_set").is_dir()
    rows = (_affectnet if affectnet else _by_class)(folder, found, class_names)
    if not rows:
        fault = f"no pictures in folders named after classes ({printable(', '.join(class_names))})"
        raise DatasetError(f"{printable(folder.name)}: {fault}")
    rows.sort(key=lambda row: (row[0], row[1], pictures.natural(row[2].name)))
    known = {*found, *(path for path in files if path.name in OURS or path.suffix == ".npy")}
    _tell(folder, [path for path in files if path not in known], "are no pictures")
    images = np.empty((len(rows), side, side), np.uint8)
    for position, (_, _, path) in enumerate(artifacts.progress(rows, "pictures")):
        try:
            images[position] = pictures.squeezed(pictures.read(path, smallest=2 * side), side)
        except pictures.PictureError as error:
            fault = str(error).split(": ", 1)[-1]
            raise DatasetError(f"{_shown(path, folder)}: {fault}, or delete it") from error
    usage, labels = np.array([row[:2] for row in rows], np.int8).T
    return images, labels.copy(), usage.copy()


def _shown(path: Path, folder: Path) -> str:
    return printable(path.relative_to(folder))


def _tell(folder: Path, paths: Sequence[Path], what: str) -> None:
    if paths:
        first = _shown(paths[0], folder)
        log.warning("%s: %d files %s, first %s", printable(folder.name), len(paths), what, first)


def _by_class(folder: Path, found: list[Path], class_names: Sequence[str]) -> list[Row]:
    """The nearest folder names the class of a picture, one above it the part."""
    above = [path.relative_to(folder).parts[:-2] for path in found]
    common = os.path.commonpath([os.path.join(*names, ".") for names in above] or ["."])
    shared = len(Path(common).parts)  # folders that hold everything
    placed, rows, differ = [_part(names) for names in above], [], []
    for path, names, part in zip(found, above, placed, strict=True):
        label = readers.class_of(path.parent.name, class_names)
        if label is None:
            fault = f"its folder is no class ({printable(', '.join(class_names))})"
            raise DatasetError(f"{_shown(path, folder)}: {fault}; rename or move it")
        if part is None and len(names) > shared:
            fault = f"'{printable(names[shared])}' is no part; call it one of {', '.join(PARTS)}"
            raise DatasetError(f"{_shown(path, folder)}: {fault}")
        named = next((k for k, usage in enumerate(USAGES) if path.name.startswith(usage)), None)
        if part is None or (part == 2 and named == 1 and 1 not in placed):
            part = named or 0  # Kaggle's folder test holds both kinds of test faces
        elif named not in (None, part):
            differ.append(path)
        rows.append((part, label, path))
    _tell(folder, differ, "are named after another part than their folder, which counts")
    return rows


def _part(names: Sequence[str]) -> int | None:
    """The usage code that a folder on the way to a picture says: 'Public Test', training_set, …"""
    plain = (re.sub(r"[\W_]+|set$|data$", "", name.lower()) for name in names)
    return next((PARTS[name] for name in plain if name in PARTS), None)


def _affectnet(folder: Path, found: list[Path], class_names: Sequence[str]) -> list[Row]:
    """Folders `train_set` and `val_set` hold `images/0.jpg` with `annotations/0_exp.npy`, or a
    folder for each expression, numbered or named."""
    rows, others = [], []
    for path in found:
        kind = path.parent.name.lower()
        if kind == "images":
            file = path.parent.parent / "annotations" / f"{path.stem}_exp.npy"
            try:
                kind = str(np.load(file, allow_pickle=False)).strip().lower()
            except (OSError, ValueError, EOFError) as error:
                fault = f"no readable annotations/{printable(file.name)} beside it"
                raise DatasetError(f"{_shown(path, folder)}: {fault}; unpack it again") from error
        numbered = kind.isascii() and kind.isdigit() and int(kind) < len(AFFECTNET)
        name = AFFECTNET[int(kind)] if numbered else readers.SYNONYMS.get(kind, kind)
        if name not in AFFECTNET:
            known = f"0 to {len(AFFECTNET) - 1}, or {', '.join(AFFECTNET)}"
            fault = f"'{printable(kind)}' is no expression of AffectNet ({known})"
            raise DatasetError(f"{_shown(path, folder)}: {fault}; rename or move it")
        label = readers.class_of(name, class_names)
        part = AFFECTNET_PARTS.get(path.relative_to(folder).parts[0])
        if label is None or part is None:
            others.append(path)
        else:
            rows.append((part, label, path))
    _tell(folder, others, "are of other expressions or parts and left out")
    return rows


@dataclass(frozen=True)
class Made:
    """What was written where. `counts`: faces of each class in training, validation and test;
    `problems`: what was left out, and why."""

    folder: Path
    counts: dict[str, tuple[int, ...]]
    problems: list[tuple[str, str]]


def make(
    folder: str | Path,
    target: str | Path,
    crop: Callable[[np.ndarray], np.ndarray | None] = pictures.squeezed,
    *,
    classes: Sequence[str] | None = None,
    split: Sequence[float] = (80, 10, 10),
    seed: int = 0,
) -> Made:
    """Turn the pictures in `folder`, a subfolder by class, into the data set `target`, a folder
    that is not there yet.

    `crop`: from a picture, uint8 [h, w, 3] RGB, to its face, gray uint8 [48, 48], or None where it
    finds none; without it the picture is the face. `classes`: the names of the subfolders to use,
    any case; None: those that `classes.txt` in `folder` lists, else FER2013's seven. `split`:
    shares of training, validation and test, drawn class by class with `seed`, each part with one
    picture of each class at least. A picture that cannot be read or shows no face, a duplicate, a
    folder that is no class, a class of fewer than three pictures: left out and listed. Raises
    `DatasetError` when what remains is no data set.
    """
    folder, target = (Path(os.path.expanduser(path)) for path in (folder, target))
    _check(folder, target, split)
    names = [name.strip() for name in classes or () if name.strip()] or readers.class_names_of(
        folder
    )
    problems: list[tuple[str, str]] = []
    parts = {}
    found = _without_duplicates(_faces(folder, names, crop, problems), folder, problems)
    for k, name in enumerate(name for name in names if name in found):
        if len(found[name]) < len(WRITTEN):
            fault = f"{len(found[name])} usable pictures, at least 3 are needed: class left out"
            problems.append((f"{name}/", fault))
        else:
            parts[name] = _divided(found[name], split, np.random.default_rng([seed, k]))
    if len(parts) < 2:
        first = f" (left out: {': '.join(problems[0])})" if problems else ""
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        fault = f"faces of {len(parts)} classes, two are needed{first}{more}"
        raise DatasetError(f"{printable(folder.name)}: {fault}")
    _write(target, parts, problems)
    return Made(target, {name: tuple(map(len, some)) for name, some in parts.items()}, problems)


def _check(folder: Path, target: Path, split: Sequence[float]) -> None:
    source, goal, shares = printable(folder), printable(target), " ".join(map("{:g}".format, split))
    if not folder.is_dir():
        raise DatasetError(f"{source}: no such folder; give one with a subfolder for each class")
    # False where Path.exists() raises: a name too long, a folder one may not look into
    if os.path.exists(target):
        raise DatasetError(f"{goal}: there already; delete it or give another name")
    if target.resolve().is_relative_to(folder.resolve()):
        raise DatasetError(f"{goal}: lies in the folder that is read; give a place outside of it")
    if len(split) != len(WRITTEN) or not all(0 < share < math.inf for share in split):
        raise DatasetError(f"split {shares}: give three shares above 0, as 80 10 10")


def _faces(
    folder: Path, classes: Sequence[str], crop: Callable, problems: list
) -> Iterator[tuple[str, Path, np.ndarray]]:
    """(class, path, face) of the pictures in folders of classes; what is none goes to
    `problems`."""
    unknown = f"no class ({', '.join(classes)}); rename it or name it as one"
    for path in artifacts.progress(list(readers.files_below(folder)), "faces"):
        place, *deeper = path.relative_to(folder).parts
        label = readers.class_of(place, classes)
        if not deeper or label is None:
            problem = (f"{place}/", unknown) if deeper else (place, "lies in no class's folder")
            if place not in OURS and problem not in problems:
                problems.append(problem)
            continue
        try:
            face = crop(pictures.read(path))
            fault = "no face found"
        except pictures.PictureError as error:
            face, fault = None, str(error).split(": ", 1)[-1]
        if face is None:
            problems.append((str(path.relative_to(folder)), fault))
        else:
            yield classes[label], path, face


def _without_duplicates(
    found: Iterator[tuple[str, Path, np.ndarray]], folder: Path, problems: list
) -> dict[str, list[Found]]:
    """The faces by class, each once; faces that two classes have are in none: nobody knows which
    label is right."""
    same = defaultdict(list)
    for name, path, face in found:
        same[face.tobytes()].append((name, path, face))
    kept: dict[str, list[Found]] = defaultdict(list)
    for group in same.values():
        clash = len({name for name, _, _ in group}) > 1
        for _, path, _ in group if clash else group[1:]:
            twin = next(other for _, other, _ in group if other != path).relative_to(folder)
            what = "the same face under another class" if clash else "a duplicate"
            problems.append((str(path.relative_to(folder)), f"{what}: {twin}"))
        if not clash:
            kept[group[0][0]].append(group[0][1:])
    return kept


def _divided(
    faces: list[Found], split: Sequence[float], rng: np.random.Generator
) -> list[list[Found]]:
    """The faces of one class as training, validation and test, none of them empty."""
    validation, test = (max(1, round(len(faces) * share / sum(split))) for share in split[1:])
    validation = min(validation, len(faces) - 2)
    test = min(test, len(faces) - 1 - validation)
    order = [faces[k] for k in rng.permutation(len(faces))]
    return [order[validation + test :], order[:validation], order[validation : validation + test]]


def _write(target: Path, parts: dict[str, list[list[Found]]], problems: list) -> None:
    """The folder, whole or not at all."""
    made = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        number = 0
        for name, divided in parts.items():
            for part, faces in zip(WRITTEN, divided, strict=True):
                (made / part / name).mkdir(parents=True)
                for path, face in sorted(faces, key=lambda found: found[0]):
                    stem = os.fsencode(path.stem[:50]).decode(errors="replace")
                    file = made / part / name / f"{number:05d}_{stem}.png"
                    file.write_bytes(cv2.imencode(".png", face)[1].tobytes())
                    number += 1
        if tuple(parts) != CLASS_NAMES:
            (made / readers.CLASSES_FILE).write_text("\n".join(parts) + "\n", encoding="utf-8")
        table = io.StringIO()
        rows = [(f"./{p}" if p[0] in "=+-@" else p, fault) for p, fault in problems]
        csv.writer(table).writerows([("picture", "problem"), *rows])  # no formula for spreadsheets
        (made / OURS[1]).write_text(table.getvalue(), encoding="utf-8", errors="replace")
        made.chmod(0o755)
        os.replace(made, target)
    except OSError as error:
        fault = f"cannot be written ({error.strerror})"
        raise DatasetError(f"{printable(target)}: {fault}") from error
    finally:
        if made:
            shutil.rmtree(made, ignore_errors=True)
