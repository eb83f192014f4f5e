"""A user's own pictures, a folder by class, made into a data set that `datasets.load` reads.

    made = image_folders.make("photos/", "data/mine")
    made.counts       # faces by class and part
    made.problems     # what was left out, and why

What comes of it is a folder of 48×48 faces, `train/Happy/00012_holiday.png`: look through it,
delete what is wrong.
"""

import math
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fercore import artifacts
from fercore.data import pictures
from fercore.recognition import detection, recogniser
from fercore.data.faces import CLASS_NAMES, DatasetError
from fercore.data.readers import CLASSES_FILE, FOLDER_SYNONYMS, class_names_of

PARTS = ("train", "val", "test")
FEWEST = len(PARTS)  # pictures of a class: one for each part


@dataclass(frozen=True)
class Made:
    """What was written where. `counts`: a row a class, a column a part; `problems`: columns
    picture, problem."""

    folder: Path
    counts: pd.DataFrame
    problems: pd.DataFrame


@dataclass(frozen=True)
class _Found:
    """A face of a picture: gray uint8 [48, 48]."""

    picture: Path
    class_name: str
    pixels: np.ndarray


def make(
    folder: str | Path,
    target: str | Path,
    *,
    faces: str = "haar",
    classes: Sequence[str] | None = None,
    split: Sequence[float] = (80, 10, 10),
    seed: int = 0,
) -> Made:
    """Turn the pictures in `folder`, a subfolder by class, into the data set `target`, a folder
    that is not there yet.

    `faces`: how they are found, as `detection.detector` takes it; the largest of a picture is
    taken; 'whole' takes the picture itself. `classes`: the names of the subfolders to use, any
    case; None: those that `classes.txt` in `folder` lists, else FER2013's seven. `split`: shares of
    training, validation and test, drawn class by class with `seed`, each part with one picture of
    each class at least. A picture that cannot be read or shows no face, a copy, a folder that is no
    class, a class of fewer than three pictures: left out and listed. Raises `DatasetError` when
    what remains is no data set; `DetectorError`.
    """
    folder, target = (Path(os.path.expanduser(path)) for path in (folder, target))
    _check(folder, target, split)
    classes = [name.strip() for name in classes or () if name.strip()] or class_names_of(folder)
    problems: list[tuple[str, str]] = []
    found = list(
        _faces(
            _pictures(folder, classes, problems), folder, detection.detector(faces), faces, problems
        )
    )
    kept = _enough(_without_copies(found, folder, problems), problems)
    names = [name for name in classes if name in kept]
    if len(names) < 2:
        raise DatasetError(
            f"{folder.name}: faces of {len(names)} classes, two are needed{_first(problems)}"
        )
    parts = {
        name: _divided(kept[name], split, np.random.default_rng([seed, k]))
        for k, name in enumerate(names)
    }
    listed = pd.DataFrame(problems, columns=["picture", "problem"])
    try:
        _write(target, parts, listed)
    except OSError as error:
        raise DatasetError(f"{target}: cannot be written ({error.strerror})") from error
    counts = pd.DataFrame(
        {part: [len(parts[name][k]) for name in names] for k, part in enumerate(PARTS)}, names
    )
    return Made(target, counts, listed)


def _check(folder: Path, target: Path, split: Sequence[float]) -> None:
    if not folder.is_dir():
        raise DatasetError(
            f"{folder}: no such folder; give one with a subfolder of pictures for each class"
        )
    # False where Path.exists() raises: a name too long, a folder one may not look into
    if os.path.exists(target):
        raise DatasetError(f"{target}: there already; delete it or give another name")
    if target.resolve().is_relative_to(folder.resolve()):
        raise DatasetError(f"{target}: lies in the folder that is read; give a place outside of it")
    if len(split) != len(PARTS) or not all(0 < share < math.inf for share in split):
        shares = " ".join(f"{share:g}" for share in split)
        raise DatasetError(f"split {shares}: give three shares above 0, as 80 10 10")


def _pictures(folder: Path, classes: Sequence[str], problems: list) -> Iterator[tuple[str, Path]]:
    """(class, path) of each picture in the subfolders of classes; other files and folders go to
    `problems`."""
    known = {name.lower(): name for name in classes}
    for place in sorted(folder.iterdir()):
        if place.name.startswith(".") or place.name == CLASSES_FILE:
            continue
        if not place.is_dir():
            problems.append((place.name, "lies in no class's folder"))
            continue
        name = place.name.lower()
        name = known.get(name) or known.get(FOLDER_SYNONYMS.get(name, ""))
        if name is None:
            problems.append(
                (f"{place.name}/", f"no class ({', '.join(classes)}); rename it or name it as one")
            )
            continue
        for path in sorted(
            path for path in place.rglob("*") if path.is_file() and not path.name.startswith(".")
        ):
            yield name, path


def _faces(
    listed: Iterator[tuple[str, Path]],
    folder: Path,
    detector: detection.Detector,
    how: str,
    problems: list,
) -> Iterator[_Found]:
    """The largest face of each picture."""
    margin = getattr(detector, "margin", 0.0)
    for name, path in artifacts.progress(list(listed), "faces"):
        try:
            rgb = pictures.read(path)
        except pictures.PictureError as error:
            problems.append(
                (str(path.relative_to(folder)), str(error).removeprefix(f"{path.name}: "))
            )
            continue
        boxes, _ = detector.detect(rgb)
        if not len(boxes):
            problems.append((str(path.relative_to(folder)), "no face found"))
            continue
        largest = boxes[np.argmax(boxes[:, 2] * boxes[:, 3])]
        yield _Found(path, name, recogniser.crop(rgb, largest, margin))


def _without_copies(found: list[_Found], folder: Path, problems: list) -> dict[str, list[_Found]]:
    """The faces by class, each once; faces that two classes have are in none: nobody knows which
    label is right."""
    same = defaultdict(list)
    for face in found:
        same[face.pixels.tobytes()].append(face)
    kept = defaultdict(list)
    for group in same.values():
        first, *others = group
        clash = len({face.class_name for face in group}) > 1
        for face in group if clash else others:
            twin = next(other for other in group if other is not face)
            what = "the same face under another class" if clash else "a copy"
            problems.append(
                (
                    str(face.picture.relative_to(folder)),
                    f"{what}: {twin.picture.relative_to(folder)}",
                )
            )
        if not clash:
            kept[first.class_name].append(first)
    return kept


def _enough(kept: dict[str, list[_Found]], problems: list) -> dict[str, list[_Found]]:
    for name, faces in kept.items():
        if len(faces) < FEWEST:
            problems.append(
                (
                    f"{name}/",
                    f"{len(faces)} usable pictures, at least {FEWEST} are needed: class left out",
                )
            )
    return {name: faces for name, faces in kept.items() if len(faces) >= FEWEST}


def _divided(
    faces: list[_Found], split: Sequence[float], rng: np.random.Generator
) -> list[list[_Found]]:
    """The faces of one class as training, validation and test, none of them empty."""
    validation, test = (max(1, round(len(faces) * share / sum(split))) for share in split[1:])
    validation = min(validation, len(faces) - 2)
    test = min(test, len(faces) - 1 - validation)
    order = [faces[k] for k in rng.permutation(len(faces))]
    return [order[validation + test :], order[:validation], order[validation : validation + test]]


def _write(target: Path, parts: dict[str, list[list[_Found]]], problems: pd.DataFrame) -> None:
    """The folder, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        number = 0
        for name, divided in parts.items():
            for part, faces in zip(PARTS, divided, strict=True):
                (made / part / name).mkdir(parents=True)
                for face in sorted(faces, key=lambda face: face.picture):
                    file = made / part / name / f"{number:05d}_{face.picture.stem[:50]}.png"
                    artifacts.write_atomically(file, cv2.imencode(".png", face.pixels)[1].tobytes())
                    number += 1
        if tuple(parts) != CLASS_NAMES:
            artifacts.write_atomically(made / CLASSES_FILE, "\n".join(parts) + "\n")
        artifacts.write_atomically(made / "problems.csv", problems.to_csv(index=False))
        made.chmod(0o755)
        os.replace(made, target)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _first(problems: list[tuple[str, str]]) -> str:
    more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
    return f" (left out: {problems[0][0]}: {problems[0][1]}{more})" if problems else ""
