"""Hyper-parameters found by trial: Optuna's tree-structured Parzen estimator (TPE) over a recipe's
values.

Bergstra et al., 'Algorithms for hyper-parameter optimization', NIPS 2011. A trial is one training;
trials that fall behind are given up early. Validation faces alone decide. The search lives in a
database, by default a local file: it can be stopped and goes on, and several machines can share
one.
"""

import dataclasses
import os
import warnings
from pathlib import Path
from typing import Any

import keras
import optuna
import pandas as pd
from optuna.trial import TrialState
from sqlalchemy.engine import make_url

from fercore import artifacts, paths
from fercore.config import recipes
from fercore.config.parameters import Search
from fercore.config.recipes import Recipe
from fercore.training import experiments, trainer
from fercore.training.experiments import Experiment, Parts

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


class SearchError(ValueError):
    """A search that cannot be made as asked."""


def open_study(
    name: str,
    *,
    storage: str,
    conditions: dict,
    epochs: int,
    pruner: str = "median",
    seed: int | None = 0,
) -> optuna.Study:
    """The search `name` in the database at the URL `storage`, begun when it is not there.

    `conditions`: what makes trials comparable, such as network, data and epochs; a search goes on
    under the same only. `seed` None draws one, as it must be on machines that share a search.
    Raises `SearchError`.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruners = {
        "median": optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        "hyperband": optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs),
        "none": optuna.pruners.NopPruner(),
    }
    if pruner not in pruners:
        raise SearchError(f"pruner {pruner!r} is none of {', '.join(pruners)}")
    # $NAME is taken from the environment: a password need not stand in a notebook.
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
        reason = str(error).strip().split("\n")[0]
        raise SearchError(f"storage {place(storage)}: cannot be opened ({reason})") from error
    begun = study.user_attrs.get("conditions")
    if begun is not None and begun != conditions:
        keys = [key for key in begun | conditions if begun.get(key) != conditions.get(key)]
        changed = "; ".join(
            f"{key} {begun.get(key)} then, {conditions.get(key)} now" for key in keys
        )
        raise SearchError(
            f"search {name!r} was begun otherwise ({changed}); give another name or the same values"
        )
    study.set_user_attr("conditions", conditions)
    # Not the same draws again after an interruption.
    fresh = None if seed is None else seed + len(study.trials)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = optuna.samplers.TPESampler(seed=fresh, multivariate=True)
    return study


def conditions(experiment: Experiment, space: Search) -> dict:
    """What makes the trials of a search comparable: network, data, recipe and ranges, as plain
    values."""
    fixed = dataclasses.asdict(experiment.recipe)
    found: dict[str, Any] = {
        "network": experiment.network,
        "split": experiment.split,
        "subset": experiment.subset,
        "faces": experiment.faces.fingerprint,
    }
    found |= {key: value for key, value in fixed.items() if key not in space.ranges}
    for key, limits in space.ranges.items():
        found[f"range of {key}"] = list(limits.model_dump().values())
    return found


def run(
    study: optuna.Study, experiment: Experiment, parts: Parts, space: Search, *, trials: int
) -> None:
    """Go on until `trials` trials have ended, all machines and earlier calls counted. A trial's
    value is its highest validation accuracy; numbering goes on where it was."""

    def count(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        bar.update(ended(study) - bar.n)
        if ended(study) >= trials:
            study.stop()

    with artifacts.progress(description="trials", total=trials) as bar:
        bar.update(ended(study))
        if ended(study) < trials:
            study.optimize(lambda trial: _train(trial, experiment, parts, space), callbacks=[count])


def ended(study: optuna.Study) -> int:
    """Trials that ran to their end or were given up on the way."""
    return len(study.get_trials(deepcopy=False, states=ENDED))


def table(study: optuna.Study) -> pd.DataFrame:
    """A row a trial: number, state, value (highest validation accuracy so far, 0..1), epochs,
    seconds, parameters."""
    rows = []
    for trial in study.get_trials(deepcopy=False):
        seen = list(trial.intermediate_values.values())
        row = {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "value": max(seen, default=float("nan")),
        }
        seconds = trial.duration.total_seconds() if trial.duration else float("nan")
        rows.append(row | {"epochs": len(seen), "seconds": seconds} | trial.params)
    return pd.DataFrame(rows)


def path(folder: Path, name: str) -> Path:
    """The table of the search `name` in a run."""
    return folder / "tables" / f"search.{name}.csv"


def read_table(file: Path) -> pd.DataFrame:
    """A table of trials written before. Raises `SearchError` when there is none."""
    if not file.exists():
        raise SearchError(f"{place(str(file))}: no such search; set `stored` to false to begin it")
    return pd.read_csv(file)


def importances(trials: pd.DataFrame, space: Search) -> pd.Series:
    """Share of the variance of accuracy that each parameter explains (fANOVA, Hutter et al. 2014),
    highest first; empty while fewer than four trials ran to their end. `trials` as of `table`."""
    whole = trials[trials.state == "complete"]
    if len(whole) < 4 or whole.value.nunique() < 2:
        return pd.Series(dtype=float, name="importance")
    limits: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(**ends.model_dump())
        for name, ends in space.ranges.items()
    }
    study = optuna.create_study(direction="maximize")
    for row in whole.to_dict("records"):
        drawn = {name: row[name] for name in limits}
        study.add_trial(
            optuna.trial.create_trial(params=drawn, distributions=limits, value=row["value"])
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return pd.Series(found, name="importance").sort_values(ascending=False)


def best(trials: pd.DataFrame, name: str) -> pd.Series:
    """The row of the most accurate trial of those that ran to their end. `trials` as of `table`,
    `name` of the search. Raises `SearchError` where none did."""
    whole = trials[trials.state == "complete"]
    if whole.empty:
        raise SearchError(f"search {name!r}: no trial ran to its end yet; let it go on")
    return whole.iloc[int(whole.value.argmax())]


def save_best(trials: pd.DataFrame, space: Search, recipe: Recipe, folder: Path, name: str) -> Path:
    """Write `recipe` with the values of the best trial as YAML, which `experiments.read` and the
    training notebooks take as it is. Raises `SearchError` as `best` does."""
    row = best(trials, name)
    ended = trials.state.isin([state.name.lower() for state in ENDED]).sum()
    comment = (
        f"Best of {ended} trials of the search {name}: trial {row.number}, validation accuracy "
        f"{row.value:.4f}."
    )
    values: dict[str, Any] = {key: float(row[key]) for key in space.ranges}
    found = dataclasses.replace(recipe, **values)
    return recipes.write(found, folder / f"{name}.yaml", comment=comment)


def place(storage: str) -> str:
    """The URL of a database, or a path, to show: without a password, from the project's folder
    on."""
    shown = make_url(storage).render_as_string(hide_password=True) if "://" in storage else storage
    return shown.replace(f"{paths.ROOT}/", "")


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

    try:
        history = trainer.fit(
            model,
            parts.train,
            parts.validation,
            recipe,
            seed=experiment.seed,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=report)],
        )
    finally:
        keras.utils.clear_session()
    return float(history.val_accuracy.max())
