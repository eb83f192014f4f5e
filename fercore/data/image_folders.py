"""Folders of pictures by class: read as a data set, and made from a user's own pictures.

    made = image_folders.make("photos/", "data/mine")
    made.counts, made.problems    # faces by class and part; what was left out, and why

What comes of it is a folder of 48×48 faces, `train/Happy/00012_holiday.png`, which `datasets.load`
reads: look through it, delete what is wrong.
"""

import itertools
import logging
import math
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
# expressions of AffectNet (Mollahosseini et al. 2017, arXiv:1708.03985) by their numbers
AFFECTNET = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt"]
AFFECTNET += ["none", "uncertain", "no-face"]

log = logging.getLogger(__name__)
Row = tuple[int, int, Path]  # usage code, label, picture
Found = tuple[Path, np.ndarray]  # a picture, and its face: gray uint8 [48, 48]


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


def class_names_of(path: Path) -> tuple[str, ...]:
    """The classes of a folder of pictures: a line each of its `classes.txt`, else FER2013's seven;
    so those of a file. Their case does not matter where FER2013 has them.

    Raises `DatasetError` for fewer than two, one twice, or more than labels can count.
    """
    file = path / CLASSES_FILE
    if not file.is_file():
        return CLASS_NAMES
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    known = {name.lower(): name for name in (*CLASS_NAMES, "Contempt")}
    names = [known.get(line.strip().lower(), line.strip()) for line in lines if line.strip()]
    if not 2 <= len(names) <= 100 or len({name.lower() for name in names}) < len(names):
        fault = f"{len(names)} classes ({printable(', '.join(names[:9]))})"
        cure = "write 2 to 100 different, a line each"
        raise DatasetError(f"{printable(path.name)}/{CLASSES_FILE}: {fault}; {cure}")
    return tuple(names)


def _label(name: str, class_names: Sequence[str]) -> int | None:
    """The label of a folder of pictures by its name; None for no class."""
    labels = {known.lower(): label for label, known in enumerate(class_names)}
    return labels.get(name.lower(), labels.get(SYNONYMS.get(name.lower(), "")))


def read_folder(
    folder: Path, class_names: Sequence[str] = CLASS_NAMES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures in folders named after their class, at any depth: images uint8 [n, 48, 48], labels
    int8 [n], usage codes int8 [n].

    A folder above says the part (`train`, `val`, `test`, …), else the file name (`Training_…`,
    `PublicTest_…`, `PrivateTest_…`); where no picture lies in a part, all are Training. Pictures of
    any size and colour become grayscale, 48 by 48. Order: usage, class, file name. AffectNet's own
    folders, `train_set` and `val_set` with annotations or a folder for each number, are read as
    well; Contempt and pictures without an expression are left out. What is passed over is counted
    in a warning. Raises `DatasetError` for an unknown class or part, and for a picture that cannot
    be read.
    """
    files = list(files_below(folder))
    found = [path for path in files if path.suffix.lower() in pictures.SUFFIXES]
    known = {
        *found,
        *(path for path in files if path.suffix == ".npy" or path.name == CLASSES_FILE),
    }
    _warn(folder, [path for path in files if path not in known], "are no pictures")
    rows = sorted(
        _placed(folder, found, class_names),
        key=lambda row: (row[0], row[1], pictures.natural(row[2].name)),
    )
    if not rows:
        fault = f"no pictures in folders named after classes ({printable(', '.join(class_names))})"
        raise DatasetError(f"{printable(folder.name)}: {fault}")
    images = np.empty((len(rows), SIDE, SIDE), np.uint8)
    for position, (_, _, path) in enumerate(artifacts.progress(rows, "pictures")):
        try:
            images[position] = pictures.squeezed(pictures.read(path, smallest=2 * SIDE))
        except pictures.PictureError as error:
            fault = str(error).split(": ", 1)[-1]
            raise DatasetError(f"{_shown(path, folder)}: {fault}, or delete it") from error
    usage, labels = np.array([row[:2] for row in rows], np.int8).T
    return images, labels.copy(), usage.copy()


def _placed(folder: Path, found: list[Path], class_names: Sequence[str]) -> list[Row]:
    """The nearest folder names the class of a picture, one above it the part."""
    affectnet = (folder / "train_set").is_dir() and not (folder / "test_set").is_dir()
    above = [path.relative_to(folder).parts[:-2] for path in found]
    shared = len(Path(os.path.commonpath([os.path.join(*a, ".") for a in above] or ["."])).parts)
    parts, rows, left_out, differ = [_part(names) for names in above], [], [], []
    for path, names, part in zip(found, above, parts, strict=True):
        name = _affectnet(path, folder) if affectnet else path.parent.name
        label = _label(name, class_names)
        if label is None and affectnet:
            left_out.append(path)
            continue
        if label is None:
            fault = f"its folder is no class ({printable(', '.join(class_names))})"
            raise DatasetError(f"{_shown(path, folder)}: {fault}; rename or move it")
        if part is None and len(names) > shared:
            fault = f"'{printable(names[shared])}' is no part; call it one of {', '.join(PARTS)}"
            raise DatasetError(f"{_shown(path, folder)}: {fault}")
        named = next((k for k, usage in enumerate(USAGES) if path.name.startswith(usage)), None)
        if part is None or (part == 2 and named == 1 and 1 not in parts):
            part = named or 0  # Kaggle's folder test holds both kinds of test faces
        elif named not in (None, part):
            differ.append(path)
        # AffectNet's validation faces are what others test on
        rows.append((2 * part if affectnet else part, label, path))
    _warn(folder, left_out, "are of other expressions and left out")
    _warn(folder, differ, "are named after another part than their folder, which counts")
    return rows


def _shown(path: Path, folder: Path) -> str:
    return printable(path.relative_to(folder))


def _warn(folder: Path, paths: Sequence[Path], what: str) -> None:
    if paths:
        first = _shown(min(paths), folder)
        log.warning("%s: %d files %s, first %s", printable(folder.name), len(paths), what, first)


def _part(names: Sequence[str]) -> int | None:
    """The usage code that a folder on the way to a picture says: 'Public Test', training_set, …"""
    plain = (re.sub(r"[\W_]+|set$|data$", "", name.lower()) for name in names)
    return next((PARTS[name] for name in plain if name in PARTS), None)


def _affectnet(path: Path, folder: Path) -> str:
    """The expression of a picture of AffectNet, of its folder or of `annotations/0_exp.npy`."""
    kind = path.parent.name.lower()
    if kind == "images":
        file = path.parent.parent / "annotations" / f"{path.stem}_exp.npy"
        try:
            kind = str(np.load(file, allow_pickle=False)).strip().lower()
        except (OSError, ValueError, EOFError) as error:
            fault = f"no readable annotations/{printable(file.name)} beside it"
            raise DatasetError(f"{_shown(path, folder)}: {fault}; unpack it again") from error
    numbers = {str(number): name for number, name in enumerate(AFFECTNET)}
    name = numbers.get(kind, SYNONYMS.get(kind, kind))
    if name not in AFFECTNET:
        known = f"0 to {len(AFFECTNET) - 1}, or {', '.join(AFFECTNET)}"
        fault = f"'{printable(kind)}' is no expression of AffectNet ({known})"
        raise DatasetError(f"{_shown(path, folder)}: {fault}; rename or move it")
    return name


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
    names = [name.strip() for name in classes or () if name.strip()] or class_names_of(folder)
    problems: list[tuple[str, str]] = []
    found, parts = _faces(folder, names, crop, problems), {}
    for k, name in enumerate(name for name in names if name in found):
        if len(found[name]) < 3:
            fault = f"{len(found[name])} usable pictures, at least 3 are needed: class left out"
            problems.append((f"{name}/", fault))
        else:
            parts[name] = _divided(found[name], split, np.random.default_rng([seed, k]))
    if len(parts) < 2:
        first = f" (left out: {': '.join(problems[0])})" if problems else ""
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        fault = f"faces of {len(parts)} classes, two are needed{first}{more}"
        raise DatasetError(f"{printable(folder.name)}: {fault}")
    try:
        _write(target, parts)
    except OSError as error:
        fault = f"cannot be written ({error.strerror})"
        raise DatasetError(f"{printable(target)}: {fault}") from error
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
    if len(split) != 3 or not all(0 < share < math.inf for share in split):
        raise DatasetError(f"split {shares}: give three shares above 0, as 80 10 10")


def _faces(
    folder: Path, classes: Sequence[str], crop: Callable, problems: list
) -> dict[str, list[Found]]:
    """The faces by class, each once; faces that two classes have are in none: nobody knows which
    label is right. What is left out goes to `problems`."""
    same: dict[bytes, list[tuple[str, Path, np.ndarray]]] = defaultdict(list)
    for path in artifacts.progress(list(files_below(folder)), "faces"):
        place, *deeper = path.relative_to(folder).parts
        label = _label(place, classes)
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


def _write(target: Path, parts: dict[str, list[list[Found]]]) -> None:
    """The folder, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making.", dir=target.parent) as home:
        made, number = Path(home) / "made", itertools.count()
        for name, divided in parts.items():
            for part, faces in zip(("train", "val", "test"), divided, strict=True):
                (made / part / name).mkdir(parents=True)
                for path, face in sorted(faces, key=lambda found: found[0]):
                    stem = os.fsencode(path.stem[:50]).decode(errors="replace")
                    file = made / part / name / f"{next(number):05d}_{stem}.png"
                    file.write_bytes(cv2.imencode(".png", face)[1].tobytes())
        if tuple(parts) != CLASS_NAMES:
            (made / CLASSES_FILE).write_text("\n".join(parts) + "\n", encoding="utf-8")
        made.rename(target)
