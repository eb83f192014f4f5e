"""Which faces train, validate and test; which are duplicates. Here alone FER2013's Training,
PublicTest and PrivateTest become train, validation and test."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from fercore.data import fer2013
from fercore.data.faces import CLASS_NAMES, USAGES, DatasetError, Faces, pixel_hashes

FIVE = ("Angry", "Happy", "Sad", "Surprise", "Neutral")


@dataclass(frozen=True)
class Split:
    """A way to divide the faces: `pooled` ignores `Usage`; `class_names` may leave classes out,
    FER2013's seven stand for all that the data have; `voted`: labels are the majority of the FER+
    votes; `share`, how many of the training faces are used."""

    description: str
    class_names: tuple[str, ...] = CLASS_NAMES
    pooled: bool = False
    voted: bool = False
    share: float = 1.0


EIGHT = fer2013.EXPRESSIONS
TENTH = "a tenth held out at random, five classes"
SPLITS = {
    "official": Split("the challenge's own: Training, PublicTest, PrivateTest"),
    "pooled_64_16_20": Split("all faces shuffled, 64:16:20, as system A divides them", pooled=True),
    "pooled_80_10_10": Split("all faces shuffled, 80:10:10, as system B divides them", pooled=True),
    "official_five": Split("the official split, five classes only, as system E uses", FIVE),
    "ferplus": Split("the official split, eight classes voted by FER+", EIGHT, voted=True),
    "ferplus_five": Split("the official split, five classes voted by FER+", FIVE, voted=True),
    "five_tenth": Split(TENTH, FIVE, pooled=True),
    "ferplus_five_tenth": Split(f"{TENTH} voted by FER+, as system D uses", FIVE, True, True),
}
SPLITS |= {
    f"official_{n}_percent": Split(f"{n} % of Training, of each class alike", share=n / 100)
    for n in (5, 10, 25, 50)
}


@dataclass(frozen=True, eq=False)  # hashed by identity
class Partition:
    """Positions of faces, int64, in the `Faces` that were split."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def parts(self) -> dict[str, np.ndarray]:
        """The three by name, in order."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


@lru_cache(maxsize=4)
def prepare(faces: Faces, name: str) -> tuple[Faces, Partition]:
    """The faces that a split uses, with the labels that it gives them, and their partition. Raises
    `DatasetError` for an unknown name and where votes or classes are missing."""
    split = _split(name, faces)
    if split.voted:  # the faces on whose expression the voters agree
        labels = fer2013.majority(fer2013.load_votes(faces))
        faces = replace(faces.select(labels >= 0), labels=labels[labels >= 0], class_names=EIGHT)
    if split.class_names == faces.class_names:
        return faces, divide(faces, name)
    missing = ", ".join(word for word in split.class_names if word not in faces.class_names)
    if missing:
        there = ", ".join(faces.class_names)
        cure = "splits of all their classes: official, pooled_64_16_20, pooled_80_10_10"
        raise DatasetError(f"classes {missing}: not in these data ({there}); {cure}")
    place = {word: label for label, word in enumerate(split.class_names)}
    new_label = np.array([place.get(word, -1) for word in faces.class_names], np.int8)
    kept = faces.select(new_label[faces.labels] >= 0)
    faces = replace(kept, labels=new_label[kept.labels], class_names=split.class_names)
    return faces, divide(faces, name)


def obstacles(faces: Faces, names: Iterable[str]) -> dict[str, str]:
    """Why faces cannot be divided by some of these splits: for want of votes, classes, a usage."""
    found = {}
    for name in names:
        try:
            prepare.__wrapped__(faces, name)  # its copy of the faces is not to be kept
        except DatasetError as error:
            found[name] = str(error)
    return found


def available(faces: Faces) -> str:
    """The official split where the faces have its parts, else the pooled one of system A."""
    return "pooled_64_16_20" if obstacles(faces, ["official"]) else "official"


def divide(faces: Faces, name: str) -> Partition:
    """Positions in `faces` that train, validate and test under the split `name`, without classes
    that it leaves out. Raises `DatasetError` for an unknown name and a part without faces."""
    split = _split(name, faces)
    kept = np.isin(faces.class_names, split.class_names)[faces.labels]
    if split.pooled:
        return _pooled(name, np.flatnonzero(kept))
    train, *others = (np.flatnonzero(kept & (faces.usage == usage)) for usage in USAGES)
    for usage, part in zip(USAGES, (train, *others), strict=True):
        if not len(part):
            fault = f"no {usage} faces in these data ({faces.origin})"
            pooled = " or ".join(other for other, one in SPLITS.items() if one.pooled)
            raise DatasetError(f"split '{name}': {fault}; use {pooled}")
    return Partition(_some(train, faces.labels[train], split.share), *others)


def _pooled(name: str, positions: np.ndarray) -> Partition:
    from sklearn.model_selection import train_test_split  # not above: it takes seconds to import

    if (n := len(positions)) < 10:
        raise DatasetError(f"split '{name}': {n} faces are too few to divide; give 10 or more")
    share, seeds = (0.2, (42, 40)) if name == "pooled_64_16_20" else (0.1, (0, 0))
    rest, test = train_test_split(positions, test_size=share, random_state=seeds[0])
    if name == "pooled_80_10_10":  # Keras takes the last of `validation_split`
        train, validation = np.split(rest, [int(len(rest) * (1 - 0.1111))])
    else:
        train, validation = train_test_split(rest, test_size=share, random_state=seeds[1])
    return Partition(train, validation, test)


def _split(name: str, faces: Faces) -> Split:
    if name not in SPLITS:
        raise DatasetError(f"split '{name}' is unknown; choose one of {', '.join(SPLITS)}")
    split = SPLITS[name]
    there = faces.class_names if split.class_names == CLASS_NAMES else split.class_names
    return replace(split, class_names=there)


def _some(positions: np.ndarray, labels: np.ndarray, share: float) -> np.ndarray:
    """A share of the positions of each class, at least one; smaller shares lie in larger ones."""
    if share == 1:
        return positions
    shuffled = np.random.default_rng(0).permutation(len(positions))
    of_class = [shuffled[labels[shuffled] == label] for label in np.unique(labels)]
    shares = [some[: max(1, round(share * len(some)))] for some in of_class]
    return positions[np.sort(np.concatenate(shares))]


def duplicate_groups(faces: Faces) -> np.ndarray:
    """A number for each face, int [n], shared by faces with the same pixels."""
    known = fer2013.facts().groups
    same = pixel_hashes(faces.images) if faces.has_pixels else known[faces.row_ids]
    return np.unique(same, return_inverse=True)[1]


@lru_cache(maxsize=4)
def deduplicated_test(faces: Faces, parts: Partition) -> np.ndarray:
    """Which test faces have no exact duplicate in training and validation, bool [n of test]."""
    group = duplicate_groups(faces)
    return ~np.isin(group[parts.test], group[np.concatenate([parts.train, parts.validation])])
