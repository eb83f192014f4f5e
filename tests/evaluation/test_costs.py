"""What trainings cost, and the file, the commit and the command behind each number."""

import shlex

import numpy as np
import pandas as pd
import pytest
import yaml
from made_up import faces, predict, run

from fercore import artifacts, paths
from fercore.config import parameters, recipes
from fercore.evaluation import aggregates, costs, scoring

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
    table = costs.trainings(made)
    assert list(table.network) == ["cnn", "sift_cnn"]
    row = table.iloc[0]
    assert row.gflops == pytest.approx(6 * 2000 * 500 / 1e9)
    assert np.isnan(row.limit_share)
    assert costs.readable(table).training.iloc[0] == "60\u00a0s"


def test_a_readable_row_takes_a_line_and_few_columns(made):
    amend(
        made,
        epochs=80,
        best_epoch=72,
        matrix_product_macs=6_000_000,
        recipe="study",
        precision="bfloat16",
        processor="AMD EPYC",
        cores=2,
        device="cpu",
    )
    table = costs.trainings(made)
    row = costs.readable(table).iloc[0]
    assert not any(" " in value for value in row if isinstance(value, str))
    assert (row["best epoch"], row["of the limit"], row["training"]) == ("72", "50%", "60\u00a0s")
    assert row["hardware"].replace("\u00a0", " ") == "cpu, AMD EPYC, 2 cores"


def test_share_of_the_limit_counts_small_faces_by_their_area(made):
    amend(made, matrix_product_macs=6_000_000)
    assert costs.trainings(made).limit_share.iloc[0] == pytest.approx(0.5)
    amend(
        made,
        matrix_product_macs=6_000_000,
        recipe_parameters={"small_side": 24, "small_share": 0.5, "crop": None},
    )
    assert costs.trainings(made).limit_share.iloc[0] == pytest.approx(0.5 * 0.625)


def told(command):
    """The notebook of a command and the values that it hands over."""
    words = shlex.split(command)
    assert (words[0], words[3:6]) == ("papermill", ["--cwd", "notebooks", "-y"])
    return words[1], yaml.safe_load(words[6])


def trained(name, **changes):
    """A record's recipe parameters: those of the recipe, changed."""
    recipe = vars(recipes.read(name))
    return RECORD | {"recipe": name, "recipe_parameters": recipe | changes}


def test_a_training_by_its_own_recipe_needs_its_name_and_epochs():
    assert told(costs.command("full", RECORD)) == (
        "notebooks/10_cnn.ipynb",
        {
            "network": "cnn",
            "split": "official",
            "seed": 1,
            "epochs": 3,
            "subset": None,
            "profile": "full",
        },
    )


def test_values_of_a_try_by_hand_are_taken_back():
    record = RECORD | {"network": "compact", "recipe": "compact"}
    values = told(costs.command("full", record))[1]
    assert list(values) == [
        "network",
        "split",
        "seed",
        "epochs",
        "batch_size",
        "learning_rate",
        "subset",
        "profile",
    ]
    assert (
        values["batch_size"] is None and values["learning_rate"] is None and values["epochs"] == 3
    )
    changed = record | {"recipe_parameters": vars(recipes.read("compact")) | {"batch_size": 64}}
    assert told(costs.command("full", changed))[1]["batch_size"] == 64


@pytest.mark.parametrize(
    "record, more",
    [
        (trained("study"), {"recipe": "study"}),
        (trained("study_cnn", learning_rate=0.01), {"learning_rate": 0.01}),
        (trained("study_cnn", **recipes.UNAUGMENTED), {"augment": False}),
        (
            trained("study_cnn", mixup=0.5),
            {},
        ),  # no parameter of the notebook: the recipe was another at that commit
        (trained("study_cnn") | {"recipe": "of_its_own"}, {"recipe": "of_its_own"}),
        (
            RECORD | {"data": {"origin": "embedded synthetic faces", "subset": 70}},
            {"data": "synthetic", "subset": 70},
        ),
    ],
)
def test_what_differs_from_network_and_recipe_is_told(record, more):
    plain = told(costs.command("full", RECORD))[1]
    assert told(costs.command("full", record))[1] == plain | more


def test_every_network_has_a_row_and_no_aggregate(tmp_path):
    data = faces()
    for network in ("cnn", "sift_cnn"):
        predict(tmp_path, data, network)
    aggregates.save_all(tmp_path, "official")
    made = run(tmp_path, data)
    found = costs.origins(made)
    assert list(found.predictions) == [
        "predictions/official/cnn/seed0.npz",
        "predictions/official/sift_cnn/seed0.npz",
    ]
    assert all((tmp_path / file).exists() for file in found.predictions)


def test_every_published_number_of_a_network_has_a_file_a_commit_and_a_command():
    folder = paths.outputs("published")
    found = costs.origins(scoring.Run("published", folder, None)).set_index("predictions")
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
