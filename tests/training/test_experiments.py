"""The steps of the notebooks that train: models of one's own, sigmoid outputs, fine-tuning in two
stages."""

import dataclasses
import socket

import h5py
import keras
import numpy as np
import pandas as pd
import pytest

from fercore import artifacts, paths
from fercore.config import parameters, recipes
from fercore.config.recipes import Recipe
from fercore.data import augmentation
from fercore.models import layers, plain_cnns, registry
from fercore.training import experiments, prediction, trainer
from fercore.training.loading import TrainingError

SETTINGS = {
    "base": "small",
    "system": "own",
    "notebook": "12_shallow_deep",
    "recipe": "study",
    "inputs": ["image"],
    "parameters": {},
}
NAMES = ["Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral"]
RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=0.02, precision="float32")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path / "outputs")
    monkeypatch.setitem(registry.NETWORKS, "small", small)


def small(classes=7, activation="softmax", shape=(48, 48, 1), name="image"):
    image = keras.layers.Input(shape, name=name)
    x = keras.layers.AveragePooling2D(8)(image)
    x = keras.layers.Conv2D(4, 3, activation="relu", name="below")(x)
    x = keras.layers.Dense(8, activation="relu", name="above")(keras.layers.Flatten()(x))
    return keras.Model(
        {name: image}, keras.layers.Dense(classes, activation=activation)(x), name="small"
    )


@pytest.fixture
def experiment():
    read = experiments.read(
        "shallow_cnn", split="official", data="synthetic", subset=21, profile="try"
    )
    return dataclasses.replace(read, network="small", settings=dict(SETTINGS), recipe=RECIPE)


@pytest.fixture
def tuned(experiment):
    return dataclasses.replace(
        experiment,
        settings=SETTINGS | {"fine_tuning": {"trainable_from": "below", "recipe": "study"}},
        tuning=RECIPE,
    )


def of_file(experiment, model, path):
    model.save(path)
    return dataclasses.replace(
        experiment,
        settings=SETTINGS | {"model": str(path), "class_names": NAMES[: model.output_shape[-1]]},
    )


def test_few_training_faces_have_more_epochs_unless_epochs_are_given():
    def epochs(split, **changes):
        return experiments.read(
            "shallow_cnn", split=split, data="synthetic", subset=70, **changes
        ).recipe.epochs

    whole = epochs("official")
    assert epochs("official_25_percent") == 2 * whole
    assert epochs("official_25_percent", epochs=3) == 3


def test_sigmoid_outputs_are_saved_as_distributions_with_the_same_answer(experiment):
    changed = dataclasses.replace(
        experiment, settings=SETTINGS | {"parameters": {"activation": "sigmoid"}}
    )
    model, parts = experiments.build(changed), experiments.examples(changed)
    predictions = experiments.save(changed, model, parts, None)
    outputs = model.predict_on_batch({"image": augmentation.normalise(parts.validation.images)})
    saved = predictions.of(artifacts.VALIDATION)[0]
    assert not np.allclose(outputs.sum(1), 1, atol=0.1) and np.allclose(saved.sum(1), 1, atol=1e-5)
    assert (outputs.argmax(1) == saved.argmax(1)).all()
    assert (
        artifacts.read_record(changed.folder, "official", "small", 0)["outputs_divided_by_sum"]
        is True
    )


@pytest.mark.parametrize("views", [2, 10])
def test_predictions_hold_both_parts_averaged_over_views(experiment, views):
    experiment = dataclasses.replace(experiment, settings=SETTINGS | {"views": views})
    model, parts = experiments.build(experiment), experiments.examples(experiment)
    found, how = experiments.predictions(experiment, model, parts)
    assert found.part.tolist() == [artifacts.VALIDATION] * 21 + [artifacts.TEST] * 21
    plain, averaged = found.of(artifacts.TEST)
    every = [
        prediction.predict(model, parts.test, RECIPE, view) for view in augmentation.views(views)
    ]
    assert np.allclose(plain, every[0]) and np.allclose(averaged, np.mean(every, axis=0))
    assert how == {"views": views, "outputs_divided_by_sum": False}


def test_descriptors_are_standardised_over_the_training_faces():
    def seen(**changes):
        found = experiments.read(
            "model_a_landmarks_hog",
            split="official_five",
            data="synthetic",
            subset=70,
            settings={"inputs": ["image", "hog"]},
            **changes,
        )
        return experiments.examples(found).train.descriptors["hog"]

    standardised, plain = seen(), seen(descriptors_standardised=False)
    assert np.allclose(standardised[:, 0].mean(0), 0, atol=1e-5)
    assert np.allclose(
        standardised[:, 0].std(0), np.minimum(1, plain[:, 0].std(0) / 1e-3), atol=1e-4
    )
    assert not np.allclose(plain[:, 0].mean(0), 0, atol=1e-2)


def test_a_trained_model_predicts_again_after_a_change_of_views(monkeypatch):
    experiment = experiments.read(
        "shallow_cnn", split="official", profile="again", data="synthetic", subset=70, epochs=1
    )
    assert experiment.views == 10
    two = dataclasses.replace(experiment, settings=experiment.settings | {"views": 2})
    model, parts = experiments.build(two), experiments.examples(two)
    before = experiments.save(two, model, parts, experiments.fit(two, model, parts))
    monkeypatch.setattr(trainer, "fit", None)  # nothing is trained again
    model = experiments.build(experiment)
    after = experiments.save(experiment, model, parts, experiments.fit(experiment, model, parts))
    record = artifacts.read_record(experiment.folder, *experiment.key)
    assert record["views"] == 10 and record["epochs"] == 1
    assert np.allclose(after.probabilities, before.probabilities, atol=0.002)
    assert not np.allclose(after.probabilities_tta, before.probabilities_tta, atol=0.002)


def test_a_model_of_ones_own_is_used_as_it_is_under_any_name_of_its_input(experiment, tmp_path):
    own = small(name="picture")
    mine = of_file(experiment, own, tmp_path / "mine.keras")
    model, parts = experiments.build(mine), experiments.examples(mine)
    assert registry.inputs(model) == ["image"] and experiments.fit(mine, model, parts) is None
    predictions = experiments.save(mine, model, parts, None)
    assert predictions.probabilities.shape == (42, 7)
    assert all(
        np.array_equal(a, b) for a, b in zip(model.get_weights(), own.get_weights(), strict=True)
    )


def test_a_model_of_other_classes_is_one_line(experiment, tmp_path):
    five = of_file(experiment, small(classes=5), tmp_path / "mine.keras")
    with pytest.raises(TrainingError, match=r"mine.keras: its classes are .*; the data has"):
        experiments.build(five)
    unnamed = dataclasses.replace(five, settings=SETTINGS | {"model": str(tmp_path / "mine.keras")})
    with pytest.raises(TrainingError, match=r"mine.keras: nothing says which classes"):
        experiments.build(unnamed)


def test_classes_in_another_order_are_put_right(experiment, tmp_path):
    own = small(name="picture")
    mine = of_file(experiment, own, tmp_path / "mine.keras")
    order = sorted(NAMES)
    mine = dataclasses.replace(mine, settings=mine.settings | {"class_names": order})
    model, faces = experiments.build(mine), np.random.default_rng(0).normal(size=(3, 48, 48, 1))
    expected = own.predict_on_batch({"picture": faces})[:, [order.index(name) for name in NAMES]]
    assert np.allclose(model.predict_on_batch({"image": faces}), expected, atol=1e-6)


def test_a_finished_training_leaves_no_checkpoint_and_is_not_repeated(experiment):
    steps, parts = [], experiments.examples(experiment)
    counting = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: steps.append(1)
    )

    def fit(model):
        return experiments.fit(experiment, model, parts, callbacks=[counting])

    model = experiments.build(experiment)
    history, n = fit(model), len(steps)
    folders = {path.name for path in experiment.folder.iterdir()}
    assert n == 4 and "checkpoints" not in folders and folders == {"histories", "models"}
    for again in (model, experiments.build(experiment)):  # a cell, a notebook run again
        pd.testing.assert_frame_equal(fit(again), history)
        assert all(map(np.array_equal, again.get_weights(), model.get_weights()))
    assert len(steps) == n
    other = dataclasses.replace(experiment.recipe, learning_rate=0.03)
    experiment = dataclasses.replace(experiment, recipe=other)
    fit(experiments.build(experiment))
    assert len(steps) == 2 * n


def test_fine_tuning_goes_on_from_a_layer_and_keeps_the_better_stage(tuned):
    model, parts = experiments.build(tuned), experiments.examples(tuned)
    layers.unfreeze_from(model, "above")
    before = model.get_layer("below").get_weights()[0]
    first = experiments.fit(tuned, model, parts)
    assert (model.get_layer("below").get_weights()[0] == before).all()
    whole = experiments.fine_tune(tuned, model, parts, first)
    assert list(whole.epoch) == [1, 2, 3, 4] and list(whole.stage) == [1, 1, 2, 2]
    pd.testing.assert_frame_equal(whole[whole.stage == 1].drop(columns="stage"), first)
    better = whole[whole.stage == 2].val_accuracy.max() > first.val_accuracy.max()
    assert better == (model.get_layer("below").get_weights()[0] != before).any()
    experiments.save(tuned, model, parts, whole)
    record = artifacts.read_record(tuned.folder, "official", "small", 0)
    assert record["epochs"] == 4 and record["fine_tuning"]["trainable_from"] == "below"


@pytest.mark.parametrize("more", [0, -0.01])
def test_the_first_stage_stays_when_the_second_is_no_better(tuned, monkeypatch, more):
    model, parts = experiments.build(tuned), experiments.examples(tuned)
    first = experiments.fit(tuned, model, parts)
    kept = model.get_weights()

    def fit(model, *_, **__):
        model.set_weights([weights + 1 for weights in kept])
        return first.assign(val_accuracy=first.val_accuracy + more)

    monkeypatch.setattr(trainer, "fit", fit)
    history = experiments.fine_tune(tuned, model, parts, first)
    assert artifacts.best_epoch(history).stage == 1
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), kept, strict=True))


def test_fine_tuning_that_was_stopped_goes_on_and_follows_its_first_stage(tuned):
    parts, steps = experiments.examples(tuned), []

    def built():
        model = experiments.build(tuned)
        layers.unfreeze_from(model, "above")
        return model

    def train(model, stop=None, **changes):
        def count(batch, logs):
            steps.append(1)
            if len(steps) == stop:
                raise KeyboardInterrupt

        steps.clear()
        one = dataclasses.replace(tuned, recipe=dataclasses.replace(RECIPE, **changes))
        watched = {"callbacks": [keras.callbacks.LambdaCallback(on_train_batch_end=count)]}
        first = experiments.fit(one, model, parts, **watched)
        experiments.fine_tune(one, model, parts, first, **watched)
        return len(steps)

    model = built()
    with pytest.raises(KeyboardInterrupt):
        train(model, stop=8)  # in the last of twice two epochs of two steps
    assert train(model) == 2
    assert not (tuned.folder / "checkpoints").exists()
    with pytest.raises(KeyboardInterrupt):
        train(built(), stop=7)
    assert train(built(), learning_rate=0.03) == 8


def test_a_layer_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(
        ValueError, match=r"layer 'block9': small has none of this name; there are below, above"
    ):
        layers.unfreeze_from(small(), "block9")


def test_system_c_learns_in_two_stages_and_b_with_sigmoid():
    c = experiments.read(
        "vgg16_imagenet",
        split="official",
        data="synthetic",
        subset=7,
        epochs=3,
        learning_rate=0.5,
    )
    assert c.recipe.normalisation == c.tuning.normalisation == "raw" and c.tuning.epochs == 3
    assert (
        c.recipe.learning_rate == 0.5
        and c.tuning.learning_rate == recipes.read("imagenet_tuned").learning_rate
    )
    for name in (
        "shallow_cnn_sigmoid",
        "deep_cnn_sigmoid",
        "deep_cnn_published",
        "shallow_cnn_published",
    ):
        settings = parameters.network(name)
        assert settings["parameters"]["activation"] == "sigmoid"
        assert recipes.read(settings["recipe"]).loss == "binary_crossentropy"


def test_imagenet_weights_come_from_keras_own_file(tmp_path):
    drawn = registry.build("vgg16_imagenet", weights=None)
    convolutions = [
        layer for layer in drawn.layers if layer.name.startswith("block") and layer.weights
    ]
    with h5py.File(
        tmp_path / "notop.h5", "w"
    ) as file:  # Keras's layout of 2016, in which its file still is
        file.attrs["layer_names"] = [layer.name.encode() for layer in convolutions]
        for layer in convolutions:
            group = file.create_group(layer.name)
            names = [f"{layer.name}_W".encode(), f"{layer.name}_b".encode()]
            group.attrs["weight_names"] = names
            for name, values in zip(names, layer.get_weights(), strict=True):
                group[name.decode()] = values
    model = registry.build("vgg16_imagenet", weights=str(tmp_path / "notop.h5"))
    for name in ("block1_conv1", "block5_conv3"):
        assert np.array_equal(
            model.get_layer(name).get_weights()[0], drawn.get_layer(name).get_weights()[0]
        )
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 2_638_855
    layers.unfreeze_from(model, "block5_conv1")
    assert (
        sum(int(np.prod(v.shape)) for v in model.trainable_variables) == 2_638_855 + 3 * 2_359_808
    )
    (tmp_path / "bad.h5").write_bytes(b"no weights")
    with pytest.raises(plain_cnns.WeightsError, match=r"cannot be had .*; give the path of"):
        registry.build("vgg16_imagenet", weights=str(tmp_path / "bad.h5"))


def test_without_network_the_weights_are_asked_for_once(monkeypatch, tmp_path):
    asked = []

    def refused(address, timeout=None, *_, **__):
        asked.append(socket.getdefaulttimeout())
        raise OSError("no route")

    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    monkeypatch.setattr(socket, "create_connection", refused)
    with pytest.raises(
        plain_cnns.WeightsError, match=r"cannot be had \(.*no route.*\); give the path"
    ):
        registry.build("vgg16_imagenet")
    assert asked == [plain_cnns.PATIENCE] and socket.getdefaulttimeout() is None
