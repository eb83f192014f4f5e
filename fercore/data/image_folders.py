"""A user's own pictures, a folder by class, made into a data set that `datasets.load` reads.

    made = image_folders.make("photos/", "data/mine")
    made.counts       # faces by class: training, validation, test
    made.problems     # what was left out, and why

What comes of it is a folder of 48×48 faces, `train/Happy/00012_holiday.png`: look through it,
delete what is wrong.
"""

import csv
import io
import math
import os
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
from fercore.data.faces import CLASS_NAMES, DatasetError

PARTS = ("train", "val", "test")
FEWEST = len(PARTS)  # pictures of a class: one for each part
Problems = list[tuple[str, str]]
Found = tuple[Path, np.ndarray]  # a picture, and its face: gray uint8 [48, 48]


@dataclass(frozen=True)
class Made:
    """What was written where. `counts`: faces of each class in training, validation and test;
    `problems`: what was left out, and why."""

    folder: Path
    counts: dict[str, tuple[int, ...]]
    problems: Problems


def make(
    folder: str | Path,
    target: str | Path,
    crop: Callable[[np.ndarray], np.ndarray | None] = readers.squeezed,
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
    classes = [name.strip() for name in classes or () if name.strip()]
    classes = classes or list(readers.class_names_of(folder))
    problems: Problems = []
    found = _without_duplicates(_faces(folder, classes, crop, problems), folder, problems)
    for name, faces in found.items():
        if len(faces) < FEWEST:
            fault = f"{len(faces)} usable pictures, at least {FEWEST} are needed: class left out"
            problems.append((f"{name}/", fault))
    names = [name for name in classes if len(found[name]) >= FEWEST]
    if len(names) < 2:
        first = f" (left out: {problems[0][0]}: {problems[0][1]}" if problems else ""
        more = f" and {len(problems) - 1} more" * (len(problems) > 1) + ")" * bool(problems)
        fault = f"faces of {len(names)} classes, two are needed{first}{more}"
        raise DatasetError(f"{printable(folder.name)}: {fault}")
    parts = {
        name: _divided(found[name], split, np.random.default_rng([seed, k]))
        for k, name in enumerate(names)
    }
    try:
        _write(target, parts, problems)
    except OSError as error:
        fault = f"cannot be written ({error.strerror})"
        raise DatasetError(f"{printable(target)}: {fault}") from error
    return Made(target, {name: tuple(map(len, parts[name])) for name in names}, problems)


def _check(folder: Path, target: Path, split: Sequence[float]) -> None:
    source, goal = printable(folder), printable(target)
    if not folder.is_dir():
        cure = "give one with a subfolder of pictures for each class"
        raise DatasetError(f"{source}: no such folder; {cure}")
    # False where Path.exists() raises: a name too long, a folder one may not look into
    if os.path.exists(target):
        raise DatasetError(f"{goal}: there already; delete it or give another name")
    if target.resolve().is_relative_to(folder.resolve()):
        raise DatasetError(f"{goal}: lies in the folder that is read; give a place outside of it")
    if len(split) != len(PARTS) or not all(0 < share < math.inf for share in split):
        shares = " ".join(f"{share:g}" for share in split)
        raise DatasetError(f"split {shares}: give three shares above 0, as 80 10 10")


def _faces(
    folder: Path, classes: Sequence[str], crop: Callable, problems: Problems
) -> Iterator[tuple[str, Path, np.ndarray]]:
    """(class, path, face) of the pictures in folders of classes; what is none goes to
    `problems`."""
    unknown = set()
    for path in artifacts.progress(list(readers.files_below(folder)), "faces"):
        place, *deeper = path.relative_to(folder).parts
        label = readers.class_of(place, classes)
        if not deeper:
            if place != readers.CLASSES_FILE:
                problems.append((place, "lies in no class's folder"))
        elif label is None:
            if place not in unknown:
                fault = f"no class ({', '.join(classes)}); rename it or name it as one"
                problems.append((f"{place}/", fault))
            unknown.add(place)
        else:
            try:
                face = crop(pictures.read(path))
            except pictures.PictureError as error:
                problems.append((str(path.relative_to(folder)), str(error).split(": ", 1)[-1]))
                continue
            if face is None:
                problems.append((str(path.relative_to(folder)), "no face found"))
            else:
                yield classes[label], path, face


def _without_duplicates(
    found: Iterator[tuple[str, Path, np.ndarray]], folder: Path, problems: Problems
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


def _write(target: Path, parts: dict[str, list[list[Found]]], problems: Problems) -> None:
    """The folder, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        number = 0
        for name, divided in parts.items():
            for part, faces in zip(PARTS, divided, strict=True):
                (made / part / name).mkdir(parents=True)
                for path, face in sorted(faces, key=lambda found: found[0]):
                    stem = os.fsencode(path.stem[:50]).decode(errors="replace")
                    file = made / part / name / f"{number:05d}_{stem}.png"
                    file.write_bytes(cv2.imencode(".png", face)[1].tobytes())
                    number += 1
        if tuple(parts) != CLASS_NAMES:
            (made / readers.CLASSES_FILE).write_text("\n".join(parts) + "\n", encoding="utf-8")
        table = io.StringIO()
        csv.writer(table).writerows([("picture", "problem"), *problems])
        (made / "problems.csv").write_text(table.getvalue(), encoding="utf-8", errors="replace")
        made.chmod(0o755)
        os.replace(made, target)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
