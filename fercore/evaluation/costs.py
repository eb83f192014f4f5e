"""What trainings cost, and how much sooner they reach the published accuracies than system A's own
way of training."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fercore import artifacts
from fercore.data.faces import SIDE, Faces
from fercore.config import parameters
from fercore.evaluation import scoring

WATTS_PER_CORE = (
    5.0  # a server's core with its share of memory, cooling and power supply: assumed, not measured
)
OWN_EPOCHS = 100  # of system A's networks
OWN_TARGETS = ("cnn", "vgg", "aggregated_vgg")  # of system A: what is to be reached
_OWN_SPLIT, _OWN_SHARE = "pooled_64_16_20", 0.64
OWN_COLUMNS = ["network", "images_per_second", "hardware", "when"]


def trainings(run: scoring.Run, *, watts_per_core: float = WATTS_PER_CORE) -> pd.DataFrame:
    """A row a training of a run: split, network, seed, recipe, parameters, macs (a face),
    epochs, best_epoch, train_seconds, images_per_second, gflops (a second, backward pass included),
    limit_share (of the machine's matrix-product rate, both in the training's precision), watt_hours
    (cores x `watts_per_core`), precision, hardware. NaN where a record does not say; limit_share
    and watt_hours of a processor only, as trainings may share a GPU."""
    rows = [
        _training(artifacts.read_record(run.folder, *key), key, watts_per_core)
        for key in artifacts.list_predictions(run.folder)
    ]
    order = {name: place for place, name in enumerate(scoring.catalogue())}
    table = pd.DataFrame([row for row in rows if row])
    table["place"] = table.network.map(order)
    return table.sort_values(["split", "place", "seed"], ignore_index=True).drop(columns="place")


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """`trainings` as text, in as few columns as a window holds; with the hardware the precision of
    a network's training where it is not bfloat16."""

    def text(column: str, form: str = "{:,.0f}", unit: float = 1) -> pd.Series:
        return table[column].map(lambda value: "" if pd.isna(value) else form.format(value / unit))

    other = table.precision.where((table.recipe != "") & (table.precision != "bfloat16"))
    return pd.DataFrame(
        {
            "network": table.network,
            "seed": table.seed,
            "recipe": table.recipe,
            "parameters": text("parameters"),
            "multiply-adds": text("macs", "{:,.0f} M", 1e6),
            "best epoch": (text("best_epoch") + " of " + text("epochs")).replace(" of ", ""),
            "training": [artifacts.duration(value) for value in table.train_seconds],
            "images per second": text("images_per_second"),
            "GFLOP/s": text("gflops"),
            "of the limit": text("limit_share", "{:.0f} %", 0.01),
            "energy, Wh": text("watt_hours", "{:,.1f}"),
            "hardware": table.hardware.str.removeprefix("cpu, ") + (", " + other).fillna(""),
        }
    ).replace(" ", "\u00a0", regex=True)  # one line a row


def milestones(run: scoring.Run, split: str = "official") -> pd.DataFrame:
    """What was known on validation faces after how many seconds of training: name, seed, seconds,
    epoch, accuracy (%).

    A row an epoch of each network, one view of each face; and one for each network and aggregate
    when its training was done, epoch NaN, averaged over views. The seconds of a distilled network
    include those of its teachers. Left out is what a GPU had a part in.
    """
    rows = []
    for place, name, seed in run.predicted():
        record = artifacts.read_record(run.folder, place, name, seed)
        total = scoring.train_seconds(run, record)
        if place == split and total is not None and "gpu" not in (record.get("device") or ""):
            right = scoring.score(run, place, name, seed, part="validation").right
            course = [*_course(run, (place, name, seed), total), (total, None, 100 * right.mean())]
            rows += [(name, seed, *one) for one in course]
    return pd.DataFrame(rows, columns=["name", "seed", "seconds", "epoch", "accuracy"]).astype(
        {"epoch": float}
    )


def sooner(reached: pd.DataFrame, own: pd.DataFrame, n_faces: int) -> pd.DataFrame:
    """For each published accuracy of system A: who published it, how long its own way takes on the
    machine measured (its 100 epochs of 64 % of `n_faces`, for every member), and what reached it
    first here, after how long.

    `reached`: of `milestones`; `own`: of `measure_own_way` or `read_own_way`. Columns: published
    by, published (%), own way (s), reached by, seed, epoch, accuracy (%), here (s), times as soon;
    NaN where nothing reached it.
    """
    known, rows = scoring.catalogue(), []
    rate = own.set_index("network").images_per_second
    for name in OWN_TARGETS:
        target = known[name].published[_OWN_SPLIT]["test"]
        first = reached[reached.accuracy >= target].sort_values("seconds").head(1)
        row = {
            "published by": name,
            "published": target,
            "own way": _own_seconds(name, rate, n_faces),
        }
        for one in first.itertuples():
            row |= {
                "reached by": one.name,
                "seed": one.seed,
                "epoch": one.epoch,
                "accuracy": one.accuracy,
                "here": one.seconds,
                "times as soon": row["own way"] / one.seconds,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def measure_own_way(folder: Path, faces: Faces, names: Sequence[str]) -> pd.DataFrame:
    """Time system A's own way of training on this machine, write the table into a run's folder,
    return it: network, images_per_second, hardware, when."""
    from fercore.training import speed  # imports Keras, which nothing else here needs

    here = artifacts.provenance()
    rows = [
        {
            "network": name,
            "images_per_second": round(speed.own_way(name, faces), 1),
            "hardware": scoring.hardware({"device": "cpu"} | here),
            "when": here["when"],
        }
        for name in names
    ]
    table = pd.DataFrame(rows, columns=OWN_COLUMNS)
    artifacts.write_atomically(_own_path(folder), table.to_csv(index=False, lineterminator="\n"))
    return table


def read_own_way(folder: Path) -> pd.DataFrame:
    """The table of a run as it is; empty when there is none."""
    return (
        pd.read_csv(_own_path(folder))
        if _own_path(folder).exists()
        else pd.DataFrame(columns=OWN_COLUMNS)
    )


def _own_path(folder: Path) -> Path:
    return Path(folder) / "tables" / "own_way.csv"


def _own_seconds(name: str, rate: pd.Series, n_faces: int) -> float:
    """Seconds of system A's 100 epochs of a network or of all members of an aggregate, hybrids
    taken to last no longer than the plain network; NaN where that was not measured."""
    aggregates = parameters.aggregates()
    members = aggregates[name].members if name in aggregates else [name]
    plain = [member.rpartition("_")[2] for member in members]
    return sum(
        OWN_EPOCHS * _OWN_SHARE * n_faces / rate.get(member, float("nan")) for member in plain
    )


def _share_of_work(recipe: dict) -> float:
    """Multiply-adds of a training with smaller faces at first, by their area, against one with
    whole faces."""
    if not recipe.get("small_side"):
        return 1.0
    return 1 - recipe["small_share"] * (1 - (recipe["small_side"] / (recipe["crop"] or SIDE)) ** 2)


def _course(
    run: scoring.Run, key: tuple[str, str, int], total: float
) -> list[tuple[float, int, float]]:
    """Seconds so far, epoch and validation accuracy in %, an epoch each; what the training does not
    explain of `total`, its teachers, came before."""
    path = artifacts.history_path(run.folder, *key)
    if not path.exists():
        return []
    history = pd.read_csv(path)
    seconds = history.seconds.cumsum()
    return list(
        zip(
            seconds + total - seconds.iloc[-1],
            history.epoch,
            100 * history.val_accuracy,
            strict=True,
        )
    )


def _training(record: dict, key: tuple[str, str, int], watts_per_core: float) -> dict | None:
    """None for an aggregate, and for a model that was given trained."""
    seconds = record.get("train_seconds")
    if "members" in record or seconds is None:
        return None
    speed_here, macs, limit = (
        record.get(name) for name in ("images_per_second", "macs", "matrix_product_macs")
    )
    work = _share_of_work(record.get("recipe_parameters", {}))
    rate = (
        3 * work * macs * speed_here if macs and speed_here else float("nan")
    )  # backward takes twice the forward's
    cores, limit = (record.get("cores"), limit) if record.get("device") == "cpu" else (None, None)
    return dict(zip(("split", "network", "seed"), key, strict=True)) | {
        "recipe": record.get("recipe") or "",
        "parameters": record.get("parameters"),
        "macs": macs,
        "epochs": record.get("epochs"),
        "best_epoch": record.get("best_epoch"),
        "train_seconds": seconds,
        "images_per_second": speed_here,
        "gflops": 2e-9 * rate,
        "limit_share": rate / limit if limit else float("nan"),
        "watt_hours": seconds * cores * watts_per_core / 3600 if cores else float("nan"),
        "precision": record.get("precision"),
        "hardware": scoring.hardware(record),
    }
