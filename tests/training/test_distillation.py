"""Soft labels: the mean of what teachers predict for the training faces, mixed into what a network
learns."""

import dataclasses

import keras
import numpy as np
import pytest

from fercore import artifacts, paths
from fercore.config import parameters, recipes
from fercore.data import augmentation
from fercore.models import registry
from fercore.training import distillation, experiments, loading, prediction, trainer
from fercore.training.loading import TrainingError


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    def small(input_shape=(48, 48, 1), classes=7):
        image = keras.layers.Input(input_shape, name="image")
        x = keras.layers.Flatten()(keras.layers.AveragePooling2D(8)(image))
        return keras.Model(
            {"image": image}, keras.layers.Dense(classes, activation="softmax")(x), name="small"
        )

    monkeypatch.setattr(paths, "OUTPUTS", tmp_path / "outputs")
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setitem(registry.NETWORKS, "small", small)
    settings = {
        "base": "small",
        "system": "own",
        "notebook": "17_compact",
        "recipe": "compact",
        "inputs": ["image"],
        "parameters": {},
        "teachers": ["first", "second"],
    }
    monkeypatch.setattr(parameters, "network", lambda name: dict(settings))
    return experiments.read(
        "pupil", split="official", data="synthetic", subset=14, profile="try", epochs=1
    )


def teach(experiment, name, seed):
    model = trainer.build("small", experiment.recipe, seed)
    loading.save(model, artifacts.model_path(experiment.folder, "official", name, experiment.seed))
    return model


def test_soft_labels_are_the_mean_over_teachers_and_views(experiment):
    models = [teach(experiment, name, seed) for seed, name in enumerate(("first", "second"))]
    parts = experiments.examples(experiment)
    views = [
        prediction.predict(model, parts.train, experiment.recipe, view)
        for model in models
        for view in augmentation.views(2)
    ]
    assert np.allclose(parts.train.soft_labels, np.mean(views, axis=0), atol=1e-5)
    assert parts.validation.soft_labels is None and parts.test.soft_labels is None


def test_targets_are_mixed_by_share_and_follow_the_order_of_the_batch(experiment):
    soft = np.random.default_rng(0).dirichlet(np.ones(7), 14).astype(np.float32)
    images = np.arange(14, dtype=np.uint8)[:, None, None] * np.ones((1, 48, 48), np.uint8)
    labels = np.arange(14) % 7
    unmoved = dataclasses.replace(
        experiment.recipe, **recipes.UNAUGMENTED, normalisation="raw", soft_share=0.7
    )
    data = prediction.Examples(images, labels, {}, soft)
    model = trainer.build("small", unmoved, 0)
    [(x, targets)] = prediction.Batches(data, unmoved, model, seed=0)
    order = x["image"][:, 0, 0, 0].astype(int)
    assert sorted(order) == list(range(14)) != list(order)
    assert np.allclose(targets, 0.3 * np.eye(7)[labels[order]] + 0.7 * soft[order], atol=1e-6)


@pytest.fixture
def copied(experiment):
    recipe = dataclasses.replace(experiment.recipe, copies=3, mixup=0.4)
    return dataclasses.replace(
        experiment, recipe=recipe, settings=experiment.settings | {"teacher_seeds": [0, 1]}
    )


def test_teachers_predict_for_each_copy_which_all_students_share(experiment, copied):
    models = []
    for seed in (0, 1):
        at = dataclasses.replace(experiment, seed=seed)
        models += [teach(at, name, 2 * seed + k) for k, name in enumerate(("first", "second"))]
    parts = experiments.examples(copied)
    assert parts.train.soft_labels is None and len(parts.copies) == 3
    for copy in parts.copies:
        found = [prediction.predict(model, copy, experiment.recipe) for model in models]
        assert np.allclose(copy.soft_labels, np.mean(found, axis=0), atol=1e-5)
    again = experiments.examples(dataclasses.replace(copied, seed=1))
    for one, other in zip(parts.copies, again.copies, strict=True):
        assert np.array_equal(one.images, other.images) and np.array_equal(
            one.soft_labels, other.soft_labels
        )


def test_each_copy_is_augmented_and_mixed_differently(experiment, copied):
    faces = experiments.examples(
        dataclasses.replace(experiment, settings={"inputs": ["image"]})
    ).train.images
    first, second = (distillation._copy(faces, k, copied.recipe) for k in (0, 1))
    still = dataclasses.replace(copied.recipe, **recipes.UNAUGMENTED)
    mixed, plain = (
        distillation._copy(faces, 0, dataclasses.replace(still, mixup=mixup)) for mixup in (0.4, 0)
    )
    assert not np.array_equal(first, second) and not np.array_equal(mixed, faces)
    assert np.array_equal(plain, faces)


def test_a_teacher_of_copies_sees_the_picture_alone(experiment, copied, monkeypatch):
    for name in ("first", "second"):
        for seed in (0, 1):
            teach(dataclasses.replace(experiment, seed=seed), name, seed)
    changed = experiment.settings | {"inputs": ["dsift", "image"]}
    monkeypatch.setattr(parameters, "network", lambda name: changed)
    with pytest.raises(
        TrainingError,
        match="takes dsift, image; a teacher of copies must take the image alone",
    ):
        experiments.examples(copied)


def test_a_missing_teacher_is_named_with_the_notebook_that_trains_it(experiment):
    teach(experiment, "first", 0)
    with pytest.raises(
        TrainingError,
        match="outputs/try: no model of second on official, seed 0; train this network "
        "first, by notebook 17_compact",
    ):
        experiments.examples(experiment)


def test_teachers_are_recorded_and_a_share_outside_0_to_1_is_refused(experiment):
    for seed, name in enumerate(("first", "second")):
        teach(experiment, name, seed)
    model, parts = experiments.build(experiment), experiments.examples(experiment)
    experiments.save(experiment, model, parts, experiments.fit(experiment, model, parts))
    assert artifacts.read_record(experiment.folder, "official", "pupil", 0)["teachers"] == [
        "first",
        "second",
    ]
    with pytest.raises(
        recipes.ParameterError, match=r"soft_share is 1\.5: should be less than or equal to 1"
    ):
        recipes.read("compact", soft_share=1.5)


def test_a_network_starts_from_the_weights_of_another(experiment):
    still = dataclasses.replace(experiment.recipe, learning_rate=1e-9, warmup=0.0)
    settings = {key: experiment.settings[key] for key in experiment.settings if key != "teachers"}
    settings |= {"starts_from": "first"}
    follower = dataclasses.replace(experiment, settings=settings, recipe=still)
    parts, model = experiments.examples(follower), experiments.build(follower)
    with pytest.raises(TrainingError, match="no model of first on official, seed 0; train"):
        experiments.fit(follower, model, parts)
    start = teach(experiment, "first", 5)
    history = experiments.fit(follower, model, parts)
    for one, other in zip(model.get_weights(), start.get_weights(), strict=True):
        assert np.allclose(one, other, atol=1e-5)
    experiments.save(follower, model, parts, history)
    record = artifacts.read_record(follower.folder, "official", "pupil", 0)
    assert record["starts_from"] == "first"
    other = keras.Model(model.input, keras.layers.Dense(7)(model.output), name="other")
    with pytest.raises(TrainingError, match="other: has other layers than first, its start"):
        experiments.fit(follower, other, parts)
