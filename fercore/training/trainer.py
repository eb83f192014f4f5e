"""One `fit` for every network: recipe in, best weights and history out, resumable at every
epoch."""

import contextlib
import dataclasses
import json
import logging
import math
import tempfile
import time
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from fercore import artifacts
from fercore.config import recipes
from fercore.config.recipes import Recipe
from fercore.data import augmentation
from fercore.models import registry
from fercore.training import devices, optimizers, speed
from fercore.training.checkpoints import Checkpoint
from fercore.training.prediction import Examples, predict
from fercore.training.whole_epochs import WholeEpochs

logger = logging.getLogger(__name__)
_first = (
    weakref.WeakKeyDictionary()
)  # check sums of the values that a model had before it learnt anything here


class TrainingError(ValueError):
    """A trained model that cannot be used."""


def build(name: str, recipe: Recipe, seed: int, **parameters) -> keras.Model:
    """A network ready to train: weights drawn from `seed`; precision, side of the input and dropout
    as the recipe says."""
    if recipe.crop:
        parameters = {"input_shape": (recipe.crop, recipe.crop, 1)} | parameters
    if recipe.dropout is not None:
        parameters = {"dropout": recipe.dropout} | parameters
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(
        "mixed_bfloat16" if devices.precision(recipe) == "bfloat16" else "float32"
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
    on_epoch: Callable[[dict], None] | None = None,
) -> pd.DataFrame:
    """Train `model`; it ends with the weights of the epoch that was best on `validation`.

    With `checkpoint`, a folder, every epoch is saved there and a training that was stopped goes on
    from its last epoch: batches, augmentation and dropout depend on (seed, epoch) alone, so that it
    ends with the same numbers. Another network, recipe, seed or data than the checkpoint's start
    anew; so do other first weights, which are `start`, where an earlier training made them, or
    those that `model` was built with. Where the recipe says so, the first epochs train a twin for
    smaller faces, whose weights the model takes over. `copies` of the training faces, moved
    already, are what the epochs take in turn instead of moving `train`; of them the soft labels
    alone are learnt. On a GPU with Keras's JAX backend an epoch is one program, without the last
    batch where that is smaller. Returns the history, a row an epoch: epoch, side (pixels of the
    faces), accuracy, loss, val_accuracy, val_loss, learning_rate, seconds; `on_epoch` is called
    with each new row, and what it raises ends the training.
    """
    steps = math.ceil(len(train) / recipe.batch_size)
    as_they_are = dataclasses.replace(recipe, **recipes.UNAUGMENTED, mixup=0, soft_share=1)  # of copies
    bar = artifacts.progress(description=model.name, total=recipe.epochs * steps)

    def prepared(network: keras.Model, folder: Path | None) -> tuple[Checkpoint, list[dict]]:
        _compile(network, recipe)
        key = _key(network, recipe, seed, train, validation, copies, start) if folder else ""
        state = Checkpoint(folder, network, key)
        return state, state.restore()

    def trained(
        network: keras.Model, state: Checkpoint, history: list[dict], last: int
    ) -> list[dict]:
        bar.update(len(history) * steps - bar.n)

        def drawn(epoch: int) -> Iterator[tuple]:
            given, how = (copies[epoch % len(copies)], as_they_are) if copies else (train, recipe)
            return batches(
                given,
                how,
                registry.inputs(network),
                seed=seed,
                epoch=epoch,
                classes=network.output_shape[-1],
                side=registry.side(network),
            )

        at_once = keras.backend.backend() == "jax" and devices.device() == "gpu"
        with WholeEpochs(network, drawn) if at_once else contextlib.nullcontext() as whole:
            for epoch in range(len(history), last):
                began = time.perf_counter()
                rates = [
                    recipes.learning_rate(recipe, epoch * steps + k, recipe.epochs * steps)
                    for k in range(steps)
                ]
                if whole:
                    accuracy, loss = whole.train(epoch, rates, last=epoch + 1 == last)
                    bar.update(steps)
                else:
                    accuracy, loss = _step_by_step(network, drawn(epoch), rates, bar)
                row = {
                    "epoch": epoch + 1,
                    "side": registry.side(network),
                    "accuracy": accuracy,
                    "loss": loss,
                }
                with optimizers.averaged(network):
                    row |= _validate(network, validation, recipe)
                row |= {"learning_rate": rates[-1], "seconds": time.perf_counter() - began}
                history.append(row)
                state.save(history)
                bar.set_postfix(val_accuracy=f"{row['val_accuracy']:.4f}")
                logger.info(
                    "%s epoch %d: %s",
                    network.name,
                    epoch + 1,
                    {k: round(v, 4) for k, v in row.items()},
                )
                if on_epoch is not None:
                    on_epoch(row)
        return history

    state, history = prepared(model, checkpoint)
    if recipe.small_epochs and not history:
        keras.utils.set_random_seed(seed)
        small = registry.resized(model, recipe.small_side)
        history = trained(
            small, *prepared(small, checkpoint and checkpoint / "small"), recipe.small_epochs
        )
        registry.copy_weights(small, model)
    history = trained(model, state, history, recipe.epochs)
    bar.close()
    state.load_best()
    return pd.DataFrame(history)


def _step_by_step(
    model: keras.Model, drawn: Iterator[tuple], rates: list[float], bar
) -> tuple[float, float]:
    """Train on the batches of an epoch; mean accuracy and loss over its examples."""
    sums = np.zeros(3)
    for batch, rate in zip(drawn, rates, strict=True):
        model.optimizer.learning_rate = rate
        logs = model.train_on_batch(*batch, return_dict=True)
        n = len(batch[1])
        sums += n * float(logs["accuracy"]), n * float(logs["loss"]), n
        bar.update()
    accuracy, loss = (sums[:2] / sums[2]).tolist()
    return accuracy, loss


def batches(
    train: Examples,
    recipe: Recipe,
    names: list[str],
    *,
    seed: int,
    epoch: int,
    classes: int | None = None,
    side: int | None = None,
) -> Iterator[tuple]:
    """The batches of one epoch, shuffled and augmented from (seed, epoch), each made while the last
    one is used.

    Yields ({input name: array}, targets float32 [b, classes]: one-hot labels, mixed with soft ones
    if there are any). `classes` None: as many as the labels show; `side` in pixels of the faces,
    None: of the recipe's crop.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(train))
    chunks = [order[k : k + recipe.batch_size] for k in range(0, len(order), recipe.batch_size)]
    classes = classes or int(train.labels.max()) + 1
    with ThreadPoolExecutor(1) as ahead:
        pending = None
        for step, chunk in enumerate(chunks):
            rng = np.random.default_rng([seed, epoch, step])
            upcoming = ahead.submit(_batch, train.select(chunk), recipe, names, rng, classes, side)
            if pending is not None:
                yield pending.result()
            pending = upcoming
        yield pending.result()


def save_model(model: keras.Model, path: Path) -> Path:
    """Write a model as .keras, atomically."""
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "model.keras"
        model.save(temporary)
        return artifacts.write_atomically(path, temporary.read_bytes())


def load_model(path: str | Path, classes: int) -> keras.Model:
    """A trained model from a .keras file. Raises `TrainingError` when it is missing, damaged or of
    other classes."""
    if not Path(path).is_file():
        raise TrainingError(
            f"{path}: no such file; give a .keras file of this study or null to train"
        )
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise TrainingError(
            f"{Path(path).name}: no readable .keras file; train the network again"
        ) from error
    if model.output_shape[-1] != classes:
        raise TrainingError(
            f"{Path(path).name}: tells {model.output_shape[-1]} classes apart, the data has {classes}"
        )
    return model


def record(model: keras.Model, history: pd.DataFrame | None, recipe: Recipe, n_train: int) -> dict:
    """What is known of a training, for the file beside its predictions: size, course, cost, recipe,
    device.

    `history` None: a model that was loaded, of whose training nothing is known.
    """
    return {
        "parameters": model.count_params(),
        "macs": registry.multiply_adds(model),
        **(_course(history, n_train, devices.precision(recipe)) if history is not None else {}),
        "recipe_parameters": dataclasses.asdict(recipe),
        "precision": devices.precision(recipe),
        "device": devices.device(),
        **({"gpu": devices.gpu_name()} if devices.device() == "gpu" else {}),
        "backend": keras.backend.backend(),
    }


def _course(history: pd.DataFrame, n_train: int, precision: str) -> dict:
    seconds = float(history.seconds.sum())
    size = 8192 if devices.device() == "gpu" else 2048
    return {
        "epochs": len(history),
        "best_epoch": int(artifacts.best_epoch(history).epoch),
        "train_seconds": round(seconds, 1),
        "images_per_second": round(n_train * len(history) / seconds, 1),
        "matrix_product_macs": round(speed.matrix_product(precision, size)),  # a second
        "validation_accuracy": [round(accuracy, 4) for accuracy in history.val_accuracy],
    }


def _compile(model: keras.Model, recipe: Recipe) -> None:
    averaging = {"use_ema": recipe.ema_momentum > 0, "ema_momentum": recipe.ema_momentum}
    if recipe.optimizer == "adam":
        optimizer = optimizers.Adam(recipe.learning_rate, **averaging)
    else:
        nesterov = recipe.optimizer == "sgd"
        optimizer = optimizers.SGD(
            recipe.learning_rate, momentum=recipe.momentum, nesterov=nesterov, **averaging
        )
    optimizer.weight_decay = recipe.weight_decay or None
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    losses = {
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
        "binary_crossentropy": keras.losses.BinaryCrossentropy,
    }
    loss = losses[recipe.loss](label_smoothing=recipe.label_smoothing)
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    model.compile(optimizer, loss, metrics=[accuracy], jit_compile=keras.backend.backend() == "jax")
    optimizer.build(model.trainable_variables)


def _batch(
    chosen: Examples,
    recipe: Recipe,
    names: list[str],
    rng: np.random.Generator,
    classes: int,
    side: int | None,
) -> tuple:
    images, mirrored = augmentation.augment(chosen.images, rng, augmentation.augmentation(recipe))
    view = (mirrored & recipe.descriptor_follows).astype(int)
    seen = augmentation.crop(images, recipe.crop)
    seen = augmentation.resize(seen, side or seen.shape[1])
    x = {"image": augmentation.normalise(seen, recipe.normalisation)}
    withheld = rng.random(len(view)) < recipe.modality_dropout if recipe.modality_dropout else None
    for name, array in chosen.descriptors.items():
        x[name] = array[np.arange(len(view)), view]
        if recipe.descriptor_dropout:
            kept = 1 - recipe.descriptor_dropout
            x[name] = x[name] * (rng.random(x[name].shape, np.float32) < kept) / np.float32(kept)
        if withheld is not None:
            x[name] = np.where(withheld[:, None], np.float32(0), x[name])
    targets = np.eye(classes, dtype=np.float32)[chosen.labels]
    if chosen.soft_labels is not None:
        targets = (1 - recipe.soft_share) * targets + recipe.soft_share * chosen.soft_labels
    inputs = {name: x[name] for name in names}
    return _mixed(inputs, targets, rng, recipe.mixup) if recipe.mixup else (inputs, targets)


def _mixed(
    inputs: dict[str, np.ndarray], targets: np.ndarray, rng: np.random.Generator, alpha: float
) -> tuple:
    """Each example of a batch mixed with another one of it, by a weight of its own."""
    weight = rng.beta(alpha, alpha, len(targets)).astype(np.float32)
    other = rng.permutation(len(targets))

    def mix(values: np.ndarray) -> np.ndarray:
        share = weight.reshape(-1, *[1] * (values.ndim - 1))
        return share * values + (1 - share) * values[other]

    return {name: mix(values) for name, values in inputs.items()}, mix(targets)


def _validate(model: keras.Model, validation: Examples, recipe: Recipe) -> dict:
    probabilities = predict(model, validation, recipe)
    given = probabilities[np.arange(len(validation)), validation.labels]
    accuracy = float(np.mean(probabilities.argmax(1) == validation.labels))
    return {"val_accuracy": accuracy, "val_loss": float(-np.log(np.maximum(given, 1e-7)).mean())}


def _key(
    model: keras.Model,
    recipe: Recipe,
    seed: int,
    train: Examples,
    validation: Examples,
    copies: Sequence[Examples],
    start: Sequence[np.ndarray] | None,
) -> str:
    """What a checkpoint belongs to: another network, first weights, recipe, seed, data or soft
    labels start anew.

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
    return json.dumps(
        [model.name, _layers(model), dataclasses.asdict(recipe), seed, sums, checks], default=str
    )


def _checks(arrays: Iterable[np.ndarray]) -> list:
    """Shape and check sum of each array."""
    return [
        [list(array.shape), zlib.crc32(np.ascontiguousarray(array).view(np.uint8))]
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
