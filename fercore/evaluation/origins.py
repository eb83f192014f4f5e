"""Where numbers come from: the file of each trained network's predictions, the command and the
commit behind it."""

import dataclasses
import html
import shlex

import pandas as pd
import yaml

from fercore import artifacts
from fercore.config import notebooks, parameters, recipes
from fercore.data import datasets, synthetic
from fercore.evaluation import scoring, tables
from fercore.workflow import publish

PLANNED_BY = {publish.PUBLISHED: "full"}  # the profile behind what was published
COLUMNS = ("predictions", "commit", "command")


def of(run: scoring.Run) -> pd.DataFrame:
    """A row a trained network, split and seed, without aggregates: columns COLUMNS.

    `predictions`: the file, from the run's folder; `commit`: of the code that trained it, 12
    digits, '+' where it had changes; `command`: what executes the notebook again with the same
    values, from the project's folder.
    """
    profile, known, rows = PLANNED_BY.get(run.profile, run.profile), parameters.network_names(), []
    for split, network, seed in artifacts.list_predictions(run.folder):
        if network in known:
            record = artifacts.read_record(run.folder, split, network, seed)
            file = artifacts.prediction_path(run.folder, split, network, seed).relative_to(
                run.folder
            )
            commit = (record.get("git_commit") or "")[:12] + "+" * bool(record.get("git_dirty"))
            rows.append((file.as_posix(), commit, command(profile, record)))
    return pd.DataFrame(rows, columns=COLUMNS)


def command(profile: str, record: dict) -> str:
    """The call of papermill that trains the network of a record again into a profile's folder."""
    content = parameters.network(record["network"])
    notebook = content["notebook"]
    told = {key: record.get(key) for key in ("network", "split", "seed", "epochs")}
    told |= {name: None for name in _of_a_try(notebook) if name not in told} | _changed(
        record, content
    )
    told |= {"subset": record["data"].get("subset"), "profile": profile}
    if record["data"]["origin"] == synthetic.ORIGIN:
        told["data"] = datasets.SYNTHETIC
    declared = notebooks.declared(notebook)
    values = yaml.safe_dump(
        {key: value for key, value in told.items() if key in declared},
        default_flow_style=True,
        sort_keys=False,
        width=float("inf"),
    ).strip()
    return f"papermill notebooks/{notebook}.ipynb executed.ipynb --cwd notebooks -y {shlex.quote(values)}"


def _of_a_try(notebook: str) -> list[str]:
    """Values of a recipe that a notebook opened by hand does not take as they are: null says that
    it shall."""
    known = {field.name for field in dataclasses.fields(recipes.Recipe)}
    return [
        name
        for name, value in notebooks.defaults(notebook).items()
        if name in known
        and value is not None
        and notebooks.declared(notebook)[name].startswith("Optional")
    ]


def save(origins: pd.DataFrame, run: scoring.Run) -> str:
    """Write the table into the run's tables, as .md and .html with links to the files; return the
    HTML."""
    files, commands = origins.predictions.map(html.escape), origins.command.map(html.escape)
    linked = origins.assign(
        predictions='<a href="../' + files + '">' + files.str.replace("/", "/<wbr>") + "</a>",
        command="<code>" + commands + "</code>",
    )
    page = linked.to_html(index=False, border=0, escape=False, classes="origins")
    marked = origins.assign(
        predictions="[" + origins.predictions + "](../" + origins.predictions + ")",
        command="`" + origins.command + "`",
    )
    for suffix, content in (("html", page), ("md", tables.markdown(marked))):
        artifacts.write_atomically(run.folder / "tables" / f"origins.{suffix}", content + "\n")
    return page


def _changed(record: dict, content: dict) -> dict:
    """What the training was told that is not in its network's file and recipe."""
    used, name, told = record.get("recipe_parameters", {}), record.get("recipe"), {}
    if name and name != content.get("recipe"):
        told["recipe"] = name
    if name and recipes.exists(name):
        kept = dataclasses.asdict(recipes.read(name))
        told |= {
            key: value for key, value in used.items() if key != "epochs" and value != kept.get(key)
        }
        if recipes.UNAUGMENTED.items() <= used.items() and recipes.UNAUGMENTED.keys() & told.keys():
            told["augment"] = False
    return told
