"""Export: the same answers as Keras, calibration that helps, a card whose numbers are those of the
data."""

import json
from dataclasses import replace

import keras
import made_up
import numpy as np
import pytest
from keras import layers

from fercore import paths
from fercore.data.faces import DatasetError
from fercore.models import onnx_export, quantisation, registry
from fercore.models.onnx_export import ExportError
from fercore.recognition import inference, model_card
from fercore.recognition.inference import ModelError
from fercore.training import trainer

RNG = np.random.default_rng(0)
FACES = RNG.normal(size=(8, 40, 40, 1)).astype(np.float32)


def trained(model):
    """The model with statistics of batch normalisation as training leaves them: not zeros and
    ones."""
    for variable in model.variables:
        if "moving_variance" in variable.path or "gamma" in variable.path:
            variable.assign(RNG.uniform(0.6, 1.4, variable.shape))
        elif "moving_mean" in variable.path or "beta" in variable.path or "bias" in variable.path:
            variable.assign(RNG.normal(size=variable.shape) / 10)
    return model


def small(name="small", side=40, classes=7):
    image = layers.Input((side, side, 1), name="image")
    x = layers.ReLU()(
        layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", use_bias=False)(image))
    )
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x)))
    return trained(
        keras.Model({"image": image}, layers.Dense(classes, activation="softmax")(x), name=name)
    )


def every_layer():
    """A network of each layer that is exported, in arrangements that cannot be folded, too."""
    image = layers.Input((40, 40, 1), name="image")
    x = layers.Rescaling(0.5, offset=0.1)(image)
    x = layers.BatchNormalization()(layers.Conv2D(4, 5, strides=2, activation="relu")(x))
    x = layers.Concatenate()(
        [
            layers.MaxPooling2D(3, 2, padding="same")(x),
            layers.AveragePooling2D(3, 2, padding="same")(x),
        ]
    )
    x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(6)(layers.Flatten()(x))))
    return trained(
        keras.Model({"image": image}, layers.Dense(7, activation="sigmoid")(x), name="every_layer")
    )


def narrow_compact():
    return trained(registry.build("compact", filters=(2, 4, 4, 8)))


@pytest.mark.parametrize("build", [small, every_layer, narrow_compact])
def test_an_export_answers_like_keras(build):
    model = build()
    answers = onnx_export.run(onnx_export.export(model, FACES), FACES)
    expected = model.predict_on_batch({"image": FACES})
    assert np.abs(answers - expected).max() < onnx_export.AGREEMENT
    assert np.ptp(expected, axis=0).max() > 0.001  # answers depend on the face


def test_batch_normalisation_is_folded_into_the_convolution_before_it():
    assert b"Mul" not in onnx_export.export(small(), FACES)
    assert b"Mul" in onnx_export.export(every_layer(), FACES)


def test_a_model_trained_in_bfloat16_is_exported_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small()
    finally:
        keras.config.set_dtype_policy("float32")
    copy = onnx_export.in_float32(model)
    assert {layer.compute_dtype for layer in copy.layers} == {"float32"}
    assert np.array_equal(copy.get_weights()[0], model.get_weights()[0])
    onnx_export.export(model, FACES)


def test_networks_that_cannot_be_exported_are_told():
    with pytest.raises(ExportError, match="only pictures are exported"):
        onnx_export.export(registry.build("dsift_cnn"), FACES)
    image = layers.Input((40, 40, 1), name="image")
    odd = keras.Model({"image": image}, layers.Flatten()(layers.UpSampling2D()(image)), name="odd")
    with pytest.raises(ExportError, match="is a UpSampling2D, which is not exported"):
        onnx_export.export(odd, FACES)


def test_integers_answer_nearly_alike():
    content = onnx_export.export(small(), FACES)
    fewer = quantisation.quantised(content, quantisation.ranges(content, FACES))
    difference = np.abs(onnx_export.run(fewer, FACES) - onnx_export.run(content, FACES)).max()
    assert 0 < difference < 0.05


def test_scores_of_a_known_case():
    probabilities = np.eye(3)[[0, 0, 1, 2]] * 0.7 + 0.1
    scores = model_card.scored(probabilities, np.array([0, 1, 1, 2]), ("a", "b", "c"))
    assert scores["accuracy"] == 0.75 and scores["n"] == 4
    assert scores["accuracy_low"] < 0.75 < scores["accuracy_high"]
    assert scores["by_class"]["b"]["recall"] == 0.5 and scores["by_class"]["a"]["precision"] == 0.5
    assert scores["calibration_error"] == pytest.approx(abs(0.8 - 0.75), abs=1e-6)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(folder of an export, its card, the faces it was measured on)."""
    folder, faces = tmp_path_factory.mktemp("export"), made_up.faces()
    source = trainer.save_model(small(), folder / "small.keras")
    fast = pytest.MonkeyPatch()
    fast.setattr(paths, "CACHE", folder / "cache")
    fast.setattr(model_card, "speed", lambda network, images: {"1": 10, "64": 20})
    card = model_card.write(source, folder / "out" / "tiny.onnx", faces)
    fast.undo()
    return folder / "out", card, faces


def test_an_export_leaves_models_and_cards(exported):
    folder, card, faces = exported
    names = ["MODEL_CARD.md", "tiny.json", "tiny.onnx"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert json.loads((folder / "tiny.json").read_text()) == card
    assert (
        card["side"] == 40
        and card["parameters"] == small().count_params()
        and card["data"] == faces.origin
    )


def test_the_numbers_of_the_card_are_those_of_the_model(exported):
    folder, card, faces = exported
    for precision, measured in card["precisions"].items():
        network = inference.load(folder / "tiny.onnx", precision=precision)
        assert network.precision == precision and network.temperature == measured["temperature"]
        test = faces.usage == "PrivateTest"
        right = network.probabilities(faces.images[test]).argmax(1) == faces.labels[test]
        assert measured["test"]["accuracy"] == pytest.approx(right.mean(), abs=1e-4)
        assert measured["test_deduplicated"]["n"] == test.sum() - 1  # the last test face is a copy
        averaged = inference.load(folder / "tiny.onnx", precision=precision, views=2)
        assert averaged.temperature == measured["views"]["2"]["temperature"]
        right = averaged.probabilities(faces.images[test]).argmax(1) == faces.labels[test]
        assert measured["views"]["2"]["test"]["accuracy"] == pytest.approx(right.mean(), abs=1e-4)
    text = (folder / "MODEL_CARD.md").read_text()
    assert f"{measured['test']['accuracy']:.1%}" in text and "Not for" in text and "{" not in text
    taught = model_card.markdown(card | {"training": {"teachers": ["vgg", "cnn"]}})
    assert (
        "softened by what `vgg`, `cnn` say of the training faces" in taught
        and "softened" not in text
    )


def test_integers_are_made_once_where_the_card_has_ranges(exported, tmp_path, monkeypatch):
    folder, _, faces = exported
    first = inference.load(folder / "tiny.onnx")
    assert first.precision == "int8" and len(list((tmp_path / "cache").rglob("*.tiny.onnx"))) == 1
    monkeypatch.setattr(quantisation, "quantised", None)
    again = inference.load(folder / "tiny.onnx")
    exact = inference.load(folder / "tiny.onnx", precision="float32")
    answers = [network.untempered(faces.images[:5]) for network in (first, again, exact)]
    assert np.array_equal(*answers[:2]) and not np.array_equal(*answers[1:])


def test_a_cache_that_cannot_be_written_to_is_done_without(exported, tmp_path):
    (tmp_path / "cache").write_text("a file, no folder")
    assert inference.load(exported[0] / "tiny.onnx").precision == "int8"


def test_keras_files_are_taken_as_they_are(exported):
    folder, _, faces = exported
    network = inference.load(folder.parent / "small.keras")
    same = inference.load(folder / "tiny.onnx", precision="float32")
    assert (
        np.abs(network.untempered(faces.images[:5]) - same.untempered(faces.images[:5])).max()
        < 1e-3
    )


def test_a_keras_file_of_a_run_brings_how_it_was_trained(tmp_path):
    path = trainer.save_model(
        small(side=44, classes=5), tmp_path / "models" / "official_five" / "own" / "seed1.keras"
    )
    record = {
        "network": "own",
        "split": "official_five",
        "recipe_parameters": {"normalisation": "raw", "crop": 44},
    }
    where = tmp_path / "predictions" / "official_five" / "own" / "seed1.json"
    where.parent.mkdir(parents=True)
    where.write_text(json.dumps(record))
    network = inference.load(path)
    assert (network.side, network.normalisation) == (44, "raw")
    assert network.class_names == ("Angry", "Happy", "Sad", "Surprise", "Neutral")


def test_hybrids_and_other_data_are_refused(tmp_path):
    path = trainer.save_model(registry.build("dsift_cnn"), tmp_path / "hybrid.keras")
    with pytest.raises(
        ModelError, match=r"hybrid.keras: takes .*dsift.*; a recogniser feeds pictures only"
    ):
        inference.load(path)
    with pytest.raises(DatasetError, match="a model card needs FER2013 itself"):
        model_card.write(path, tmp_path / "a.onnx", replace(made_up.faces(), origin="drawn faces"))
    with pytest.raises(ModelError, match=r"name the target NAME.onnx"):
        model_card.write(path, tmp_path / "a", made_up.faces())
