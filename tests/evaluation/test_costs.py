"""What trainings cost, and the file, the commit and the command behind each number."""

import shlex
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from fercore import artifacts, paths
from fercore.config import parameters, reading, recipes
from fercore.evaluation import comparison

RECORD = {
    "network": "cnn",
    "split": "official",
    "seed": 1,
    "epochs": 3,
    "recipe": "study_cnn",
    "data": {"origin": "FER2013, complete", "subset": None},
}


def test_a_readable_row_takes_a_line_and_few_columns():
    row = {"epochs": 80, "best_epoch": 72, "macs": 2e6, "train_seconds": 60.0}
    table = pd.DataFrame([row | {"hardware": "cpu, AMD EPYC, 2 cores"}])
    row = comparison.readable(table).iloc[0]
    assert not any(" " in value for value in row if isinstance(value, str))
    assert (row["best epoch"], row["training"]) == ("72", "60\u00a0s")
    assert row["multiply-adds, M"] == "2"
    assert row["hardware"].replace("\u00a0", " ") == "cpu, AMD EPYC, 2 cores"


@pytest.fixture
def command():
    """The function of notebook 30."""
    names = {"run": SimpleNamespace(profile="full")}
    source = {cell["id"]: "".join(cell["source"]) for cell in reading.cells("30_accuracy_tables")}
    for cell in ("cell-02", "origins-table", "origins-command"):
        exec(source[cell], names)
    return names["command"]


def parsed(command):
    """The notebook of a command and the values that it hands over."""
    setting, *words = shlex.split(command)
    assert setting == "PAPERMILL=1"
    assert (words[0], words[3:6]) == ("papermill", ["--cwd", "notebooks", "-y"])
    return words[1], yaml.safe_load(words[6])


def trained(name, **changes):
    """A record's recipe parameters: those of the recipe, changed."""
    recipe = vars(recipes.read(name))
    return RECORD | {"recipe": name, "recipe_parameters": recipe | changes}


def test_a_training_is_made_again_by_the_values_that_it_had(command):
    notebook, values = parsed(command(trained("study_cnn", learning_rate=0.01)))
    assert notebook == "notebooks/10_cnn.ipynb"
    wanted = {"network": "cnn", "split": "official", "seed": 1, "epochs": 3, "recipe": "study_cnn"}
    wanted |= {"learning_rate": 0.01, "subset": None, "profile": "full"}
    assert wanted.items() <= values.items()
    assert not {"mixup", "flip", "augment", "data"} & values.keys()  # no parameters, or the default


def test_of_a_record_without_its_recipe_the_recipe_decides(command):
    """None in place of what a notebook declares for tries by hand."""
    values = parsed(command(RECORD | {"network": "compact", "recipe": "compact"}))[1]
    assert values["batch_size"] is None and values["learning_rate"] is None
    assert values["epochs"] == 3 and "augment" not in values


def test_what_is_no_value_of_the_recipe_is_handed_over_too(command):
    plain = parsed(command(trained("study_cnn", **recipes.UNAUGMENTED)))[1]
    assert plain["augment"] is False
    drawn = RECORD | {"data": {"origin": "embedded synthetic faces", "subset": 70}}
    values = parsed(command(drawn))[1]
    assert (values["data"], values["subset"]) == ("synthetic", 70)


def test_every_published_number_of_a_network_has_a_file_a_commit_and_a_command():
    folder = paths.outputs("published")
    lines = (folder / "tables" / "origins.md").read_text().splitlines()[2:]
    found = {file: rest for file, *rest in (line.strip("| ").split(" | ") for line in lines)}
    results = pd.read_csv(folder / "tables" / "results.csv")
    known = results[results.network.isin(parameters.names("networks"))]
    assert len(known) > 200
    for key in known[["split", "network", "seed"]].drop_duplicates().itertuples(index=False):
        file = artifacts.prediction_path(folder, *key).relative_to(folder).as_posix()
        commit, command = found[file]
        notebook, values = parsed(command)
        assert (paths.ROOT / notebook).exists() and len(commit.rstrip("+")) == 12
        assert (values["network"], values["profile"]) == (key.network, "full")
        assert values["subset"] is None
