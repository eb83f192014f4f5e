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
from fercore.training.prediction import Batches, Examples

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


class Steps(keras.callbacks.Callback):
    """Counts training steps; `kill` at the end of this one, counted from 1."""

    def __init__(self, kill=None):
        super().__init__()
        self.n, self.kill = 0, kill

    def on_train_batch_end(self, batch, logs=None):
        self.n += 1
        if self.n == self.kill:
            raise KeyboardInterrupt


def trained(recipe=RECIPE, seed=0, checkpoint=None, callbacks=()):
    model = trainer.build("small", recipe, seed)
    how = {"seed": seed, "checkpoint": checkpoint, "callbacks": callbacks}
    return model, trainer.fit(model, examples(), examples(30, 1), recipe, **how)


def equal(one, other):
    return all((a == b).all() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def batches(data, recipe, names=("image", "dsift")):
    """The batches of a network with these inputs, for faces as they are and three classes."""
    given = {"image": keras.layers.Input((12, 12, 1), name="image")}
    given |= {name: keras.layers.Input((4,), name=name) for name in names if name != "image"}
    x = keras.layers.Dense(3)(keras.layers.Flatten()(given["image"]))
    return Batches(data, recipe, keras.Model(given, x), seed=0)


def of_epoch(batches, epoch):
    batches.begin(epoch)
    return list(batches)


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


def test_all_batches_are_of_one_size(monkeypatch):
    model, _ = trained()
    whole = prediction.predict(model, examples(30, 1), RECIPE)
    sizes, ask = [], model.predict_on_batch
    monkeypatch.setattr(
        model, "predict_on_batch", lambda x: sizes.append(len(x["image"])) or ask(x)
    )
    monkeypatch.setattr(prediction, "BATCH", 8)
    assert np.allclose(prediction.predict(model, examples(30, 1), RECIPE), whole, atol=1e-6)
    assert sizes == [8, 8, 8, 8]


def test_mixed_faces_have_labels_mixed_by_the_same_weight():
    gray = np.arange(30, dtype=np.uint8) % 3
    data = Examples(gray[:, None, None] * np.ones((1, 12, 12), np.uint8), gray.astype(int), {})
    unmoved = Recipe(
        batch_size=30, rotation=0, shift=0, zoom=0, flip=False, normalisation="raw", mixup=0.4
    )
    [(x, targets)] = batches(data, unmoved, ["image"])
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


@pytest.mark.parametrize("changes", [{}, {"ema_momentum": 0.9}, {"optimizer": "adam"}])
def test_a_killed_training_ends_as_an_uninterrupted_one(tmp_path, changes):
    recipe = replace(RECIPE, **changes)
    whole, expected = trained(recipe, seed=4)
    with pytest.raises(KeyboardInterrupt):  # in the third epoch of four steps
        trained(recipe, seed=4, checkpoint=tmp_path, callbacks=[Steps(kill=10)])
    resumed, history = trained(recipe, seed=4, checkpoint=tmp_path)
    columns = [name for name in history if name != "seconds"]
    assert history[columns].equals(expected[columns])
    assert equal(whole, resumed)


@pytest.mark.parametrize("damage", ["cut", "emptied", "flipped", "no archive"])
def test_a_damaged_checkpoint_is_a_new_start_with_a_warning(tmp_path, caplog, damage):
    whole, expected = trained(seed=4)
    with pytest.raises(KeyboardInterrupt):
        trained(seed=4, checkpoint=tmp_path, callbacks=[Steps(kill=10)])
    file = tmp_path / "last.npz"
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 255
    cut = bytes(content[: len(content) // 2])
    options = {"cut": cut, "emptied": b"", "flipped": bytes(content), "no archive": b"x" * 99}
    file.write_bytes(options[damage])
    steps = Steps()
    anew, history = trained(seed=4, checkpoint=tmp_path, callbacks=[steps])
    assert steps.n == 16 and list(history.loss) == list(expected.loss) and equal(whole, anew)
    assert "damaged" in caplog.text and "training starts anew" in caplog.text


def test_a_callback_of_ones_own_sees_the_history_and_can_end_the_training():
    seen = []
    watching = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs))
    stopping = keras.callbacks.EarlyStopping("val_loss", baseline=-1.0, patience=1)
    _, history = trained(callbacks=[watching, stopping])
    assert len(history) == 2 and list(history.epoch) == [1, 2]
    names = ["accuracy", "loss", "val_accuracy", "val_loss", "learning_rate"]
    for row, logs in zip(history.to_dict("records"), seen, strict=True):
        assert {name: row[name] for name in names} == {name: logs[name] for name in names}


def test_accuracy_and_loss_are_means_over_faces():
    recipe = replace(RECIPE, epochs=1, batch_size=25)  # the last batch has ten
    sums, sizes = np.zeros(2), [25, 25, 10]

    def add(batch, logs):
        sums[:] += sizes[batch] * np.array([logs["accuracy"], logs["loss"]])

    _, history = trained(recipe, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=add)])
    assert [history.accuracy[0], history.loss[0]] == list(sums / 60)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_mean_of_the_weights_over_steps_is_validated_and_kept(optimizer):
    mean = []

    class Follow(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            weights = [variable.numpy() for variable in self.model.trainable_variables]
            mean[:] = (
                [0.8 * m + 0.2 * w for m, w in zip(mean, weights, strict=True)] if mean else weights
            )

    recipe = replace(RECIPE, epochs=1, ema_momentum=0.8, optimizer=optimizer)
    model, history = trained(recipe, callbacks=[Follow()])
    kept = [variable.numpy() for variable in model.trainable_variables]
    assert all(np.allclose(m, k, atol=1e-6) for m, k in zip(mean, kept, strict=True))
    plain = trained(replace(recipe, ema_momentum=0.0))[1]
    assert history.loss[0] == pytest.approx(plain.loss[0], abs=1e-6)
    assert history.val_loss[0] != plain.val_loss[0]


def test_a_finished_training_is_not_repeated_and_another_recipe_starts_anew(tmp_path):
    _, history = trained(checkpoint=tmp_path)
    steps = Steps()
    _, again = trained(checkpoint=tmp_path, callbacks=[steps])
    assert steps.n == 0 and list(again.loss) == list(history.loss)
    _, other = trained(replace(RECIPE, learning_rate=0.01), checkpoint=tmp_path)
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
def test_a_checkpoint_of_another_network_weights_or_inputs_is_left_alone(tmp_path, change):
    def fit(builder=None, seed_of_weights=0, descriptors=1.0, soft_labels=None):
        model = trainer.build("small", RECIPE, seed_of_weights, **builder or {})
        train = examples()
        soft = None if soft_labels is None else np.full((60, 3), soft_labels, np.float32)
        train = replace(
            train, descriptors={"dsift": descriptors * train.descriptors["dsift"]}, soft_labels=soft
        )
        steps = Steps()
        how = {"seed": 0, "checkpoint": tmp_path, "callbacks": [steps]}
        trainer.fit(model, train, examples(30, 1), RECIPE, **how)
        return steps.n

    assert [fit(), fit(), fit(**change)] == [16, 0, 16]


def test_a_cell_that_is_run_again_goes_on_with_the_model_it_had(tmp_path):
    whole, expected = trained()
    model, steps = trainer.build("small", RECIPE, 0), Steps()
    how = {"seed": 0, "checkpoint": tmp_path}
    with pytest.raises(KeyboardInterrupt):  # after two epochs of four steps
        trainer.fit(model, examples(), examples(30, 1), RECIPE, callbacks=[Steps(kill=9)], **how)
    for _ in range(2):
        data = examples(), examples(30, 1)
        history = trainer.fit(model, *data, RECIPE, callbacks=[steps], **how)
        assert list(history.loss) == list(expected.loss) and steps.n == 8 and equal(whole, model)


def test_descriptor_follows_a_mirrored_face_only_when_told():
    data = examples(40)
    for follows in (True, False):
        recipe = Recipe(batch_size=40, rotation=0, shift=0, zoom=0, descriptor_follows=follows)
        [(x, labels)] = batches(data, recipe)
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
    monkeypatch.setattr(trainer.registry, "copy_weights", lambda *models: seen.append(models))
    trained(recipe)
    [(small, large)] = seen
    monkeypatch.undo()
    registry.copy_weights(small, large)
    assert (small.layers[1].kernel.numpy() == large.layers[1].kernel.numpy()).all()
    assert small.layers[-1].kernel.shape != large.layers[-1].kernel.shape


@pytest.mark.parametrize("changes", [{}, {"ema_momentum": 0.9}])
@pytest.mark.parametrize("killed", [6, 14])
def test_a_training_killed_in_either_size_ends_as_an_uninterrupted_one(tmp_path, killed, changes):
    recipe = replace(RECIPE, small_side=8, small_share=0.5, **changes)
    whole, expected = trained(recipe)
    with pytest.raises(KeyboardInterrupt):
        trained(recipe, checkpoint=tmp_path, callbacks=[Steps(kill=killed)])
    resumed, history = trained(recipe, checkpoint=tmp_path)
    assert list(history.loss) == list(expected.loss) and equal(whole, resumed)


def test_descriptor_dropout_takes_a_share_of_the_numbers_and_keeps_their_mean():
    recipe = Recipe(batch_size=60, flip=False, descriptor_dropout=0.5)
    first, again, later = (
        of_epoch(batches(examples(), recipe), epoch)[0][0]["dsift"] for epoch in (0, 0, 1)
    )
    assert (first == again).all() and (first != later).any()
    assert 0.3 < (first == 0).mean() < 0.7
    [(plain, _)] = batches(examples(), Recipe(batch_size=60, flip=False))
    assert np.allclose(first[first > 0], 2 * plain["dsift"][first > 0])


def test_modality_dropout_withholds_all_descriptors_of_a_share_of_the_faces():
    recipe = Recipe(batch_size=60, flip=False, modality_dropout=0.75)
    [(withheld, _)] = batches(examples(), recipe)
    [(plain, _)] = batches(examples(), Recipe(batch_size=60, flip=False))
    gone = (withheld["dsift"] == 0).all(1)
    assert 0.6 < gone.mean() < 0.9
    assert (withheld["dsift"][~gone] == plain["dsift"][~gone]).all()
    assert (withheld["image"] == plain["image"]).all()


def test_every_face_is_seen_once_an_epoch_in_another_order():
    data = examples(50)
    unmoved = Recipe(batch_size=16, rotation=0, shift=0, zoom=0, flip=False, normalisation="raw")
    first, second = (
        np.concatenate([x["image"] for x, _ in of_epoch(batches(data, unmoved), epoch)])
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


def test_a_record_tells_size_cost_and_course():
    model, history = trained()
    record = trainer.record(model, history, RECIPE, 60)
    assert record["epochs"] == 4 and record["parameters"] == model.count_params()
    assert (
        len(record["validation_accuracy"]) == 4 and record["recipe_parameters"]["batch_size"] == 16
    )
    assert record["best_epoch"] == int(np.argmax(history.val_accuracy)) + 1


def test_dropout_of_the_recipe_reaches_the_network():
    model = trainer.build("model_a", Recipe(dropout=0.4, crop=24), 0)
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [
        0.4
    ]
