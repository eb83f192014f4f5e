"""One `fit` for every network: recipe in, best weights and history out, resumable."""

import dataclasses
import hashlib
import json
import weakref
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from fercore import artifacts
from fercore.config import recipes
from fercore.config.recipes import Recipe
from fercore.models import registry
from fercore.training import optimizers
from fercore.training.callbacks import Checkpoint, History
from fercore.training.prediction import Batches, Examples

STEPS_AT_ONCE = 16  # on a GPU, which is otherwise idle while Python starts the next step
_first: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # check sums of built weights


def build(name: str, recipe: Recipe, seed: int, **parameters) -> keras.Model:
    """A network, weights drawn from `seed`; precision, side and dropout as the recipe says."""
    if recipe.crop:
        parameters = {"input_shape": (recipe.crop, recipe.crop, 1)} | parameters
    if recipe.dropout is not None:
        parameters = {"dropout": recipe.dropout} | parameters
    keras.utils.set_random_seed(seed)
    mixed = precision(recipe) == "bfloat16"
    keras.config.set_dtype_policy("mixed_bfloat16" if mixed else "float32")
    try:
        return registry.build(name, **parameters)
    finally:
        keras.config.set_dtype_policy("float32")


def fit(
    model: keras.Model,
    train: Examples,
    validation: Examples,
    recipe: Recipe,
    *,
    seed: int,
    copies: Sequence[Examples] = (),
    checkpoint: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> pd.DataFrame:
    """Train `model` by Keras's `fit`; it ends with the weights of the epoch that was best on
    `validation`. Returns the history by epoch: its number, side (pixels of the faces), accuracy,
    loss, val_accuracy, val_loss, learning_rate, seconds.

    With `checkpoint`, a folder, every epoch is saved there and a training of the same `key` that
    was stopped goes on, to the same numbers. Where the recipe says so, the first epochs train a
    twin for smaller faces, whose weights the model takes over. `copies` as in `Batches`.
    `callbacks` find an epoch's row in their logs, and may end the training.
    """
    steps, small = -(-len(train) // recipe.batch_size), recipe.small_epochs
    total = recipe.epochs * steps
    rates = [recipes.learning_rate(recipe, step, total) for step in range(total)]
    rows: list[dict] = []

    def prepared(network: keras.Model, folder: Path | None, epoch: int) -> Checkpoint:
        _compile(network, recipe, rates[epoch * steps :])
        of = key(network, recipe, seed, train, validation, copies) if folder else ""
        return Checkpoint(network, rows, folder, of)

    def trained(network: keras.Model, state: Checkpoint, epochs: int) -> None:
        batches = Batches(train, recipe, network, seed=seed, copies=copies)
        followers = [History(rows, batches, validation, bar), state, *callbacks]
        bar.update(len(rows) * len(train) - bar.n)
        if len(rows) < epochs:
            how = {"initial_epoch": len(rows), "epochs": epochs, "verbose": 0}
            # The batches are shuffled already; Keras would shuffle their order once more.
            network.fit(batches, callbacks=followers, shuffle=False, **how)

    state = prepared(model, checkpoint, small)
    with artifacts.progress(description=model.name, total=recipe.epochs * len(train)) as bar:
        if recipe.small_side and small and not rows:
            keras.utils.set_random_seed(seed)
            twin = registry.resized(model, recipe.small_side)
            trained(twin, prepared(twin, checkpoint and checkpoint / "small", 0), small)
            registry.copy_weights(twin, model)
        trained(model, state, recipe.epochs)
    state.load_best()
    return pd.DataFrame(rows)


def key(
    model: keras.Model,
    recipe: Recipe,
    seed: int,
    train: Examples,
    validation: Examples,
    copies: Sequence[Examples] = (),
) -> str:
    """A digest of what the weights that `fit` ends with follow from: network, recipe, seed, data,
    soft targets and first weights, those that a model had before it learnt."""
    data = [part.soft_labels for part in (train, *copies) if part.soft_labels is not None]
    for part in (train, validation):
        data += [part.images, part.labels, *part.descriptors.values()]
    weights = map(keras.ops.convert_to_numpy, model.variables)
    sums = checks(data), _first.setdefault(model, checks(weights))
    all_of_it = [model.name, structure(model), dataclasses.asdict(recipe), seed, sums]
    return hashlib.sha256(json.dumps(all_of_it, default=str).encode()).hexdigest()


def structure(model: keras.Model) -> list:
    """Kind and values of each layer; not its name, which counts what was built before."""
    return [
        structure(layer)
        if isinstance(layer, keras.Model)
        else layer.get_config() | {"name": type(layer).__name__}
        for layer in model.layers
    ]


def record(model: keras.Model, history: pd.DataFrame | None, recipe: Recipe, n_train: int) -> dict:
    """What is known of a training. `history` None: the model was loaded."""
    found: dict = {"parameters": model.count_params(), "macs": registry.multiply_adds(model)}
    if history is not None:
        seconds = float(history.seconds.sum())
        found |= {
            "epochs": len(history),
            "best_epoch": int(artifacts.best_epoch(history).epoch),
            "train_seconds": round(seconds, 1),
            "images_per_second": round(n_train * len(history) / seconds, 1),
            "validation_accuracy": [round(accuracy, 4) for accuracy in history.val_accuracy],
        }
    found |= {"recipe_parameters": dataclasses.asdict(recipe), "precision": precision(recipe)}
    found |= {"device": device(), "backend": keras.backend.backend()}
    return found | ({"gpu": gpu()} if gpu() else {})


def precision(recipe: Recipe) -> str:
    """'bfloat16' or 'float32'; 'auto' is bfloat16 on a GPU and processors that multiply in it."""
    if recipe.precision != "auto":
        return recipe.precision
    known = Path("/proc/cpuinfo")
    flags = known.read_text() if known.exists() else ""
    return "bfloat16" if gpu() or "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


def device() -> str:
    """'gpu' when Keras's backend sees one, else 'cpu'."""
    return "gpu" if gpu() else "cpu"


def gpu() -> str | None:
    """The GPU that Keras's backend computes on, as its maker calls it; None without one."""
    if keras.backend.backend() == "jax":
        import jax

        first = jax.devices()[0]
        return first.device_kind if first.platform == "gpu" else None
    import tensorflow as tf

    found = tf.config.get_visible_devices("GPU")
    return tf.config.experimental.get_device_details(found[0])["device_name"] if found else None


def _compile(model: keras.Model, recipe: Recipe, rates: Sequence[float]) -> None:
    binary = recipe.loss == "binary_crossentropy"
    loss = keras.losses.BinaryCrossentropy if binary else keras.losses.CategoricalCrossentropy
    optimizer = optimizers.optimizer(recipe, rates)
    model.compile(
        optimizer,
        loss(label_smoothing=recipe.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=keras.backend.backend() == "jax",
        steps_per_execution=STEPS_AT_ONCE if device() == "gpu" else 1,
    )
    optimizer.build(model.trainable_variables)


def checks(arrays: Iterable[np.ndarray]) -> list:
    """Shape and check sum of each array."""
    return [
        [list(array.shape), zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data)]
        for array in arrays
    ]
