"""One `fit` for every network: recipe in, best weights and history out, resumable at every
epoch."""

import dataclasses
import hashlib
import json
import os
import time
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
from fercore.training.callbacks import Checkpoint, History, Progress
from fercore.training.prediction import Batches, Examples, predict

STEPS_AT_ONCE = 16  # on a GPU, which is otherwise idle while Python starts the next step
_first: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # check sums of built weights


def build(name: str, recipe: Recipe, seed: int, **parameters) -> keras.Model:
    """A network ready to train: weights drawn from `seed`; precision, side of the input and dropout
    as the recipe says."""
    if recipe.crop:
        parameters = {"input_shape": (recipe.crop, recipe.crop, 1)} | parameters
    if recipe.dropout is not None:
        parameters = {"dropout": recipe.dropout} | parameters
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(
        "mixed_bfloat16" if precision(recipe) == "bfloat16" else "float32"
    )
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
    start: Sequence[np.ndarray] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> pd.DataFrame:
    """Train `model` by Keras's `fit`; it ends with the weights of the epoch that was best on
    `validation`.

    With `checkpoint`, a folder, every epoch is saved there and a training that was stopped goes on
    from its last epoch: batches, augmentation and dropout depend on (seed, epoch, step) alone, so
    that it ends with the same numbers. Another network, recipe, seed or data than the checkpoint's
    start anew; so do other first weights, which are `start`, where an earlier training made them,
    or those that `model` was built with. Where the recipe says so, the first epochs train a twin
    for smaller faces, whose weights the model takes over. With `copies` of the training faces,
    epochs take these in turn, as `Batches` does. `callbacks`, Keras's or one's own, find in the
    logs of an epoch what its row in the history says, and may end the training; the learning rate
    is the recipe's, not theirs to set. Returns the history, a row an epoch: epoch, side (pixels of
    the faces), accuracy, loss, val_accuracy, val_loss, learning_rate, seconds.
    """
    steps, small = -(-len(train) // recipe.batch_size), recipe.small_epochs
    total = recipe.epochs * steps
    rates = [recipes.learning_rate(recipe, step, total) for step in range(total)]
    rows: list[dict] = []

    def prepared(network: keras.Model, folder: Path | None, epoch: int) -> Checkpoint:
        _compile(network, recipe, rates[epoch * steps :])
        of = key(network, recipe, seed, train, validation, copies, start) if folder else ""
        state = Checkpoint(network, rows, folder, of)
        state.restore()
        return state

    def trained(network: keras.Model, state: Checkpoint, epochs: int) -> None:
        names, classes = registry.inputs(network), network.output_shape[-1]
        kinds = {"classes": classes, "side": registry.side(network), "copies": copies}
        batches = Batches(train, recipe, names, seed=seed, **kinds)
        history = History(rows, batches, rates, lambda model: _validate(model, validation, recipe))
        followers = [history, state, Progress(bar, steps), *callbacks]
        if len(rows) < epochs:
            epochs_left = {"initial_epoch": len(rows), "epochs": epochs}
            # The batches are shuffled already; Keras would shuffle their order once more.
            network.fit(batches, callbacks=followers, verbose=0, shuffle=False, **epochs_left)

    state = prepared(model, checkpoint, small)
    with artifacts.progress(description=model.name, total=total) as bar:
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
    start: Sequence[np.ndarray] | None = None,
) -> str:
    """What the weights that `fit` ends with follow from, as a digest: network, recipe, seed, data,
    soft targets and first weights.

    The first weights of a model that has learnt already, such as one whose training was stopped,
    are those from before.
    """
    sums = [
        [len(part), int(part.images.sum()), int((part.labels * np.arange(len(part))).sum())]
        for part in (train, validation)
    ]
    arrays = [
        array for part in (train, validation) for _, array in sorted(part.descriptors.items())
    ]
    arrays += [part.soft_labels for part in (train, *copies) if part.soft_labels is not None]
    built = _first.setdefault(
        model, _checks(keras.ops.convert_to_numpy(variable) for variable in model.variables)
    )
    checks = _checks(arrays), built if start is None else _checks(start)
    all_of_it = [model.name, _layers(model), dataclasses.asdict(recipe), seed, sums, checks]
    return hashlib.sha256(json.dumps(all_of_it, default=str).encode()).hexdigest()


def record(model: keras.Model, history: pd.DataFrame | None, recipe: Recipe, n_train: int) -> dict:
    """What is known of a training, for the file beside its predictions: size, course, cost, recipe,
    device.

    `history` None: a model that was loaded, of whose training nothing is known.
    """
    found: dict = {"parameters": model.count_params(), "macs": registry.multiply_adds(model)}
    if history is not None:
        seconds = float(history.seconds.sum())
        size = 8192 if device() == "gpu" else 2048
        found |= {
            "epochs": len(history),
            "best_epoch": int(artifacts.best_epoch(history).epoch),
            "train_seconds": round(seconds, 1),
            "images_per_second": round(n_train * len(history) / seconds, 1),
            "matrix_product_macs": round(matrix_product(precision(recipe), size)),  # a second
            "validation_accuracy": [round(accuracy, 4) for accuracy in history.val_accuracy],
        }
    found |= {"recipe_parameters": dataclasses.asdict(recipe), "precision": precision(recipe)}
    gpu = {"gpu": gpu_name()} if device() == "gpu" else {}
    return found | {"device": device(), **gpu, "backend": keras.backend.backend()}


def precision(recipe: Recipe) -> str:
    """'bfloat16' or 'float32'. Precision 'auto' is bfloat16 where the processor multiplies in it,
    or on a GPU."""
    if recipe.precision != "auto":
        return recipe.precision
    return "bfloat16" if device() == "gpu" or _processor_has_bfloat16() else "float32"


def device() -> str:
    """'gpu' when Keras's backend sees one, else 'cpu'."""
    if keras.backend.backend() == "torch":  # for which keras.distribution has no devices
        import torch

        return "gpu" if torch.cuda.is_available() else "cpu"
    if keras.backend.backend() == "jax":  # which fails when asked for a kind that is not there
        import jax

        return "gpu" if jax.default_backend() == "gpu" else "cpu"
    return "gpu" if keras.distribution.list_devices("gpu") else "cpu"


def gpu_name() -> str:
    """The GPU that Keras's backend computes on, as its maker calls it."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.get_device_name()
    if keras.backend.backend() == "jax":
        import jax

        return jax.devices()[0].device_kind
    import tensorflow as tf

    first = tf.config.list_physical_devices("GPU")[0]
    return tf.config.experimental.get_device_details(first)["device_name"]


def matrix_product(precision: str, size: int = 2048, repeats: int = 5) -> float:
    """Multiply-adds per second of a product of two matrices [size, size] in 'bfloat16' or
    'float32', measured. A GPU needs larger ones to be busy."""
    matrix = keras.ops.cast(np.random.default_rng(0).normal(size=(size, size)), precision)
    keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix)[:1, :1])
    start = time.perf_counter()
    for _ in range(repeats):
        keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix)[:1, :1])
    return repeats * size**3 / (time.perf_counter() - start)


def _compile(model: keras.Model, recipe: Recipe, rates: Sequence[float]) -> None:
    """Make a model ready to be trained by the recipe, step k at learning rate `rates[k]`."""
    losses = {
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
        "binary_crossentropy": keras.losses.BinaryCrossentropy,
    }
    optimizer = optimizers.optimizer(recipe, rates)
    gpu, jax = device() == "gpu", keras.backend.backend() == "jax"
    model.compile(
        optimizer,
        losses[recipe.loss](label_smoothing=recipe.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=jax,
        steps_per_execution=STEPS_AT_ONCE if gpu else 1,
    )
    optimizer.build(model.trainable_variables)


def _validate(model: keras.Model, validation: Examples, recipe: Recipe) -> dict:
    probabilities = predict(model, validation, recipe)
    given = probabilities[np.arange(len(validation)), validation.labels]
    accuracy = float(np.mean(probabilities.argmax(1) == validation.labels))
    return {"val_accuracy": accuracy, "val_loss": float(-np.log(np.maximum(given, 1e-7)).mean())}


def _checks(arrays: Iterable[np.ndarray]) -> list:
    """Shape and check sum of each array."""
    return [
        [list(array.shape), zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data)]
        for array in arrays
    ]


def _layers(model: keras.Model) -> list:
    """Kind and values of each layer; not its name, which counts what was built before."""
    return [
        _layers(layer)
        if isinstance(layer, keras.Model)
        else [
            type(layer).__name__,
            {key: value for key, value in layer.get_config().items() if key != "name"},
        ]
        for layer in model.layers
    ]


def _processor_has_bfloat16() -> bool:
    """Whether Linux lists bfloat16 multiplication among the processor's flags; elsewhere False."""
    if not os.path.exists("/proc/cpuinfo"):
        return False
    flags = Path("/proc/cpuinfo").read_text()
    return "avx512_bf16" in flags or "amx_bf16" in flags
