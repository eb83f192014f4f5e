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
from fercore.models import registry
from fercore.recognition import inference, model_card
from fercore.recognition.inference import ModelError
from fercore.training import loading
from fercore.training.loading import TrainingError

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
    source = loading.save(small(), folder / "small.keras")
    known = {"class_names": list(faces.class_names), "network": "small", "split": "official"}
    known |= {"normalisation": "standardise", "side": 40, "training": {}}
    source.with_suffix(".json").write_text(json.dumps(known))
    fast = pytest.MonkeyPatch()
    fast.setattr(paths, "CACHE", folder / "cache")
    fast.setattr(model_card, "speed", lambda network, images: {"1": 10, "64": 20})
    text = model_card.write(source, folder / "out" / "tiny.onnx", faces)
    card = json.loads((folder / "out" / "tiny.json").read_text())
    assert text == folder / "out" / "MODEL_CARD.md"
    fast.undo()
    return folder / "out", card, faces


def test_an_export_leaves_models_and_cards(exported):
    folder, card, faces = exported
    names = ["MODEL_CARD.md", "tiny.json", "tiny.onnx", "tiny_int8.onnx"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert (
        card["side"] == 40
        and card["parameters"] == small().count_params()
        and card["data"] == faces.origin
    )


def test_the_numbers_of_the_card_are_those_of_the_model(exported):
    folder, card, faces = exported
    for precision, measured in card["precisions"].items():
        network = inference.load(folder / "tiny.onnx", precision=precision, prior="fer2013")
        assert network.precision == precision and network.temperature == measured["temperature"]
        test = faces.usage == "PrivateTest"
        right = network.probabilities(faces.images[test]).argmax(1) == faces.labels[test]
        assert measured["test"]["accuracy"] == pytest.approx(right.mean(), abs=1e-4)
        assert measured["test_deduplicated"]["n"] == test.sum() - 1  # the last test face is a copy
        averaged = inference.load(
            folder / "tiny.onnx", precision=precision, views=2, prior="fer2013"
        )
        assert averaged.temperature == measured["views"]["2"]["temperature"]
        right = averaged.probabilities(faces.images[test]).argmax(1) == faces.labels[test]
        assert measured["views"]["2"]["test"]["accuracy"] == pytest.approx(right.mean(), abs=1e-4)
    text = (folder / "MODEL_CARD.md").read_text()
    assert f"{measured['test']['accuracy']:.1%}" in text and "Not for" in text and "{" not in text
    taught = model_card.markdown(card | {"training": {"teachers": ["vgg", "cnn"]}})
    assert "soft targets of `vgg`, `cnn`" in taught and "soft targets" not in text


def test_integers_predict_nearly_alike(exported):
    folder, _, faces = exported
    integers, exact = (
        inference.load(folder / "tiny.onnx", precision=precision).untempered(faces.images[:5])
        for precision in (None, "float32")
    )
    assert inference.load(folder / "tiny.onnx").precision == "int8"
    assert 0 < np.abs(integers - exact).max() < 0.1


def test_tau_takes_the_highest_recall_that_accuracy_allows():
    shares = np.array([0.9, 0.1])
    labels = np.array([0] * 900 + [1] * 100)
    rare = np.concatenate([np.full(900, 0.05), np.full(60, 0.4), np.full(40, 0.01)])
    probabilities = np.stack([1 - rare, rare], axis=1)
    tau = model_card.fitted_tau(probabilities, labels, shares)
    weights = shares**-tau
    right = inference.calibrated(probabilities, 1.0, weights).argmax(1) == labels
    assert 0 < tau < 1 and right[:900].all() and right[900:960].all()
    spoilt = np.stack([1 - np.full(1000, 0.4), np.full(1000, 0.4)], axis=1)
    assert model_card.fitted_tau(spoilt, labels, shares) * np.log(9) < np.log(1.5)


def test_the_card_recommends_the_prior_of_the_higher_recall(exported):
    card = exported[1]
    assert sum(card["shares"].values()) == pytest.approx(1, abs=1e-3)
    recalls = {name: scores["macro_recall"] for name, scores in card["priors"].items()}
    assert set(recalls) == set(inference.PRIORS)
    assert recalls[card["prior"]] == max(recalls.values())
    lost = card["priors"]["fer2013"]["accuracy"] - card["priors"]["uniform"]["accuracy"]
    assert lost <= model_card.ACCURACY_FOR_RECALL + 1e-4
    assert "Not measured yet" in model_card.markdown(card)
    measured = {"as they are": 0.7, "blurred": 0.6}
    assert "| blurred | 60.0% | -10.0 |" in model_card.markdown(card | {"robustness": measured})


def test_keras_files_are_taken_as_they_are(exported):
    folder, _, faces = exported
    network = inference.load(folder.parent / "small.keras")
    same = inference.load(folder / "tiny.onnx", precision="float32")
    assert (
        np.abs(network.untempered(faces.images[:5]) - same.untempered(faces.images[:5])).max()
        < 1e-3
    )


def test_a_keras_file_of_a_run_brings_how_it_was_trained(tmp_path):
    path = loading.save(
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
    path = loading.save(registry.build("dsift_cnn"), tmp_path / "hybrid.keras")
    with pytest.raises(TrainingError, match=r"hybrid.keras: takes .*dsift.*; wanted is image"):
        inference.load(path, class_names=made_up.faces().class_names)
    with pytest.raises(DatasetError, match="a model card needs FER2013 itself"):
        model_card.write(path, tmp_path / "a.onnx", replace(made_up.faces(), origin="drawn faces"))
    with pytest.raises(ModelError, match=r"name the target NAME.onnx"):
        model_card.write(path, tmp_path / "a", made_up.faces())
