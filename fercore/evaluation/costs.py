"""What a run cost: accuracy against size and time; the file, commit and command behind each
number."""

import shlex
from collections.abc import Callable

import pandas as pd
import yaml

from fercore import artifacts
from fercore.config import parameters, reading, recipes
from fercore.data import datasets, synthetic
from fercore.data.splits import SPLITS
from fercore.evaluation import scoring, tables
from fercore.evaluation.scoring import Run

PLANNED_BY = {"published": "full", "rederived": "full"}  # the profile behind what is committed
# how `readable` names columns and writes their values
COLUMNS: dict[str, tuple[str, Callable]] = {
    "seed": ("seed", str),
    "parameters": ("parameters", "{:,.0f}".format),
    "macs": ("multiply-adds, M", lambda macs: f"{macs / 1e6:,.0f}"),
    "epochs": ("epochs", "{:.0f}".format),
    "best_epoch": ("best epoch", "{:.0f}".format),
    "train_seconds": ("training", artifacts.duration),
    "images_per_second": ("images per second", "{:,.0f}".format),
}
KEPT = ("parameters", "macs", "epochs", "best_epoch", "train_seconds", "images_per_second")


def trainings(run: Run) -> pd.DataFrame:
    """A row a training of a run: split, network, seed, recipe, parameters, macs (a face), epochs,
    best_epoch, train_seconds, images_per_second, precision, hardware. NaN where a record does not
    say."""
    rows = []
    for split, network, seed in scoring.ordered(artifacts.list_predictions(run.folder)):
        record = artifacts.read_record(run.folder, split, network, seed)
        if "members" not in record and record.get("train_seconds") is not None:  # trained here
            row = {"split": split, "network": network, "seed": seed}
            row |= {"recipe": record.get("recipe") or ""}
            row |= {key: record.get(key) for key in (*KEPT, "precision")}
            rows.append(row | {"hardware": scoring.hardware(record)})
    return pd.DataFrame(rows, columns=None if rows else ["split"])


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """`trainings`, or a table as of `compared`, as text: accuracy with its interval, numbers
    rounded, times as durations; what is not known stays NaN."""
    text = tables.with_interval(table, "accuracy") if "accuracy" in table else table.copy()
    for column in text.select_dtypes("number"):
        form = COLUMNS.get(str(column), ("", "{:.1f}".format))[1]
        text[column] = text[column].map(form, na_action="ignore")
    text = text.replace(" ", "\u00a0", regex=True)  # one line a row
    return text.rename(columns={column: name for column, (name, _) in COLUMNS.items()})


def compared(results: pd.DataFrame, split: str) -> pd.DataFrame:
    """Every network and aggregate of a split, mean over seeds: name, table, system, accuracy, low,
    high (test, in %, averaged over views), published (on this split, else on another with the same
    classes), parameters, macs, train_seconds (on processors; NaN where a GPU had a part); most
    accurate first."""
    chosen = results[(results.split == split) & (results.part == "test") & results.tta]
    costs = ["parameters", "macs", "train_seconds"]
    chosen = chosen.astype(dict.fromkeys(costs, float))
    on_gpu = chosen.device.fillna("").str.contains("gpu")
    chosen["train_seconds"] = chosen.train_seconds.mask(on_gpu)
    names = {"network": "name", "accuracy_low": "low", "accuracy_high": "high"}
    groups = chosen.rename(columns=names).groupby(["name", "table", "system"], as_index=False)
    frame = groups[["accuracy", "low", "high", *costs]].mean()
    alike = [k for k, one in SPLITS.items() if one.class_names == SPLITS[split].class_names]
    theirs = {
        name: next(
            (one.published[k].get("test") for k in [split, *alike] if k in one.published), None
        )
        for name, one in scoring.catalogue().items()
    }
    frame.insert(6, "published", frame.name.map(theirs).astype(float))
    return frame.sort_values("accuracy", ascending=False, ignore_index=True)


def origins(run: Run) -> pd.DataFrame:
    """A row a trained network, split and seed, without aggregates.

    `predictions`: the file, from the run's folder; `commit`: of the code that trained it, 12
    digits, '+' where it had changes; `command`: what executes the notebook again with the same
    values, from the project's folder.
    """
    profile, known, rows = PLANNED_BY.get(run.profile, run.profile), parameters.network_names(), []
    for key in artifacts.list_predictions(run.folder):
        if key[1] in known:
            record = artifacts.read_record(run.folder, *key)
            file = artifacts.prediction_path(run.folder, *key).relative_to(run.folder)
            commit = (record.get("git_commit") or "")[:12] + "+" * bool(record.get("git_dirty"))
            rows.append((file.as_posix(), commit, command(profile, record)))
    return pd.DataFrame(rows, columns=["predictions", "commit", "command"])


def command(profile: str, record: dict) -> str:
    """The call of papermill that trains the network of a record again into a profile's folder: by
    the values of its recipe that its notebook takes."""
    notebook = parameters.network(record["network"])["notebook"]
    declared, used = reading.declared(notebook), record.get("recipe_parameters", {})
    values = {key: record.get(key) for key in ("network", "split", "seed", "recipe", "epochs")}
    values |= {key: used.get(key) for key in recipes.FIELDS if key not in values}
    if recipes.UNAUGMENTED.items() <= used.items():
        values["augment"] = False
    values |= {"subset": record["data"].get("subset"), "profile": profile}
    if record["data"]["origin"] == synthetic.ORIGIN:
        values["data"] = datasets.SYNTHETIC
    given = {key: value for key, value in values.items() if key in declared}
    text = yaml.safe_dump(given, default_flow_style=True, sort_keys=False, width=float("inf"))
    return (
        f"papermill notebooks/{notebook}.ipynb executed.ipynb --cwd notebooks "
        f"-y {shlex.quote(text.strip())}"
    )
