"""Soft labels: the mean of what teachers say of the training faces, mixed into what a network learns."""
import dataclasses

import keras
import numpy as np
import pytest

from fercore import experiments, networks, parameters, paths, prediction, preprocessing, recipes, runs, training
from fercore.training import TrainingError


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    def small(input_shape=(48, 48, 1), classes=7):
        image = keras.layers.Input(input_shape, name="image")
        x = keras.layers.Flatten()(keras.layers.AveragePooling2D(8)(image))
        return keras.Model({"image": image}, keras.layers.Dense(classes, activation="softmax")(x), name="small")

    monkeypatch.setattr(paths, "OUTPUTS", tmp_path / "outputs")
    monkeypatch.setitem(networks.NETWORKS, "small", small)
    settings = {"base": "small", "system": "own", "notebook": "17_compact", "recipe": "compact", "inputs": ["image"],
                "parameters": {}, "teachers": ["first", "second"]}
    monkeypatch.setattr(parameters, "network", lambda name: dict(settings))
    return experiments.read("pupil", protocol="official", data="synthetic", subset=14, profile="try", epochs=1)


def teach(experiment, name, seed):
    model = training.build("small", experiment.recipe, seed)
    training.save_model(model, runs.model_path(experiment.folder, "official", name, experiment.seed))
    return model


def test_soft_labels_are_the_mean_over_teachers_and_views(experiment):
    models = [teach(experiment, name, seed) for seed, name in enumerate(("first", "second"))]
    parts = experiments.examples(experiment)
    views = [prediction.predict(model, parts.train, experiment.recipe, view)
             for model in models for view in preprocessing.views(2)]
    assert np.allclose(parts.train.soft_labels, np.mean(views, axis=0), atol=1e-5)
    assert parts.validation.soft_labels is None and parts.test.soft_labels is None


def test_targets_are_mixed_by_share_and_follow_the_order_of_the_batch(experiment):
    soft = np.random.default_rng(0).dirichlet(np.ones(7), 14).astype(np.float32)
    images = np.arange(14, dtype=np.uint8)[:, None, None] * np.ones((1, 48, 48), np.uint8)
    labels = np.arange(14) % 7
    unmoved = dataclasses.replace(experiment.recipe, **recipes.UNMOVED, normalisation="raw", soft_share=0.7)
    data = prediction.Examples(images, labels, {}, soft)
    [(x, targets)] = training.batches(data, unmoved, ["image"], seed=0, epoch=0)
    order = x["image"][:, 0, 0, 0].astype(int)
    assert sorted(order) == list(range(14)) != list(order)
    assert np.allclose(targets, 0.3 * np.eye(7)[labels[order]] + 0.7 * soft[order], atol=1e-6)


def test_a_missing_teacher_is_named_with_the_notebook_that_trains_it(experiment):
    teach(experiment, "first", 0)
    with pytest.raises(TrainingError, match="teacher second: outputs/try has no model of it on official, seed 0; "
                                            "train it first, by notebook 17_compact"):
        experiments.examples(experiment)


def test_teachers_are_recorded_and_a_share_outside_0_to_1_is_refused(experiment):
    for seed, name in enumerate(("first", "second")):
        teach(experiment, name, seed)
    model, parts = experiments.build(experiment), experiments.examples(experiment)
    experiments.save(experiment, model, parts, experiments.fit(experiment, model, parts))
    assert runs.read_record(experiment.folder, "official", "pupil", 0)["teachers"] == ["first", "second"]
    with pytest.raises(recipes.RecipeError, match=r"soft_share is 1\.5; it must be 0 to 1"):
        recipes.read("compact", soft_share=1.5)
