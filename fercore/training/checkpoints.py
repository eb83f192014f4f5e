"""The state of a training on disk, so that one that was stopped goes on where it was."""

import json
import logging
import zipfile
from pathlib import Path

import keras
import numpy as np

from fercore import artifacts
from fercore.training import optimizers

logger = logging.getLogger(__name__)


class Checkpoint:
    """The state of a training in a folder: `last.npz`, all variables and the history, and
    `best.npz`."""

    def __init__(self, folder: Path | None, model: keras.Model, key: str):
        self.folder, self.model, self.key, self.best = folder, model, key, None

    def restore(self) -> list[dict]:
        """Set the model to the last saved epoch; the history up to there, empty when there is
        none."""
        saved = self._read("last.npz")
        if saved is None:
            return []
        _assign(self._variables(), saved)
        history = json.loads(str(saved["history"]))
        logger.info("%s goes on after epoch %d", self.model.name, len(history))
        return history

    def save(self, history: list[dict]) -> None:
        """Keep the weights when this epoch is the best so far, then the state of the epoch."""
        accuracies = [
            row["val_accuracy"] for row in history if row.get("side") == history[-1].get("side")
        ]
        if accuracies[-1] > max(accuracies[:-1], default=-1.0):
            with optimizers.averaged(self.model):
                self.best = _arrays(self.model.variables)
            self._write("best.npz", self.best)
        if self.folder is not None:
            self._write(
                "last.npz", _arrays(self._variables()) | {"history": np.array(json.dumps(history))}
            )

    def load_best(self) -> None:
        """Set the model to the epoch with the highest validation accuracy (the first of equals)."""
        _assign(
            self.model.variables, self.best if self.best is not None else self._read("best.npz")
        )

    def _variables(self) -> list:
        return [*self.model.variables, *self.model.optimizer.variables]

    def _write(self, name: str, arrays: dict) -> None:
        if self.folder is not None:
            artifacts.write_arrays(
                self.folder / name, zipfile.ZIP_STORED, key=np.array(self.key), **arrays
            )

    def _read(self, name: str) -> dict | None:
        if self.folder is None or not (self.folder / name).exists():
            return None
        with np.load(self.folder / name, allow_pickle=False) as file:
            return dict(file) if str(file["key"]) == self.key else None


def _arrays(variables: list) -> dict:
    return {
        f"v{k:04d}": keras.ops.convert_to_numpy(variable) for k, variable in enumerate(variables)
    }


def _assign(variables: list, arrays: dict) -> None:
    for k, variable in enumerate(variables):
        variable.assign(arrays[f"v{k:04d}"])
