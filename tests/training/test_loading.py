"""One loader for .keras files: models of any single square input; what is wrong with others in a
line."""

import json
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

from fercore.config import parameters
from fercore.models import registry
from fercore.training import loading
from fercore.training.loading import TrainingError

NAMES = ("Angry", "Happy", "Neutral")


def network(shape=(48, 48, 1), classes=3, name="picture", activation="softmax"):
    image = layers.Input(shape, name=name)
    x = layers.Flatten()(layers.AveragePooling2D(8)(image))
    return keras.Model({name: image}, layers.Dense(classes, activation=activation)(x), name="mine")


@pytest.fixture
def faces():
    return np.random.default_rng(0).normal(size=(4, 48, 48, 1)).astype(np.float32)


def test_a_network_of_the_study_is_read_by_a_process_that_has_built_none(tmp_path):
    names = ("model_b_landmarks_hog_windows_following", "compact_small")
    for name in names:
        settings = parameters.network(name)
        built = registry.build(settings["base"], **settings["parameters"])
        loading.save(
            built, tmp_path / f"{name}.keras", {"class_names": [f"c{k}" for k in range(7)]}
        )
    files = [tmp_path / f"{name}.keras" for name in names]
    code = "import sys; from fercore.training import loading as one; "
    code += "[one._read(one.Path(file)) for file in sys.argv[1:]]"
    subprocess.run([sys.executable, "-c", code, *files], check=True)


def test_models_are_saved_without_what_the_optimizer_remembers(tmp_path, faces):
    model = network()
    model.compile("adam", "categorical_crossentropy")
    model.fit({"picture": faces}, np.eye(3)[[0, 1, 2, 0]], verbose=0)
    path = loading.save(model, tmp_path / "a.keras", {"class_names": NAMES, "key": "k"})
    plain = loading.save(network(), tmp_path / "b.keras")
    assert path.stat().st_size < 1.1 * plain.stat().st_size + 500
    assert loading.training_of(path) == {"class_names": list(NAMES), "key": "k"}
    assert loading.training_of(plain) == loading.training_of(tmp_path / "none.keras") == {}
    again = loading.load(path)
    expected = model.predict_on_batch({"picture": faces})
    assert np.allclose(again.predict_on_batch({"image": faces}), expected, atol=1e-6)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.keras", "b.keras"]


@pytest.mark.parametrize("shape", [(48, 48, 1), (64, 64, 1), (48, 48, 3), (96, 96, 3)])
def test_gray_faces_are_adapted_to_what_a_model_takes(tmp_path, faces, shape):
    own = network(shape)
    own.save(tmp_path / "m.keras")
    model = loading.load(tmp_path / "m.keras", NAMES, side=48)
    seen = np.repeat(keras.ops.image.resize(faces, shape[:2]), shape[2], axis=3)
    assert model.inputs[0].name == "image" and model.inputs[0].shape[1:] == (48, 48, 1)
    expected = own.predict_on_batch({"picture": seen})
    assert np.allclose(model.predict_on_batch({"image": faces}), expected, atol=1e-5)


def test_a_sequential_model_is_taken(tmp_path, faces):
    own = keras.Sequential([layers.Flatten(), layers.Dense(3, activation="softmax")])
    expected = own.predict_on_batch(faces)
    own.save(tmp_path / "m.keras")
    model = loading.load(tmp_path / "m.keras", NAMES)
    assert np.allclose(model.predict_on_batch({"image": faces}), expected, atol=1e-6)


def test_classes_come_from_the_caller_a_card_or_the_run_else_the_file_is_refused(tmp_path):
    path = tmp_path / "models" / "official_five" / "mine" / "seed0.keras"
    path.parent.mkdir(parents=True)
    network(classes=5).save(path)
    assert loading.load(path).output_shape == (None, 5)
    alone = tmp_path / "mine.keras"
    network().save(alone)
    with pytest.raises(TrainingError, match=r"mine.keras: nothing says .* mine.json beside it"):
        loading.load(alone)
    assert loading.load(alone, NAMES).output_shape == (None, 3)
    alone.with_suffix(".json").write_text(json.dumps({"class_names": NAMES}))
    assert loading.load(alone).output_shape == (None, 3)
    with pytest.raises(
        TrainingError, match=r"mine.keras: predicts 3 classes, expected are 2: a, b"
    ):
        loading.load(alone, ["a", "b"])


def test_outputs_come_in_the_order_wanted(tmp_path, faces):
    own = network()
    own.save(tmp_path / "m.keras")
    model = loading.load(tmp_path / "m.keras", ("happy", "neutral", "angry"), wanted=NAMES)
    expected = own.predict_on_batch({"picture": faces})[:, [2, 0, 1]]
    assert np.allclose(model.predict_on_batch({"image": faces}), expected, atol=1e-6)
    with pytest.raises(TrainingError, match="its classes are a, b, c; the data has Angry, Happy"):
        loading.load(tmp_path / "m.keras", ("a", "b", "c"), wanted=NAMES)


def test_softmax_stays_as_it_is_sigmoid_is_divided_and_others_are_refused(tmp_path):
    softmax = np.array([[0.2, 0.8], [1, 0]], np.float32)
    assert loading.distributions(softmax, "net") is softmax
    assert loading.distributions(np.array([[0.2, 0.2]]), "net").tolist() == [[0.5, 0.5]]
    for wrong in ([[-1.0, 2.0]], [[0.0, 3.0]], [[np.nan, 1.0]]):
        with pytest.raises(TrainingError, match=r"net: outputs from .* are no probabilities"):
            loading.distributions(np.array(wrong), "net")
    keras.utils.set_random_seed(0)
    network(activation="linear").save(tmp_path / "logits.keras")
    with pytest.raises(TrainingError, match=r"logits.keras: outputs from .*; end the model with"):
        loading.load(tmp_path / "logits.keras", NAMES)


def changed(path, edit):
    """A .keras file with another config."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    edit(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, content)


def of_another_backend(path):
    def edit(config):
        config["config"]["layers"][1] |= {
            "module": "torch.nn",
            "class_name": "AvgPool2d",
            "registered_name": None,
        }

    changed(path, edit)


def huge(path):
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/x", bytes(40 << 20))


def bare_layer(path):
    changed(path, lambda config: config.update(config["config"]["layers"][-1]))


def with_lambda(path):
    image = layers.Input((48, 48, 1))
    x = layers.Dense(3, activation="softmax")(layers.Flatten()(image))
    keras.Model(image, layers.Lambda(lambda values: values * 1)(x)).save(path)


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda path: path.write_bytes(b""), "no readable .keras file"),
        (lambda path: path.write_bytes(path.read_bytes()[:400]), "no readable .keras file"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n" + bytes(99)), "no readable .keras file"),
        (lambda path: (path.unlink(), path.mkdir()), "no such file"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "no such file"),
        (lambda path: path.unlink(), "no such file"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "no item named 'config.json'"),
        (huge, "unpacks to"),
        (bare_layer, "mine.keras: "),
        (of_another_backend, "mine.keras: "),
        (with_lambda, "has a Lambda layer"),
        (lambda path: network((48, 40, 1)).save(path), "takes 48×40×1, no square pictures"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_says_why(tmp_path, monkeypatch, damage, words):
    monkeypatch.setattr(loading, "LARGEST", 30 << 20)
    path = tmp_path / "mine.keras"
    network().save(path)
    damage(path)
    with pytest.raises(TrainingError) as error:
        loading.load(path, NAMES)
    assert words in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) < 200 + len(str(path))


def test_a_damaged_file_is_told(tmp_path):
    path = loading.save(network(), tmp_path / "mine.keras")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"mine.keras: no readable .keras file"):
        loading.load(path, NAMES)


def test_descriptors_are_inputs_by_name(tmp_path):
    image, other = layers.Input((48, 48, 1), name="image"), layers.Input((3,), name="age")
    x = layers.Dense(3, activation="softmax")(
        layers.Concatenate()([layers.Flatten()(image), other])
    )
    keras.Model({"image": image, "age": other}, x).save(tmp_path / "m.keras")
    with pytest.raises(TrainingError, match=r"m.keras: takes .*age.*; wanted is image"):
        loading.load(tmp_path / "m.keras", NAMES)
    assert loading.load(tmp_path / "m.keras", NAMES, inputs=["age", "image"]).output_shape[1] == 3
