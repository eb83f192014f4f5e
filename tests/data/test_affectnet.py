"""AffectNet's folders, made up small, read by the reader of pictures by class."""

import cv2
import numpy as np
import pytest

from fercore.data import datasets, image_folders, splits
from fercore.data.faces import DatasetError

NUMBERS = {
    "Neutral": 0,
    "Happy": 1,
    "Sad": 2,
    "Surprise": 3,
    "Fear": 4,
    "Disgust": 5,
    "Angry": 6,
    "Contempt": 7,
}


def picture(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((96, 96, 3), value, np.uint8))


@pytest.fixture
def annotated(tmp_path):
    """Ten pictures of each expression in images/ with their annotations, two more in val_set."""
    for split, repeats in (("train_set", 10), ("val_set", 2)):
        for number in NUMBERS.values():
            for repeat in range(repeats):
                name = f"{100 * number + repeat}"
                picture(tmp_path / split / "images" / f"{name}.png", 20 * number + repeat)
                file = tmp_path / split / "annotations" / f"{name}_exp.npy"
                file.parent.mkdir(parents=True, exist_ok=True)
                np.save(file, np.array(str(number)))
    return tmp_path


def test_annotated_pictures_get_their_expression_and_contempt_is_left_out(annotated):
    images, labels, usage = image_folders.read_folder(annotated)
    assert np.bincount(labels).tolist() == [12] * 7 and (usage == 2).sum() == 14
    expected = {
        20 * number + repeat: name for name, number in NUMBERS.items() for repeat in range(10)
    }
    assert all(
        expected[image[0, 0]] == datasets.CLASS_NAMES[k]
        for image, k in zip(images, labels, strict=True)
    )


def test_folders_by_expression_numbered_or_named(tmp_path):
    picture(tmp_path / "train_set" / "6" / "a.png", 10)
    picture(tmp_path / "val_set" / "Happiness" / "b.png", 20)
    images, labels, usage = image_folders.read_folder(tmp_path)
    assert (
        images[:, 0, 0].tolist() == [10, 20]
        and labels.tolist() == [0, 3]
        and usage.tolist() == [0, 2]
    )


def test_it_is_loaded_and_split_for_system_d(annotated):
    faces = datasets.load(annotated)
    prepared, split = splits.prepare(faces, "five_tenth")
    assert "not FER2013" in faces.origin and prepared.class_names == splits.FIVE
    assert [len(part) for part in split.parts().values()] == [48, 6, 6]


def test_what_is_missing_is_one_line(annotated):
    (annotated / "train_set" / "annotations" / "0_exp.npy").unlink()
    with pytest.raises(
        DatasetError, match=r"train_set/images/0.png: no readable annotations/0_exp.npy beside it"
    ):
        image_folders.read_folder(annotated)
    picture(annotated / "train_set" / "bored" / "x.png", 1)
    (annotated / "train_set" / "images" / "0.png").unlink()
    with pytest.raises(DatasetError, match=r"x.png: 'bored' is no expression of AffectNet"):
        image_folders.read_folder(annotated)
