"""What trainings cost, and the file, the commit and the command behind each number."""

import shlex

import pandas as pd
import pytest
import yaml
from made_up import faces, predict, run

from fercore import artifacts, paths
from fercore.config import parameters, recipes
from fercore.evaluation import aggregates, comparison, scoring

RECORD = {
    "network": "cnn",
    "split": "official",
    "seed": 1,
    "epochs": 3,
    "recipe": "study_cnn",
    "data": {"origin": "FER2013, complete", "subset": None},
}


@pytest.fixture
def made(tmp_path):
    data = faces()
    predict(tmp_path, data, "cnn", seed=0)
    predict(tmp_path, data, "sift_cnn", seed=0)
    aggregates.save_all(tmp_path, "official")
    return run(tmp_path, data)


def amend(made, **values):
    record = artifacts.read_record(made.folder, "official", "cnn", 0)
    path = artifacts.prediction_path(made.folder, "official", "cnn", 0).with_suffix(".json")
    artifacts.write_json(path, record | values)


def test_a_row_a_training_none_for_aggregates(made):
    table = comparison.trainings(made)
    assert list(table.network) == ["cnn", "sift_cnn"]
    assert table.macs.tolist() == [2000, 2000]
    assert comparison.readable(table).training.iloc[0] == "60\u00a0s"


def test_a_readable_row_takes_a_line_and_few_columns(made):
    amend(
        made,
        epochs=80,
        best_epoch=72,
        recipe="study",
        precision="bfloat16",
        processor="AMD EPYC",
        cores=2,
        device="cpu",
    )
    table = comparison.trainings(made)
    row = comparison.readable(table).iloc[0]
    assert not any(" " in value for value in row if isinstance(value, str))
    assert (row["best epoch"], row["training"]) == ("72", "60\u00a0s")
    assert row["hardware"].replace("\u00a0", " ") == "cpu, AMD EPYC, 2 cores"


def told(command):
    """The notebook of a command and the values that it hands over."""
    words = shlex.split(command)
    assert (words[0], words[3:6]) == ("papermill", ["--cwd", "notebooks", "-y"])
    return words[1], yaml.safe_load(words[6])


def trained(name, **changes):
    """A record's recipe parameters: those of the recipe, changed."""
    recipe = vars(recipes.read(name))
    return RECORD | {"recipe": name, "recipe_parameters": recipe | changes}


def test_a_training_is_made_again_by_the_values_that_it_had():
    notebook, values = told(comparison.command("full", trained("study_cnn", learning_rate=0.01)))
    assert notebook == "notebooks/10_cnn.ipynb"
    wanted = {"network": "cnn", "split": "official", "seed": 1, "epochs": 3, "recipe": "study_cnn"}
    wanted |= {"learning_rate": 0.01, "subset": None, "profile": "full"}
    assert wanted.items() <= values.items()
    assert not {"mixup", "flip", "augment", "data"} & values.keys()  # no parameters, or the default


def test_of_a_record_without_its_recipe_the_recipe_decides():
    """None in place of what a notebook declares for tries by hand."""
    values = told(comparison.command("full", RECORD | {"network": "compact", "recipe": "compact"}))[
        1
    ]
    assert values["batch_size"] is None and values["learning_rate"] is None
    assert values["epochs"] == 3 and "augment" not in values


def test_what_is_no_value_of_the_recipe_is_handed_over_too():
    plain = told(comparison.command("full", trained("study_cnn", **recipes.UNAUGMENTED)))[1]
    assert plain["augment"] is False
    drawn = RECORD | {"data": {"origin": "embedded synthetic faces", "subset": 70}}
    values = told(comparison.command("full", drawn))[1]
    assert (values["data"], values["subset"]) == ("synthetic", 70)


def test_every_network_has_a_row_and_no_aggregate(tmp_path):
    data = faces()
    for network in ("cnn", "sift_cnn"):
        predict(tmp_path, data, network)
    aggregates.save_all(tmp_path, "official")
    made = run(tmp_path, data)
    found = comparison.origins(made)
    assert list(found.predictions) == [
        "predictions/official/cnn/seed0.npz",
        "predictions/official/sift_cnn/seed0.npz",
    ]
    assert all((tmp_path / file).exists() for file in found.predictions)


def test_every_published_number_of_a_network_has_a_file_a_commit_and_a_command():
    folder = paths.outputs("published")
    found = comparison.origins(scoring.Run("published", folder, None)).set_index("predictions")
    results = pd.read_csv(folder / "tables" / "results.csv")
    known = results[results.network.isin(parameters.network_names())]
    assert len(known) > 200
    for split, network, seed in (
        known[["split", "network", "seed"]].drop_duplicates().itertuples(index=False)
    ):
        row = found.loc[
            artifacts.prediction_path(folder, split, network, seed).relative_to(folder).as_posix()
        ]
        notebook, values = told(row.command)
        assert (paths.ROOT / notebook).exists() and len(row.commit.rstrip("+")) == 12
        assert (
            values["network"] == network
            and values["profile"] == "full"
            and values["subset"] is None
        )
