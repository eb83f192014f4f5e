"""AffectNet as it is handed out (Mollahosseini et al. 2017, arXiv:1708.03985): who has it trains on
it like on FER2013.

Folders `train_set` and `val_set` hold `images/0.jpg` with `annotations/0_exp.npy`, or a folder for
each expression, numbered or named. Contempt and the pictures without an expression are left out.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fercore.data.faces import DatasetError

SPLITS = {"train_set": 0, "val_set": 2}  # its validation faces are what others test on
NUMBERED = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt", "none", "uncertain",
            "no-face")  # fmt: skip
SYNONYMS = {"anger": "angry", "happiness": "happy", "sadness": "sad"}

log = logging.getLogger(__name__)


def is_affectnet(folder: Path) -> bool:
    """Whether a folder is laid out as AffectNet is."""
    return any((Path(folder) / name).is_dir() for name in SPLITS)


def rows(
    folder: Path, class_names: Sequence[str], endings: Sequence[str]
) -> Iterator[tuple[int, int, Path]]:
    """(usage code, label, path) of each picture whose expression is one of `class_names`.

    Raises `DatasetError` for a picture without a known expression.
    """
    labels, left_out = {name.lower(): label for label, name in enumerate(class_names)}, 0
    for split, usage in SPLITS.items():
        for path in sorted((Path(folder) / split).rglob("*")):
            if path.suffix.lower() in endings:
                label = labels.get(_expression(path, Path(folder)))
                left_out += label is None
                if label is not None:
                    yield usage, label, path
    if left_out:
        log.info(
            "AffectNet: %d pictures of other expressions than %s left out",
            left_out,
            ", ".join(class_names),
        )


def _expression(path: Path, folder: Path) -> str:
    """The expression of a picture, in the words of `NUMBERED`."""
    kind = path.parent.name.lower()
    if kind == "images":
        kind = _annotated(
            path.parent.parent / "annotations" / f"{path.stem}_exp.npy", path.relative_to(folder)
        )
    name = (
        NUMBERED[int(kind)]
        if kind.isdigit() and int(kind) < len(NUMBERED)
        else SYNONYMS.get(kind, kind)
    )
    if name not in NUMBERED:
        raise DatasetError(
            f"{path.relative_to(folder)}: '{kind}' is no expression of AffectNet (0 to "
            f"{len(NUMBERED) - 1}, or {', '.join(NUMBERED)}); rename or move it"
        )
    return name


def _annotated(file: Path, picture: Path) -> str:
    try:
        return str(np.load(file, allow_pickle=False)).strip().lower()
    except (OSError, ValueError) as error:
        fault = f"no readable annotations/{file.name} beside it; unpack AffectNet again"
        raise DatasetError(f"{picture}: {fault}") from error
