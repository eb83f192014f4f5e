"""Which faces train, validate and test; and which are copies of one another."""
from dataclasses import dataclass, replace

import numpy as np
from sklearn.model_selection import train_test_split

from fercore.faces import USAGES, DatasetError, Faces

FIVE = ("Angry", "Happy", "Sad", "Surprise", "Neutral")
PROTOCOLS = ("official", "pooled_64_16_20", "pooled_80_10_10", "official_five")


@dataclass(frozen=True)
class Split:
    """Positions of faces, int64, of a `Faces` of the same protocol."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def prepare(faces: Faces, name: str) -> tuple[Faces, Split]:
    """The faces that a protocol uses, relabelled where it has fewer classes, and their split."""
    if name == "official_five":
        faces = with_classes(faces, FIVE)
    return faces, split(faces, name)


def with_classes(faces: Faces, class_names: tuple[str, ...]) -> Faces:
    """The faces of some classes, labels counted anew in the order of `class_names`."""
    new_label = np.array([class_names.index(n) if n in class_names else -1 for n in faces.class_names], np.int8)
    kept = faces.select(new_label[faces.labels] >= 0)
    return replace(kept, labels=new_label[kept.labels], class_names=tuple(class_names))


def split(faces: Faces, name: str) -> Split:
    """Positions in `faces` that train, validate and test under a protocol.

    official: Training, PublicTest, PrivateTest. pooled_64_16_20: `Usage` ignored, shuffled as system A does.
    pooled_80_10_10: as system B does. Faces must stand in the order of the file for the pooled splits to be theirs.
    """
    if name not in PROTOCOLS:
        raise DatasetError(f"protocol '{name}' is unknown; choose one of {', '.join(PROTOCOLS)}")
    everything = np.arange(len(faces))
    if name == "pooled_64_16_20":
        rest, test = train_test_split(everything, test_size=0.2, random_state=42)
        train, validation = train_test_split(rest, test_size=0.2, random_state=40)
    elif name == "pooled_80_10_10":
        rest, test = train_test_split(everything, test_size=0.1, random_state=0)
        train, validation = np.split(rest, [int(len(rest) * (1 - 0.1111))])
    else:
        train, validation, test = (np.flatnonzero(faces.usage == usage) for usage in USAGES)
        for part, usage in zip((train, validation, test), USAGES, strict=True):
            if not len(part):
                raise DatasetError(
                    f"protocol '{name}': no {usage} faces in these data ({faces.origin}); "
                    "use pooled_64_16_20 or pooled_80_10_10"
                )
    return Split(train, validation, test)


def duplicate_groups(images: np.ndarray) -> np.ndarray:
    """A group number for each image, int64 [n]; images with the same pixels share it."""
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(image.tobytes(), len(first)) for image in images], np.int64)


def deduplicated_test(faces: Faces, split: Split) -> np.ndarray:
    """Test faces without an exact copy among training and validation faces, bool [len(split.test)]."""
    group = duplicate_groups(faces.images)
    return ~np.isin(group[split.test], group[np.concatenate([split.train, split.validation])])
