"""The file, the commit and the command behind each number."""

import shlex

import pandas as pd
import pytest
import yaml
from made_up import faces, predict, run

from fercore import artifacts, paths
from fercore.config import parameters, recipes
from fercore.evaluation import aggregation, origins, scoring

RECORD = {
    "network": "cnn",
    "split": "official",
    "seed": 1,
    "epochs": 3,
    "recipe": "study_cnn",
    "data": {"origin": "FER2013, complete", "subset": None},
}


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
    assert told(origins.command("full", RECORD)) == (
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
    values = told(origins.command("full", record))[1]
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
    assert told(origins.command("full", changed))[1]["batch_size"] == 64


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
    plain = told(origins.command("full", RECORD))[1]
    assert told(origins.command("full", record))[1] == plain | more


def test_every_network_has_a_row_with_links_and_no_aggregate(tmp_path):
    data = faces()
    for network in ("cnn", "sift_cnn"):
        predict(tmp_path, data, network)
    aggregation.save_all(tmp_path, "official")
    made = run(tmp_path, data)
    found = origins.of(made)
    assert list(found.predictions) == [
        "predictions/official/cnn/seed0.npz",
        "predictions/official/sift_cnn/seed0.npz",
    ]
    page = origins.save(found, made)
    text = (tmp_path / "tables" / "origins.md").read_text()
    for file in found.predictions:
        assert f'<a href="../{file}">predictions/<wbr>' in page and f"[{file}](../{file})" in text
        assert (tmp_path / "tables" / ".." / file).exists()
    assert (tmp_path / "tables" / "origins.html").read_text() == page + "\n"


def test_every_published_number_of_a_network_has_a_file_a_commit_and_a_command():
    folder = paths.outputs("published")
    found = origins.of(scoring.Run("published", folder, None)).set_index("predictions")
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
