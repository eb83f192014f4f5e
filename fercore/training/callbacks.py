"""Keras callbacks of a training: history with progress bar, best weights and state on disk."""

import json
import logging
import shutil
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from fercore import artifacts
from fercore.config.recipes import learning_rate
from fercore.models import registry
from fercore.training.prediction import Batches, Examples, predict

logger = logging.getLogger(__name__)


class History(keras.callbacks.Callback):
    """Adds a row to `rows` after each epoch, as `trainer.fit` returns them, and to the logs. Moves
    `bar`. Accuracy and loss are means over faces in float64; Keras's own are float32."""

    def __init__(self, rows: list[dict], batches: Batches, validation: Examples, bar: tqdm):
        super().__init__()
        self.rows, self.batches, self.validation, self.bar = rows, batches, validation, bar
        # With JAX, `fit` keeps the metrics outside of the model; there Keras's means must do.
        self.stepwise = keras.backend.backend() != "jax"
        self.plain: list[np.ndarray] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.batches.begin(epoch)
        self.seen, self.sums, self.began = 0, np.zeros(3), time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if self.stepwise:
            self.model.reset_metrics()  # they are of the next step alone

    def on_train_batch_end(self, batch: int, logs: dict) -> None:
        seen = min((batch + 1) * self.batches.size, self.batches.faces)
        n, self.seen = seen - self.seen, seen
        self.bar.update(n)
        step = np.array([n * logs["accuracy"], n * logs["loss"], n])
        self.sums = self.sums + step if self.stepwise else step

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        accuracy, loss = (self.sums[:2] / self.sums[2]).tolist()
        recipe, steps, labels = self.batches.recipe, len(self.batches), self.validation.labels
        with averaged(self.model) as self.plain:
            found = predict(self.model, self.validation, recipe)
        given = np.maximum(found[np.arange(len(labels)), labels], 1e-7)
        learnt = {
            "accuracy": accuracy,
            "loss": loss,
            "val_accuracy": float(np.mean(found.argmax(1) == labels)),
            "val_loss": float(-np.log(given).mean()),
            "learning_rate": learning_rate(recipe, (epoch + 1) * steps - 1, recipe.epochs * steps),
        }
        row = {"epoch": epoch + 1, "side": registry.side(self.model)} | learnt
        self.rows.append(row | {"seconds": time.perf_counter() - self.began})
        logs.update(learnt)
        self.bar.set_postfix(val_accuracy=f"{learnt['val_accuracy']:.4f}")

    def on_train_end(self, logs: dict | None = None) -> None:
        if self.plain is not None:  # Keras has set the averages; training goes on from these
            self.model.set_weights(self.plain)


class Checkpoint(keras.callbacks.Callback):
    """Keeps the best weights of `model`, and in a `folder`, if any, a file of all that it needs to
    go on: its variables with those of the optimizer, the best weights, the history `rows` and the
    `key` of the training. A file of this key sets model and rows to its last epoch."""

    def __init__(self, model: keras.Model, rows: list[dict], folder: Path | None, key: str):
        super().__init__()
        self.set_model(model)
        self.rows, self.key, self.best = rows, key, list[np.ndarray]()
        self.variables = [*model.variables, *model.optimizer.variables]
        self.file = folder and folder / "last.npz"
        if self.file and self.file.exists():
            self._restore(self.file)

    def _restore(self, path: Path) -> None:
        artifacts.remove_unfinished(path.parent)
        n = len(self.variables)
        try:
            with np.load(path) as file:  # compares check sums
                if str(file["key"]) != self.key:
                    return
                history = json.loads(str(file["history"]))
                saved = [file[f"v{k}"] for k in range(n + len(self.model.variables))]
        except Exception as error:  # a damaged file shows itself in many ways
            reason = artifacts.printable(error)
            logger.warning("%s: damaged (%s); training starts anew", path, reason)
            return
        self.best, self.rows[:] = saved[n:], history
        _assign(self.variables, saved[:n])
        logger.info("%s goes on after epoch %d", self.model.name, len(history))

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        *before, last = [row for row in self.rows if row["side"] == self.rows[-1]["side"]]
        if last["val_accuracy"] > max((row["val_accuracy"] for row in before), default=-1.0):
            with averaged(self.model):
                self.best = [*map(keras.ops.convert_to_numpy, self.model.variables)]
        if self.file:
            arrays = [*map(keras.ops.convert_to_numpy, self.variables), *self.best]
            saved = {f"v{k}": array for k, array in enumerate(arrays)}
            saved |= {"key": np.array(self.key), "history": np.array(json.dumps(self.rows))}
            artifacts.write_arrays(self.file, zipfile.ZIP_STORED, **saved)

    def load_best(self) -> None:
        """Set the model to the epoch with the highest validation accuracy, the first of equals."""
        if self.best:
            _assign(self.model.variables, self.best)


def _assign(variables: list, values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@contextmanager
def averaged(model: keras.Model) -> Iterator[list[np.ndarray] | None]:
    """Within, a compiled `model` has the mean of its weights over past steps, if its optimizer
    keeps one; the weights that it gets back at the end are given."""
    plain = model.get_weights() if model.optimizer.use_ema else None
    if plain:
        model.optimizer.finalize_variable_values(model.trainable_variables)
        # Copies: JAX takes away the arrays that it predicts with.
        model.set_weights(model.get_weights())
    try:
        yield plain
    finally:
        if plain:
            model.set_weights(plain)


def forget(folder: Path) -> None:
    """Remove the checkpoint of a finished training, and the folders above that it leaves empty."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # of one that is not empty
        for above in list(folder.parents)[:3]:
            above.rmdir()
