"""Many short trainings in one table; a sweep that was stopped goes on."""

import dataclasses
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from fercore import artifacts

if TYPE_CHECKING:  # a notebook that only shows a sweep does without Keras
    import keras

    from fercore.training.experiments import Experiment, Parts


def sweep(
    path: Path, wanted: Sequence[dict], train: Callable[..., dict], description: str
) -> pd.DataFrame:
    """The rows `wanted`, each with what `train(**row)` returns: read from the file `path`, or else
    trained and written there at once. A row that differs in `recipe` alone, or has none, gives way.
    """
    done = _read(path)
    for key in artifacts.progress([key for key in wanted if not _found(done, key)], description):
        row = key | train(**key)
        former = _found(done, {name: value for name, value in key.items() if name != "recipe"})
        done = [one for one in done if one not in former] + [row]
        artifacts.write_atomically(path, pd.DataFrame(done).to_csv(index=False))
    return pd.DataFrame([_found(done, key)[0] for key in wanted])


def stored(path: Path, **key: str | int) -> pd.DataFrame:
    """The rows of the file `path` that have the values `key`; none where there is no such file."""
    return pd.DataFrame(_found(_read(path), key))


def identity(experiment: "Experiment", **changes: Any) -> dict[str, str]:
    """What a row says of how it was trained: `faces`, and `recipe`, its name and a check sum of all
    that training follows, with `changes` of the builder's parameters: rows of others stay apart."""
    recipe, settings = dataclasses.asdict(experiment.recipe), experiment.settings  # type: ignore
    values = [recipe, settings.get("parameters"), settings.get("soft_labels"), changes]
    digest = zlib.crc32(json.dumps(values, sort_keys=True, default=str).encode())
    faces = experiment.faces
    return {
        "faces": f"{faces.origin}, {faces.fingerprint}",
        "recipe": f"{settings['recipe']} {digest:08x}",
    }


def train(experiment: "Experiment", **changes: Any) -> "tuple[keras.Model, Parts, pd.DataFrame]":
    """Train a network built with `changes`, and leave no file: best model, examples, history."""
    import keras

    from fercore.training import experiments, trainer

    keras.utils.clear_session()
    parts, model = experiments.examples(experiment), experiments.build(experiment, **changes)
    recipe, seed = experiment.recipe, experiment.seed
    return model, parts, trainer.fit(model, parts.train, parts.validation, recipe, seed=seed)


def _read(path: Path) -> list[dict]:
    return pd.read_csv(path).to_dict("records") if path.exists() else []


def _found(done: list[dict], key: dict) -> list[dict]:
    return [row for row in done if all(row.get(name) == value for name, value in key.items())]
