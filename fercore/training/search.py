"""Hyper-parameters found by trial: Optuna's tree-structured Parzen estimator (TPE) over a recipe's
values.

Bergstra et al., 'Algorithms for hyper-parameter optimization', NIPS 2011. A trial is one training;
validation faces alone decide. The search lives in a database: it can be stopped and goes on, and
several machines can share one.
"""

import dataclasses
import os
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import keras
import optuna
import pandas as pd
from keras.callbacks import LambdaCallback
from optuna.trial import TrialState

from fercore import artifacts
from fercore.config.parameters import Search
from fercore.training import experiments, trainer
from fercore.training.experiments import Experiment, Parts

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


class SearchError(ValueError):
    """A search that cannot be made as asked."""


def open_study(
    name: str,
    experiment: Experiment,
    space: Search,
    *,
    storage: str,
    pruner: str = "median",
    seed: int | None = 0,
) -> optuna.Study:
    """The search `name` in the database at the URL `storage`, begun when it is not there; $NAME in
    the URL is taken from the environment: a password need not stand in a notebook.

    It goes on with the same network, data, recipe and ranges only. `pruner`, which trials are given
    up: median, hyperband or none. `seed` None draws one, as it must be on machines that share a
    search. Raises `SearchError`.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruners = {
        "median": optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        "hyperband": optuna.pruners.HyperbandPruner(1, max_resource=experiment.recipe.epochs),
        "none": optuna.pruners.NopPruner(),
    }
    if pruner not in pruners:
        raise SearchError(f"pruner {pruner!r} is none of {', '.join(pruners)}")
    url = os.path.expandvars(storage)
    try:
        if url.startswith("sqlite:///"):
            Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(
            storage=url,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            pruner=pruners[pruner],
        )
    except Exception as error:  # whatever a database or its driver raises
        reason = artifacts.printable(str(error).strip().split("\n")[0])
        raise SearchError(f"search {name!r}: its storage cannot be opened ({reason})") from error
    now, begun = _conditions(experiment, space), study.user_attrs.get("conditions")
    if begun is not None and begun != now:
        keys = [key for key in begun | now if begun.get(key) != now.get(key)]
        changed = "; ".join(f"{key} {begun.get(key)} then, {now.get(key)} now" for key in keys)
        raise SearchError(
            f"search {name!r} was begun otherwise ({changed}); give another name or the same values"
        )
    study.set_user_attr("conditions", now)
    # Not the same draws again after an interruption.
    fresh = None if seed is None else seed + len(study.trials)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = optuna.samplers.TPESampler(seed=fresh, multivariate=True)
    return study


def run(
    study: optuna.Study, experiment: Experiment, parts: Parts, space: Search, *, trials: int
) -> None:
    """Go on until `trials` trials have ended, all machines and earlier calls counted. A trial's
    value is its highest validation accuracy."""

    def count(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        bar.update(ended(study) - bar.n)

    enough = optuna.study.MaxTrialsCallback(trials, states=ENDED)
    with artifacts.progress(description="trials", total=trials) as bar:
        bar.update(ended(study))
        if ended(study) < trials:
            objective = partial(_train, experiment=experiment, parts=parts, space=space)
            study.optimize(objective, callbacks=[enough, count])


def ended(study: optuna.Study) -> int:
    """Trials that ran to their end or were given up on the way."""
    return len(study.get_trials(deepcopy=False, states=ENDED))


def table(study: optuna.Study) -> pd.DataFrame:
    """A row a trial: number, state, value (highest validation accuracy so far, 0..1), epochs,
    seconds, parameters."""
    rows = [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "value": max(trial.intermediate_values.values(), default=float("nan")),
            "epochs": len(trial.intermediate_values),
            "seconds": trial.duration.total_seconds() if trial.duration else float("nan"),
        }
        | trial.params
        for trial in study.get_trials(deepcopy=False)
    ]
    return pd.DataFrame(rows)


def _conditions(experiment: Experiment, space: Search) -> dict:
    """What makes the trials of a search comparable, as plain values."""
    found = {key: getattr(experiment, key) for key in ("network", "split", "subset")}
    found["faces"] = experiment.faces.fingerprint
    for key, value in dataclasses.asdict(experiment.recipe).items():
        limits = space.ranges.get(key)
        found |= {f"range of {key}": list(vars(limits).values())} if limits else {key: value}
    return found


def _train(trial: optuna.Trial, experiment: Experiment, parts: Parts, space: Search) -> float:
    drawn: dict[str, Any] = {
        name: trial.suggest_float(name, r.low, r.high, log=r.log)
        for name, r in space.ranges.items()
    }
    recipe = dataclasses.replace(experiment.recipe, **drawn)
    model = experiments.build(dataclasses.replace(experiment, recipe=recipe))

    def report(epoch: int, logs: dict) -> None:
        trial.report(logs["val_accuracy"], epoch + 1)
        if trial.should_prune():
            raise optuna.TrialPruned

    data, watching = (parts.train, parts.validation), [LambdaCallback(on_epoch_end=report)]
    try:
        history = trainer.fit(model, *data, recipe, seed=experiment.seed, callbacks=watching)
    finally:
        keras.utils.clear_session()
    return float(history.val_accuracy.max())
