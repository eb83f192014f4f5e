"""Keras callbacks of a training: history with progress bar, best weights and state on disk."""

import json
import logging
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from fercore import artifacts
from fercore.models import registry
from fercore.training.prediction import Batches

logger = logging.getLogger(__name__)


class History(keras.callbacks.Callback):
    """Adds a row to `rows` after each epoch: epoch, side (pixels of the faces), accuracy, loss,
    what `validate(model)` returns, learning_rate, seconds. Later callbacks find it in their logs.
    Moves `bar` by the faces seen. Accuracy and loss are means over faces in float64; Keras's own
    running means are float32."""

    def __init__(
        self,
        rows: list[dict],
        batches: Batches,
        rates: Sequence[float],
        validate: Callable[[keras.Model], dict],
        bar: tqdm,
    ):
        super().__init__()
        self.rows, self.batches, self.rates, self.validate = rows, batches, rates, validate
        self.bar = bar
        # With JAX, `fit` keeps the metrics outside of the model; there Keras's means must do.
        self.stepwise = keras.backend.backend() != "jax"
        self.plain: list[np.ndarray] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Choose the batches of the epoch."""
        self.batches.begin(epoch)
        self.seen, self.sums, self.began = 0, np.zeros(3), time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Let Keras's metrics be of the next step alone."""
        if self.stepwise:
            self.model.reset_metrics()

    def on_train_batch_end(self, batch: int, logs: dict) -> None:
        """Weigh accuracy and loss by the faces of the step."""
        seen = min((batch + 1) * self.batches.size, self.batches.faces)
        n, self.seen = seen - self.seen, seen
        self.bar.update(n)
        step = np.array([n * logs["accuracy"], n * logs["loss"], n])
        self.sums = self.sums + step if self.stepwise else step

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        """Validate and add the row."""
        accuracy, loss = (self.sums[:2] / self.sums[2]).tolist()
        learnt = {"accuracy": accuracy, "loss": loss}
        with averaged(self.model) as self.plain:
            learnt |= self.validate(self.model)
        learnt |= {"learning_rate": self.rates[(epoch + 1) * len(self.batches) - 1]}
        row = {"epoch": epoch + 1, "side": registry.side(self.model)} | learnt
        self.rows.append(row | {"seconds": time.perf_counter() - self.began})
        logs.update(learnt)
        self.bar.set_postfix(val_accuracy=f"{learnt['val_accuracy']:.4f}")
        rounded = {key: round(value, 4) for key, value in row.items()}
        logger.info("%s epoch %d: %s", self.model.name, epoch + 1, rounded)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Undo that Keras gives a model its averaged weights at the end: these go on from here."""
        if self.plain is not None:
            self.model.set_weights(self.plain)


class Checkpoint(keras.callbacks.Callback):
    """Keeps the best weights of `model`, and in a `folder`, if any, all that it needs to go on:
    `last.npz` holds all variables, those of the optimizer and of dropout among them, and `rows`,
    the history; `best.npz` the model's variables in its best epoch. Both bear the `key` of the
    training."""

    def __init__(self, model: keras.Model, rows: list[dict], folder: Path | None, key: str):
        super().__init__()
        self.set_model(model)
        self.rows, self.folder, self.key = rows, folder, key
        self.best: dict[str, np.ndarray] | None = None

    def restore(self) -> None:
        """Set the model and `rows` to the last saved epoch, where there is one under this key."""
        if self.folder is None or not (self.folder / "last.npz").exists():
            return
        artifacts.remove_unfinished(self.folder)
        try:
            last, best = (dict(np.load(self.folder / f"{name}.npz")) for name in ("last", "best"))
            history = json.loads(str(last["history"]))
        except Exception as error:  # a damaged file shows itself in many ways
            reason = artifacts.printable(error)
            logger.warning("%s: damaged (%s); training starts anew", self.folder, reason)
            return
        if str(last["key"]) == str(best["key"]) == self.key:
            _assign(self._variables(), last)
            self.best, self.rows[:] = best, history
            logger.info("%s goes on after epoch %d", self.model.name, len(history))

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        """Keep the weights when this epoch is the best so far, then the state of the epoch."""
        alike = [row for row in self.rows if row.get("side") == self.rows[-1].get("side")]
        before = max((row["val_accuracy"] for row in alike[:-1]), default=-1.0)
        if alike[-1]["val_accuracy"] > before:
            with averaged(self.model):
                self.best = _arrays(self.model.variables)
            self._write("best.npz", self.best)
        if self.folder is not None:
            history = np.array(json.dumps(self.rows))
            self._write("last.npz", _arrays(self._variables()) | {"history": history})

    def load_best(self) -> None:
        """Set the model to the epoch with the highest validation accuracy, the first of equals."""
        if self.best is not None:
            _assign(self.model.variables, self.best)

    def _variables(self) -> list:
        return [*self.model.variables, *self.model.optimizer.variables]

    def _write(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        if self.folder is not None:
            key = {"key": np.array(self.key)}
            artifacts.write_arrays(self.folder / name, zipfile.ZIP_STORED, **arrays, **key)


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


def _arrays(variables: list) -> dict[str, np.ndarray]:
    return {f"v{k:04d}": keras.ops.convert_to_numpy(each) for k, each in enumerate(variables)}


def _assign(variables: list, arrays: dict[str, np.ndarray]) -> None:
    for k, variable in enumerate(variables):
        variable.assign(arrays[f"v{k:04d}"])
