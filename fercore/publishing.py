"""What of a run on FER2013 is committed: predictions, records, histories of single networks. The rest follows.

Of trainings on a share of the faces, which are many, the table of their accuracies alone.
"""
import shutil
from pathlib import Path

import pandas as pd

from fercore import evaluation, learning_curve, parameters, paths, report, runs, tables
from fercore.protocols import PROTOCOLS

PUBLISHED = "published"
# Tables that do not come from predictions:
MEASURED = ("own_way.csv", "ablation.*x12.csv", "one_budget.*.allx6.csv", "learning_rates.*.csv", "search.*.csv")
LIMIT = 8_000_000  # bytes of predictions; with them the repository takes 13 MB, 3 more than was first meant, for the
# sake of system A's VGGs on its own split and of further seeds


class PublishingError(ValueError):
    """A run that must not be published."""


def publish(profile: str) -> str:
    """Copy predictions, records and histories of a run into outputs/published; return what was done, in a line.

    Networks that are published already and not part of the run stay. Raises `PublishingError` for a run on other
    data than FER2013, on a part of it, or one too large.
    """
    source, target = paths.outputs(profile), paths.outputs(PUBLISHED)
    keys = [key for key in runs.list_predictions(source) if key[1] in parameters.network_names()]
    if not keys:
        raise PublishingError(f"outputs/{profile}: no predictions; run ./run_all.sh --profile {profile} first")
    files = [path for key in keys for path in _files(source, key)]
    for key in keys:
        _check(runs.read_record(source, *key), key)
    size = sum(path.stat().st_size for path in files)
    if size > LIMIT:
        raise PublishingError(f"outputs/{profile}: {size / 1e6:.1f} MB of predictions, more than {LIMIT / 1e6:.0f} MB")
    for path in files:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for path in (path for pattern in MEASURED for path in (source / "tables").glob(pattern)):
        runs.write_atomically(target / "tables" / path.name, path.read_bytes())
    learning_curve.add(target, learning_curve.read(source), data=learning_curve.FER2013)
    return f"{len(keys)} networks, {size / 1e6:.1f} MB, in outputs/{PUBLISHED}; now ./run_all.sh --profile {PUBLISHED}"


def update_readme() -> str:
    """Write the tables of README.md anew from outputs/published/tables/results.csv; return what was done."""
    path = paths.ROOT / "README.md"
    text = readme()
    if path.read_text() == text:
        return "README.md: up to date"
    runs.write_atomically(path, text)
    return "README.md: results written"


def readme() -> str:
    """README.md as it must be: its own text around the tables made from the published results."""
    results = paths.outputs(PUBLISHED) / "tables" / "results.csv"
    if not results.exists():
        raise PublishingError(f"{results.relative_to(paths.ROOT)}: missing; ./run_all.sh --profile published makes it")
    return with_results((paths.ROOT / "README.md").read_text(), pd.read_csv(results))


def with_results(readme: str, results: pd.DataFrame) -> str:
    """The text of a README with the tables between its markers made anew. Raises `EvaluationError` without markers."""
    for name, table in (("outcome", outcome_table(results)), ("results", results_table(results))):
        before, begin, rest = readme.partition(f"<!-- {name}:begin -->")
        _, end, after = rest.partition(f"<!-- {name}:end -->")
        if not begin or not end:
            raise evaluation.EvaluationError(
                f"README.md: <!-- {name}:begin --> and <!-- {name}:end --> must stand around its {name}")
        readme = f"{before}{begin}\n{table}{end}{after}"
    return readme


def outcome_table(results: pd.DataFrame) -> str:
    """The outcome as Markdown: of each system the figure for which it published most, by the recipe that validation
    faces prefer, and the study's own networks."""
    outcome = tables.outcome(results).dropna(subset="published")
    most = outcome.groupby(["system", "notebook", "classes"]).published.transform("max")
    foremost = outcome[outcome.preferred & (outcome.published == most)]
    chosen = {(one.name, one.protocol): one for one in foremost.itertuples(index=False)}
    rows = []
    for row in _readme_rows(results):
        one = chosen.get((row["network"][1:-1], row["split"][1:-1]))
        if one is not None and row["official split"] == tables.NOT_RUN:
            row["official split"] = _by_another_recipe(results, outcome, one)
        if one is not None or row["system"] == tables.SYSTEMS[-1]:
            rows.append(row)
    return tables.markdown(pd.DataFrame(rows)) + "\n"


def _by_another_recipe(results: pd.DataFrame, outcome: pd.DataFrame, one: tuple) -> str:
    """The accuracy on the official split by the first recipe for the same published figure that ran there, with its
    name; or 'not run'."""
    official = tables.on_official_split(one.protocol)
    same = outcome[(outcome.base == one.base) & (outcome.published == one.published) & (outcome.system == one.system)]
    ran = [name for name in same.name if len(tables.select(results, official, name, "test", True))]
    return f"{tables.accuracy(results, official, ran[0])} `{ran[0]}`" if ran else tables.NOT_RUN


def results_table(results: pd.DataFrame) -> str:
    """All results as Markdown, folded: every system's networks, published beside its own and the official split."""
    rows = _readme_rows(results)
    there = {row["network"] for row in rows}
    waiting = ", ".join(f"`{name}`" for name in tables.entries() if f"`{name}`" not in there)
    waiting = f"\n\nBuilt and not trained on all faces yet: {waiting}." if waiting else ""
    table, summary = tables.markdown(pd.DataFrame(rows)), f"Published and reproduced, all {len(rows)} rows"
    folded = f"<details>\n<summary>{summary}</summary>\n\n{table}\n\n</details>"
    return f"{folded}\n\n{_readme_note(results)}{waiting}\n"


def _files(folder: Path, key: tuple[str, str, int]) -> list[Path]:
    if PROTOCOLS[key[0]].share < 1:
        return []
    predictions = runs.prediction_path(folder, *key)
    found = [predictions, predictions.with_suffix(".json"), runs.history_path(folder, *key)]
    return [path for path in found if path.exists()]


def _check(record: dict, key: tuple[str, str, int]) -> None:
    """FER2013 only, all of it, and no path of a machine in the record."""
    name, data = " ".join(map(str, key)), record["data"]
    if not data["origin"].startswith("FER2013"):
        raise PublishingError(f"{name}: made on {data['origin']}; only runs on FER2013 are published")
    if data.get("subset") is not None:
        raise PublishingError(f"{name}: made on {data['n']} faces only; publish a run with `subset: null`")
    found = report.machine_paths(str(record))
    if found:
        raise PublishingError(f"{name}: its record holds a path of the machine: {found[0]}")


def _readme_rows(results: pd.DataFrame) -> list[dict]:
    """A row for each split that a network published on, else was run on, by system; those that ran."""
    rows = [_readme_row(results, name, entry, protocol) for name, entry in tables.entries().items()
            for protocol in _splits(results, name, entry)]
    rows.sort(key=lambda row: tables.SYSTEMS.index(row["system"]))
    return [row for row in rows if {row["here"], row["official split"]} - {tables.NOT_RUN, ""}]


def _splits(results: pd.DataFrame, name: str, entry: evaluation.Entry) -> list[str]:
    """The protocols of a network's published figures; without such the official one, or else those it was run on."""
    run = results[results.network == name].protocol.unique()
    return list(entry.published) or (["official"] if "official" in run or not len(run) else sorted(run))


def _readme_row(results: pd.DataFrame, name: str, entry: evaluation.Entry, protocol: str) -> dict:
    beside, there = tables.on_official_split(protocol), tables.measured_on(results, name, protocol)
    trained = tables.select(results, there, name, "test", True)
    return {
        "system": entry.system if entry.system in tables.SYSTEMS else tables.SYSTEMS[-1],
        "network": f"`{name}`",
        "split": f"`{protocol}`",
        "published": tables.number(entry.published.get(protocol, {}).get("test"), 2),
        "here": tables.accuracy(results, protocol, name),
        "official split": tables.accuracy(results, beside, name) if beside else "",
        "copies removed": tables.mean(results, there, name, "accuracy_deduplicated"),
        "training": tables.NOT_RUN if trained.empty else tables.duration(trained.train_seconds.mean()),
    }


def _readme_note(results: pd.DataFrame) -> str:
    test = results[(results.split == "test") & results.tta]
    faces = {protocol: int(rows.n.iloc[0]) for protocol, rows in test.groupby("protocol")}
    counts = ", ".join(f"{n:,} on `{protocol}`" for protocol, n in faces.items())
    hardware = "; ".join(sorted(set(test[test.table == "networks"].device.dropna())))
    return (
        "Test accuracy in %, averaged over ten views of each face (as it is, smaller, larger, turned either way, each "
        "also mirrored), for the SVMs and system A but its `_longer` networks over the face and its mirror image, "
        f"with 95 % bootstrap intervals over faces ({counts}). Split: what the published figure was measured "
        "on; pooled ones shuffle all faces, as their systems did; system C does not state its own. Official split: "
        "the same classes, trained on Training, chosen on PublicTest, PrivateTest only scored. Copies removed: test "
        "faces (of the split, where run, else official) without an exact copy in training or validation. "
        f"Training and its time: on {hardware or 'nothing yet'}."
    )
