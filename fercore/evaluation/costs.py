"""What a run has and what it cost: accuracy against size and time, what is missing; the file,
commit and command behind each number."""

import shlex
from collections import defaultdict
from collections.abc import Callable

import pandas as pd
import yaml

from fercore import artifacts
from fercore.config import SIDE, parameters, reading, recipes
from fercore.config.parameters import STUDY_ENSEMBLE
from fercore.data import datasets, synthetic
from fercore.data.splits import SPLITS
from fercore.evaluation import scoring, tables
from fercore.evaluation.scoring import Entry, Run

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
    "gflops": ("GFLOP/s", "{:,.0f}".format),
    "limit_share": ("of the limit", "{:.0%}".format),
}


def trainings(run: Run) -> pd.DataFrame:
    """A row a training of a run: split, network, seed, recipe, parameters, macs (a face), epochs,
    best_epoch, train_seconds, images_per_second, gflops (a second, backward pass included),
    limit_share (of the machine's matrix-product rate, both in the training's precision), precision,
    hardware. NaN where a record does not say; limit_share of a processor only, as trainings may
    share a GPU."""
    place = {name: place for place, name in enumerate(scoring.catalogue())}
    rows = [
        {"split": split, "network": network, "seed": seed} | _training(record)
        for split, network, seed in artifacts.list_predictions(run.folder)
        if "members" not in (record := artifacts.read_record(run.folder, split, network, seed))
        and record.get("train_seconds") is not None  # else it was given trained
    ]
    rows.sort(key=lambda row: (row["split"], place.get(row["network"], len(place)), row["seed"]))
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
    theirs = {name: _comparable(one.published, split) for name, one in scoring.catalogue().items()}
    frame.insert(6, "published", frame.name.map(theirs).astype(float))
    return frame.sort_values("accuracy", ascending=False, ignore_index=True)


def gaps(results: pd.DataFrame, split: str) -> dict[str, list[str]]:
    """Why networks and aggregates that belong to a split have no row there, or one of fewer
    members: reason -> names."""
    there, found = set(results[results.split == split].network), defaultdict(list)
    aggregates, classes = parameters.aggregates(), SPLITS[split].class_names
    for name, entry in tables.entries().items():
        aggregate = aggregates.get(name)
        missing = [one for one in aggregate.members if one not in there] if aggregate else []
        apart = {SPLITS[other].class_names for other in entry.published} - {classes}
        belongs = split in entry.published or (split == "official" and not apart)
        if name in there and missing:
            found[f"computed without {', '.join(missing)}"].append(name)
        elif name not in there and belongs:
            found[_reason(entry, missing)].append(name)
    return dict(found)


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
    """The call of papermill that trains the network of a record again into a profile's folder."""
    content = parameters.network(record["network"])
    notebook = content["notebook"]
    declared, used = reading.declared(notebook), record.get("recipe_parameters", {})
    values = {key: record.get(key) for key in ("network", "split", "seed", "epochs")}
    if (recipe := record.get("recipe")) != content.get("recipe"):
        values["recipe"] = recipe
    kept = vars(recipes.read(recipe)) if recipe and recipes.exists(recipe) else {}
    for name, (annotation, default) in declared.items():
        if name in recipes.FIELDS and name not in values:
            if kept and name in used and used[name] != kept[name]:
                values[name] = used[name]
            elif default != "None" and annotation.startswith("Optional"):
                values[name] = None  # for a try by hand: null takes the recipe's
    plain = recipes.UNAUGMENTED.items()
    if kept and plain <= used.items() and not plain <= kept.items():
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


def _reason(entry: Entry, missing: list[str]) -> str:
    if entry.name == STUDY_ENSEMBLE:
        return "needs two networks"
    if entry.table == "aggregates":
        return f"lacks {', '.join(missing)}" if missing else f"execute {entry.notebook}"
    content = parameters.network(entry.name)
    needs = f"needs {content['needs']}" if content.get("needs") else None
    return parameters.lacking(content) or needs or f"not trained by {entry.notebook}"


def _comparable(published: dict, split: str) -> float | None:
    """The test accuracy published on this split, else on another one with the same classes."""
    classes = SPLITS[split].class_names
    alike = [one for name, one in published.items() if SPLITS[name].class_names == classes]
    theirs = [published[split]] if split in published else alike
    return theirs[0].get("test") if theirs else None


def _training(record: dict) -> dict:
    speed, macs = record.get("images_per_second"), record.get("macs")
    limit = record.get("matrix_product_macs")
    work = _share_of_work(record.get("recipe_parameters", {}))
    rate = float("nan")
    if macs and speed:
        rate = 3 * work * macs * speed  # backward takes twice the forward's
    alone = record.get("device") == "cpu"
    return {
        "recipe": record.get("recipe") or "",
        "parameters": record.get("parameters"),
        "macs": macs,
        "epochs": record.get("epochs"),
        "best_epoch": record.get("best_epoch"),
        "train_seconds": record["train_seconds"],
        "images_per_second": speed,
        "gflops": 2e-9 * rate,
        "limit_share": rate / limit if limit and alone else float("nan"),
        "precision": record.get("precision"),
        "hardware": scoring.hardware(record),
    }


def _share_of_work(recipe: dict) -> float:
    """Multiply-adds of a training with smaller faces at first, by their area, against one with
    whole faces."""
    if not recipe.get("small_side"):
        return 1.0
    return 1 - recipe["small_share"] * (1 - (recipe["small_side"] / (recipe["crop"] or SIDE)) ** 2)
