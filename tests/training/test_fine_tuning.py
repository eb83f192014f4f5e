"""The shipped network fine-tuned on folders of pictures: read, started, trained, written."""

import json

import cv2
import numpy as np
import pytest

from fercore import cli
from fercore.data import augmentation, synthetic
from fercore.data.faces import CLASS_NAMES, DatasetError
from fercore.models import compact
from fercore.recognition import inference
from fercore.training import fine_tuning, trainer

DRAWN = synthetic.faces(60, 0, 20)


def write(folder, names=CLASS_NAMES, parts=("", "", "")):
    """Drawn faces as pictures in `folder`, those of each usage in the part named so."""
    places = dict(zip(("Training", "PublicTest", "PrivateTest"), parts, strict=True))
    for image, label, row, usage in zip(
        DRAWN.images, DRAWN.labels, DRAWN.row_ids, DRAWN.usage, strict=True
    ):
        if label < len(names):
            place = folder / places[usage] / names[label]
            place.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(place / f"{row}.png"), image)
    return folder


def command(capsys, *words):
    status = cli.main(["train", *map(str, words)])
    return status, *capsys.readouterr()


def test_the_shipped_file_and_its_keras_model_predict_alike():
    model, file = compact.pretrained(), inference.load(precision="float32", prior="fer2013")
    images = augmentation.crop(DRAWN.images, file.side)
    images = augmentation.normalise(images, file.normalisation)
    expected = file.forward(images)
    assert np.abs(model.predict_on_batch({"image": images}) - expected).max() < 1e-3
    again = compact.pretrained(DRAWN.images)  # with other averages
    assert np.abs(again.predict_on_batch({"image": images}) - expected).max() < 1e-3


def test_a_fifth_of_each_class_validates_and_duplicates_stay_together(tmp_path):
    folder = write(tmp_path)
    first = next((folder / "Happy").glob("*.png"))
    for k in range(5):
        (folder / "Happy" / f"again{k}.png").write_bytes(first.read_bytes())
    faces = fine_tuning.read(folder)
    assert faces.class_names == CLASS_NAMES
    for label in range(7):
        of_class = faces.select(faces.labels == label)
        distinct = {image.tobytes(): usage for image, usage in zip(*pair(of_class), strict=True)}
        share = np.mean([usage == "PublicTest" for usage in distinct.values()])
        assert 0.1 < share < 0.35
    seen = {usage: {image.tobytes() for image in part} for usage, part in by_usage(faces)}
    assert not seen["Training"] & seen["PublicTest"]


def pair(faces):
    return faces.images, faces.usage


def by_usage(faces):
    return [(usage, faces.images[faces.usage == usage]) for usage in ("Training", "PublicTest")]


def test_folders_named_as_parts_are_taken_as_such(tmp_path):
    faces = fine_tuning.read(write(tmp_path, parts=("train", "val", "val")))
    assert (faces.usage == "PublicTest").sum() == (DRAWN.usage == "PrivateTest").sum()


def test_classes_are_named_by_folders_and_known_ones_keep_their_weights(tmp_path):
    folder = write(tmp_path, ("tired", "disgust", "10 years", "Happiness", "9 years"))
    faces = fine_tuning.read(folder)
    assert faces.class_names == ("Disgust", "Happy", "9 years", "10 years", "tired")
    assert fine_tuning.unknown(faces) == ["9 years", "10 years", "tired"]
    model, shipped = fine_tuning.start(faces, seed=1), compact.pretrained()
    kernel, bias = model.get_layer("expression").get_weights()
    old, _ = shipped.get_layer("expression").get_weights()
    assert np.array_equal(kernel[:, :2], old[:, [1, 3]])
    assert kernel.shape == (len(old), 5)
    again = fine_tuning.start(faces, seed=1).get_layer("expression").get_weights()
    assert np.array_equal(kernel, again[0]) and np.array_equal(bias, again[1])


def test_the_seven_in_their_order_begin_as_the_shipped_network(tmp_path):
    faces = fine_tuning.read(write(tmp_path))
    shown = fine_tuning.examples(faces, "Training")
    found = fine_tuning.probabilities(fine_tuning.start(faces, seed=0), shown)
    network = inference.load(precision="float32", views=2, prior="fer2013")
    assert np.abs(found - network.untempered(shown.images)).max() < 1e-3


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda folder: None, "no such folder; give a folder with a subfolder"),
        (lambda folder: folder.mkdir(), "folders of 0 classes with pictures in it; 2 to 100"),
        (lambda folder: write(folder, ("one",)), "folders of 1 classes"),
        (lambda folder: loose(write(folder)), "a.png: lies in no class's folder; make one for"),
        (lambda folder: loose(write(folder, parts=("train", "", "val")) / "val"), "no class's"),
        (lambda folder: loose(write(folder) / "Few"), "class Few: 1 different pictures to learn"),
        (lambda folder: broken(write(folder)), "Happy/b.png: no picture"),
    ],
)
def test_a_folder_that_is_no_data_set_is_one_line(tmp_path, capsys, made, message):
    made(tmp_path / "mine")
    status, _, said = command(capsys, tmp_path / "mine", "--out", tmp_path / "mine.keras")
    assert status == 2 and said.count("\n") == 1 and message in said, said
    assert not list(tmp_path.glob("mine.*"))


def loose(folder):
    folder.mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "a.png"), DRAWN.images[0])


def broken(folder):
    (folder / "Happy" / "b.png").write_bytes(b"no picture")


def test_other_endings_and_values_out_of_range_are_one_line(tmp_path, capsys):
    folder = write(tmp_path / "mine")
    (tmp_path / "own.json").write_text("{}")
    others = [("--out", tmp_path / name) for name in ("a.onnx", "own.keras")]
    for words in (*others, ("--epochs", 0), ("--learning-rate", -1)):
        status, _, said = command(capsys, folder, "--out", tmp_path / "a.keras", *words)
        assert status == 2 and said.count("\n") == 1, said
    assert (tmp_path / "own.json").read_text() == "{}"
    with pytest.raises(DatasetError):
        fine_tuning.read(tmp_path / "a.onnx")


def test_a_stopped_training_goes_on_and_its_files_recognise(tmp_path, capsys, monkeypatch):
    folder, whole = write(tmp_path / "mine", parts=("train", "", "test")), tmp_path / "whole.keras"
    options = (folder, "--epochs", 1, "--learning-rate", 0.005)
    status, said, _ = command(capsys, *options, "--out", whole)
    assert status == 0 and "of 20 test pictures right, before" in said
    fit, calls = trainer.fit, []

    def stopped(*arguments, **how):
        calls.append(how["checkpoint"].name)
        if calls == ["head", "all"]:
            raise KeyboardInterrupt
        return fit(*arguments, **how)

    monkeypatch.setattr(trainer, "fit", stopped)
    cut = tmp_path / "cut.keras"
    assert command(capsys, *options, "--out", cut)[0] == 130
    assert (tmp_path / "cut.training" / "head" / "last.npz").is_file()
    assert command(capsys, *options, "--out", cut)[0] == 0
    assert sorted(path.name for path in tmp_path.glob("cut*")) == [
        "cut.json",
        "cut.keras",
        "cut.onnx",
    ]
    found = [
        inference.load(path, prior="fer2013") for path in (whole, cut, cut.with_suffix(".onnx"))
    ]
    first, *others = [network.untempered(DRAWN.images) for network in found]
    for other in others:
        assert np.abs(other - first).max() < 5e-3
    card = json.loads(cut.with_suffix(".json").read_text())
    assert card["class_names"] == list(CLASS_NAMES) and card["fine_tuning"]["after"]["n"] == 20
