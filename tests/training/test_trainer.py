"""One fit for every network: it learns, keeps its best epoch, and goes on where it was stopped."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from fercore import artifacts
from fercore.config.recipes import Recipe
from fercore.data import augmentation
from fercore.models import registry
from fercore.training import prediction, trainer
from fercore.training.prediction import Examples
from fercore.training.trainer import TrainingError

RECIPE = Recipe(epochs=4, batch_size=16, learning_rate=0.05, precision="float32")


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    def small(classes=3, activation="relu"):
        image = keras.layers.Input((12, 12, 1), name="image")
        vector = keras.layers.Input((4,), name="dsift")
        x = keras.layers.Conv2D(4, 3, activation=activation)(image)
        x = keras.layers.Dropout(0.2)(keras.layers.BatchNormalization()(x))
        x = keras.layers.Concatenate()([keras.layers.Flatten()(x), vector])
        x = keras.layers.Dense(classes, activation="softmax")(x)
        return keras.Model({"image": image, "dsift": vector}, x, name="small")

    monkeypatch.setitem(registry.NETWORKS, "small", small)


def examples(n=60, seed=0):
    """Three classes told apart by the height of a bright bar."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    images = rng.integers(0, 60, (n, 12, 12), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 + 3 * label : 4 + 3 * label] = 220
    return Examples(images, labels, {"dsift": rng.random((n, 2, 4)).astype(np.float32)})


def trained(recipe=RECIPE, seed=0, checkpoint=None):
    model = trainer.build("small", recipe, seed)
    history = trainer.fit(
        model, examples(), examples(30, 1), recipe, seed=seed, checkpoint=checkpoint
    )
    return model, history


def test_copies_stand_in_for_the_faces_and_their_soft_labels_for_the_labels():
    data = examples(120)
    truth = np.eye(3, dtype=np.float32)[data.labels]
    copies = [
        replace(data.select(part), labels=np.zeros(60, int), soft_labels=truth[part])
        for part in (np.arange(60), np.arange(60, 120))
    ]
    recipe = replace(
        RECIPE, epochs=6, soft_share=0.1, mixup=0.4
    )  # which the copies, made already, do not follow
    model = trainer.build("small", recipe, 0)
    untouched = replace(data.select(np.arange(60)), labels=np.zeros(60, int))
    history = trainer.fit(model, untouched, examples(30, 1), recipe, seed=0, copies=copies)
    assert history.val_accuracy.iloc[-1] > 0.9


def test_all_batches_asked_are_of_one_size(monkeypatch):
    model, _ = trained()
    whole = trainer.predict(model, examples(30, 1), RECIPE)
    sizes, ask = [], model.predict_on_batch
    monkeypatch.setattr(
        model, "predict_on_batch", lambda x: sizes.append(len(x["image"])) or ask(x)
    )
    monkeypatch.setattr(prediction, "BATCH", 8)
    assert np.allclose(trainer.predict(model, examples(30, 1), RECIPE), whole, atol=1e-6)
    assert sizes == [8, 8, 8, 8]


def test_mixed_faces_have_labels_mixed_by_the_same_weight():
    grey = np.arange(30, dtype=np.uint8) % 3
    data = Examples(grey[:, None, None] * np.ones((1, 12, 12), np.uint8), grey.astype(int), {})
    unmoved = Recipe(
        batch_size=30, rotation=0, shift=0, zoom=0, flip=False, normalisation="raw", mixup=0.4
    )
    [(x, targets)] = trainer.batches(data, unmoved, ["image"], seed=0, epoch=0)
    assert np.allclose(targets.sum(1), 1) and (targets.max(1) < 1).mean() > 0.05
    assert np.allclose(x["image"].mean((1, 2, 3)), targets @ [0, 1, 2], atol=1e-5)


def test_learns_and_ends_with_the_best_epoch():
    model, history = trained(
        Recipe(
            epochs=8,
            batch_size=16,
            learning_rate=0.1,
            rotation=0,
            shift=0,
            zoom=0,
            precision="float32",
        )
    )
    validation = examples(30, 1)
    accuracy = (prediction.predict(model, validation, RECIPE).argmax(1) == validation.labels).mean()
    assert history.val_accuracy.max() > 0.8
    assert accuracy == pytest.approx(history.val_accuracy.max())
    assert list(history.epoch) == list(range(1, 9))


def test_a_seed_gives_the_same_numbers_and_another_seed_others():
    (one, first), (two, second), (_, third) = trained(seed=1), trained(seed=1), trained(seed=2)
    assert all((a == b).all() for a, b in zip(one.get_weights(), two.get_weights(), strict=True))
    assert list(first.loss) == list(second.loss) != list(third.loss)


@pytest.mark.parametrize("ema_momentum", [0.0, 0.9])
def test_a_killed_training_ends_as_an_uninterrupted_one(tmp_path, monkeypatch, ema_momentum):
    recipe = Recipe(**{**vars(RECIPE), "ema_momentum": ema_momentum})
    whole, expected = trained(recipe, seed=4)
    step, calls = keras.Model.train_on_batch, []

    def killed_in_the_third_epoch(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 10:  # four steps an epoch
            raise KeyboardInterrupt
        return step(self, *arguments, **options)

    monkeypatch.setattr(keras.Model, "train_on_batch", killed_in_the_third_epoch)
    with pytest.raises(KeyboardInterrupt):
        trained(recipe, seed=4, checkpoint=tmp_path)
    monkeypatch.setattr(keras.Model, "train_on_batch", step)
    resumed, history = trained(recipe, seed=4, checkpoint=tmp_path)
    assert list(history.loss) == list(expected.loss)
    assert all(
        (a == b).all() for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True)
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_mean_of_the_weights_over_steps_is_validated_and_kept(optimizer, monkeypatch):
    step, mean = keras.Model.train_on_batch, None

    def followed(self, *arguments, **options):
        nonlocal mean
        logs, weights = (
            step(self, *arguments, **options),
            [variable.numpy() for variable in self.trainable_variables],
        )
        mean = (
            weights
            if mean is None
            else [0.8 * m + 0.2 * w for m, w in zip(mean, weights, strict=True)]
        )
        return logs

    monkeypatch.setattr(keras.Model, "train_on_batch", followed)
    model, history = trained(
        Recipe(**{**vars(RECIPE), "epochs": 1, "ema_momentum": 0.8, "optimizer": optimizer})
    )
    kept = [variable.numpy() for variable in model.trainable_variables]
    assert all(np.allclose(m, k, atol=1e-6) for m, k in zip(mean, kept, strict=True))
    plain = trained(Recipe(**{**vars(RECIPE), "epochs": 1, "optimizer": optimizer}))[1]
    assert (
        history.loss[0] == pytest.approx(plain.loss[0], abs=1e-6)
        and history.val_loss[0] != plain.val_loss[0]
    )


def test_a_finished_training_is_not_repeated_and_another_recipe_starts_anew(tmp_path, monkeypatch):
    _, history = trained(checkpoint=tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(
            keras.Model, "train_on_batch", lambda *_, **__: pytest.fail("trained again")
        )
        _, again = trained(checkpoint=tmp_path)
    assert list(again.loss) == list(history.loss)
    _, other = trained(Recipe(**{**vars(RECIPE), "learning_rate": 0.01}), checkpoint=tmp_path)
    assert list(other.loss) != list(history.loss)


@pytest.mark.parametrize(
    "change",
    [
        {"builder": {"activation": "tanh"}},
        {"seed_of_weights": 1},
        {"descriptors": 0.5},
        {"soft_labels": 1 / 3},
    ],
)
def test_a_checkpoint_of_another_network_weights_or_inputs_is_left_alone(
    tmp_path, monkeypatch, change
):
    def fit(builder=None, seed_of_weights=0, descriptors=1.0, soft_labels=None):
        model = trainer.build("small", RECIPE, seed_of_weights, **builder or {})
        train = examples()
        soft = None if soft_labels is None else np.full((60, 3), soft_labels, np.float32)
        train = replace(
            train, descriptors={"dsift": descriptors * train.descriptors["dsift"]}, soft_labels=soft
        )
        return trainer.fit(model, train, examples(30, 1), RECIPE, seed=0, checkpoint=tmp_path)

    fit()
    steps = []
    step = keras.Model.train_on_batch
    monkeypatch.setattr(
        keras.Model, "train_on_batch", lambda *a, **k: steps.append(1) or step(*a, **k)
    )
    fit()
    assert not steps
    fit(**change)
    assert steps


def test_a_cell_that_is_run_again_goes_on_with_the_model_it_had(tmp_path, monkeypatch):
    def kill(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    whole, expected = trained()
    model, step, steps = trainer.build("small", RECIPE, 0), keras.Model.train_on_batch, []
    asked = {"seed": 0, "checkpoint": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(model, examples(), examples(30, 1), RECIPE, **asked, on_epoch=kill)
    monkeypatch.setattr(
        keras.Model, "train_on_batch", lambda *a, **k: steps.append(1) or step(*a, **k)
    )
    for _ in range(2):
        history = trainer.fit(model, examples(), examples(30, 1), RECIPE, **asked)
        assert list(history.loss) == list(expected.loss) and len(steps) == 8  # four steps an epoch
        assert all(
            (a == b).all() for a, b in zip(whole.get_weights(), model.get_weights(), strict=True)
        )


def test_descriptor_follows_a_mirrored_face_only_when_told():
    data = examples(40)
    for follows in (True, False):
        recipe = Recipe(batch_size=40, rotation=0, shift=0, zoom=0, descriptor_follows=follows)
        [(x, labels)] = list(trainer.batches(data, recipe, ["image", "dsift"], seed=0, epoch=0))
        assert labels.shape == (40, 3) and (labels.sum(axis=1) == 1).all()
        plain = augmentation.normalise(data.images)
        for k in range(40):
            source = int(
                np.abs(data.descriptors["dsift"] - x["dsift"][k]).sum(axis=2).min(axis=1).argmin()
            )
            unmoved = np.allclose(x["image"][k], plain[source])
            view = 0 if unmoved or not follows else 1
            assert (x["dsift"][k] == data.descriptors["dsift"][source, view]).all()


def test_the_first_epochs_see_smaller_faces_and_hand_their_weights_over(monkeypatch):
    recipe = Recipe(**{**vars(RECIPE), "small_side": 8, "small_share": 0.5})
    history = trained(recipe)[1]
    assert list(history.side) == [8, 8, 12, 12] and list(history.epoch) == [1, 2, 3, 4]
    assert (
        artifacts.best_epoch(history.assign(val_accuracy=[0.9, 0.8, 0.3, 0.2])).epoch == 3
    )  # of those with whole faces

    seen = []
    monkeypatch.setattr(trainer.networks, "copy_weights", lambda *models: seen.append(models))
    trained(recipe)
    [(small, large)] = seen
    monkeypatch.undo()
    registry.copy_weights(small, large)
    assert (small.layers[1].kernel.numpy() == large.layers[1].kernel.numpy()).all()
    assert small.layers[-1].kernel.shape != large.layers[-1].kernel.shape


@pytest.mark.parametrize("killed", [1, 3])
def test_a_training_killed_in_either_size_ends_as_an_uninterrupted_one(tmp_path, killed):
    def kill(row):
        if row["epoch"] == killed:
            raise KeyboardInterrupt

    recipe = Recipe(**{**vars(RECIPE), "small_side": 8, "small_share": 0.5})
    whole, expected = trained(recipe)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(
            trainer.build("small", recipe, 0),
            examples(),
            examples(30, 1),
            recipe,
            seed=0,
            checkpoint=tmp_path,
            on_epoch=kill,
        )
    resumed, history = trained(recipe, checkpoint=tmp_path)
    assert list(history.loss) == list(expected.loss)
    assert all(
        (a == b).all() for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True)
    )


def test_descriptor_dropout_takes_a_share_of_the_numbers_and_keeps_their_mean():
    recipe = Recipe(batch_size=60, flip=False, descriptor_dropout=0.5)
    first, again, later = (
        next(trainer.batches(examples(), recipe, ["dsift"], seed=0, epoch=epoch))[0]["dsift"]
        for epoch in (0, 0, 1)
    )
    assert (first == again).all() and (first != later).any()
    assert 0.3 < (first == 0).mean() < 0.7
    [(plain, _)] = trainer.batches(
        examples(), Recipe(batch_size=60, flip=False), ["dsift"], seed=0, epoch=0
    )
    assert np.allclose(first[first > 0], 2 * plain["dsift"][first > 0])


def test_modality_dropout_withholds_all_descriptors_of_a_share_of_the_faces():
    recipe = Recipe(batch_size=60, flip=False, modality_dropout=0.75)
    [(withheld, _)] = trainer.batches(examples(), recipe, ["image", "dsift"], seed=0, epoch=0)
    [(plain, _)] = trainer.batches(
        examples(), Recipe(batch_size=60, flip=False), ["image", "dsift"], seed=0, epoch=0
    )
    gone = (withheld["dsift"] == 0).all(1)
    assert 0.6 < gone.mean() < 0.9
    assert (withheld["dsift"][~gone] == plain["dsift"][~gone]).all()
    assert (withheld["image"] == plain["image"]).all()


def test_every_face_is_seen_once_an_epoch_in_another_order():
    data = examples(50)
    unmoved = Recipe(batch_size=16, rotation=0, shift=0, zoom=0, flip=False, normalisation="raw")
    first, second = (
        np.concatenate(
            [x["image"] for x, _ in trainer.batches(data, unmoved, ["image"], seed=0, epoch=epoch)]
        )
        for epoch in (0, 1)
    )
    assert first.sum() == second.sum() == data.images.astype(np.float32).sum()
    assert (first != second).any()


def test_mirrored_predictions_use_mirrored_descriptors():
    model, _ = trained()
    data = examples(10, 2)
    flipped = Examples(
        data.images[:, :, ::-1], data.labels, {"dsift": data.descriptors["dsift"][:, ::-1]}
    )
    expected = prediction.predict(model, flipped, RECIPE)
    assert np.allclose(
        prediction.predict(model, data, RECIPE, augmentation.View(mirror=True)), expected, atol=1e-6
    )


def test_saved_models_come_back_and_bad_files_are_one_line(tmp_path):
    model, _ = trained()
    path = trainer.save_model(model, tmp_path / "small.keras")
    data = examples(5, 3)
    again = trainer.load_model(path, classes=3)
    assert np.allclose(
        prediction.predict(model, data, RECIPE), prediction.predict(again, data, RECIPE), atol=1e-6
    )
    with pytest.raises(TrainingError, match=r"small.keras: tells 3 classes apart, the data has 7"):
        trainer.load_model(path, classes=7)
    whole = path.read_bytes()
    middle, headers = bytearray(whole), whole.replace(b"PK\x01\x02", b"PK\x00\x00")
    middle[len(whole) // 2] ^= 255
    for damaged in (whole[:50], middle, headers):
        path.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"small.keras: no readable .keras file"):
            trainer.load_model(path, classes=3)
    with pytest.raises(TrainingError, match="no such file"):
        trainer.load_model(tmp_path / "none.keras", classes=3)


def test_a_record_tells_size_cost_and_course():
    model, history = trained()
    record = trainer.record(model, history, RECIPE, 60)
    assert record["epochs"] == 4 and record["parameters"] == model.count_params()
    assert (
        len(record["validation_accuracy"]) == 4 and record["recipe_parameters"]["batch_size"] == 16
    )
    assert record["best_epoch"] == int(np.argmax(history.val_accuracy)) + 1


def test_predictions_hold_both_splits():
    model, _ = trained()
    saved = prediction.predictions(model, examples(4, 1), examples(6, 2), np.arange(10), RECIPE)
    assert isinstance(saved, artifacts.Predictions)
    assert saved.part.tolist() == [1] * 4 + [2] * 6 and saved.probabilities_tta.shape == (10, 3)
    both = [
        prediction.predict(model, examples(6, 2), RECIPE, view) for view in augmentation.views(10)
    ]
    ten = prediction.predictions(
        model, examples(4, 1), examples(6, 2), np.arange(10), RECIPE, views=10
    )
    assert np.allclose(ten.of(artifacts.TEST)[1], np.mean(both, axis=0)) and np.allclose(
        ten.of(artifacts.TEST)[0], both[0]
    )


def test_each_epoch_is_told_and_can_end_the_training():
    rows = []

    def told(row):
        rows.append(row)
        if row["epoch"] == 2:
            raise StopIteration

    model = trainer.build("small", RECIPE, 0)
    with pytest.raises(StopIteration):
        trainer.fit(model, examples(), examples(30, 1), RECIPE, seed=0, on_epoch=told)
    assert [row["epoch"] for row in rows] == [1, 2] and 0 <= rows[0]["val_accuracy"] <= 1


def test_dropout_of_the_recipe_reaches_the_network():
    model = trainer.build("model_a", Recipe(dropout=0.4, crop=24), 0)
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [
        0.4
    ]
