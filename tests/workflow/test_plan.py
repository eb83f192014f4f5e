"""A profile becomes jobs; a mistake in it is an error before anything runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from fercore import paths
from fercore.config import parameters, reading
from fercore.config.reading import ParameterError
from fercore.data import datasets
from fercore.data.faces import from_arrays
from fercore.workflow import plan, run

CNN = "notebook: 10_cnn\nrecipe: study\nbase: cnn\ninputs: [image]\n"


def notebook(folder, name, declarations, imports=""):
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": f"# {name}"},
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": declarations},
        {"cell_type": "code", "metadata": {}, "source": imports},
    ]
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of four notebooks, two networks, three recipes and a profile."""
    for name in ("notebooks", "params/profiles", "params/networks", "params/recipes", "outputs"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("study", "mild", "longer"):
        (tmp_path / f"params/recipes/{name}.yaml").write_text("{}")
    for name in ("ROOT", "NOTEBOOKS", "PARAMS", "OUTPUTS"):
        monkeypatch.setattr(paths, name, tmp_path / ("" if name == "ROOT" else name.lower()))
    shared = "from typing import Optional\ndata: Optional[str] = None\nprofile: str = 'x'\n"
    notebook(
        tmp_path / "notebooks",
        "01_eda",
        shared + "subset: Optional[int] = 5\n",
        "from fercore import figures",
    )
    family = "subset: Optional[int] = 5\nsplit: str = 'a'\nnetwork: str = 'b'\nseed: int = 0\n"
    family += "rate: float = 1\nrecipe: Optional[str] = None\nreplay: bool = False\n"
    notebook(tmp_path / "notebooks", "10_cnn", shared + family)
    notebook(tmp_path / "notebooks", "20_mean", shared + "split: str = 'a'\n")
    notebook(tmp_path / "notebooks", "30_tables", shared)
    for name in ("cnn", "sift_cnn"):
        (tmp_path / f"params/networks/{name}.yaml").write_text(CNN)
    reading.declared.cache_clear()
    yield tmp_path
    reading.declared.cache_clear()


def write_profile(project, text):
    (project / "params/profiles/small.yaml").write_text(text)
    return parameters.profile("small")


def jobs_of(project, text):
    return plan.jobs(write_profile(project, text))


def test_jobs_cover_every_network_split_and_seed(project):
    found = jobs_of(
        project, "seeds: [0, 1]\nnetworks: {official: [cnn, sift_cnn], pooled_64_16_20: [cnn]}"
    )
    assert [job.name for job in found] == [
        "01_eda",
        "10_cnn.official.cnn.seed0",
        "10_cnn.official.cnn.seed1",
        "10_cnn.official.sift_cnn.seed0",
        "10_cnn.official.sift_cnn.seed1",
        "10_cnn.pooled_64_16_20.cnn.seed0",
        "10_cnn.pooled_64_16_20.cnn.seed1",
        "20_mean.official",
        "20_mean.pooled_64_16_20",
        "30_tables",
    ]
    by_name = {job.name: job for job in found}
    assert by_name["20_mean.pooled_64_16_20"].parameters == {
        "profile": "small",
        "split": "pooled_64_16_20",
    }
    assert by_name["30_tables"].after == ("20_mean.official", "20_mean.pooled_64_16_20")
    pooled = [
        str(path) for path in by_name["20_mean.pooled_64_16_20"].inputs if path.suffix == ".npz"
    ]
    assert pooled == [
        "predictions/pooled_64_16_20/cnn/seed0.npz",
        "predictions/pooled_64_16_20/cnn/seed1.npz",
    ]


def test_a_network_waits_for_its_teachers(project):
    (project / "params/networks/pupil.yaml").write_text(CNN + "teachers: [cnn, other]\n")
    found = jobs_of(project, "seeds: [1]\nnetworks: {official: [pupil, cnn]}")
    [job] = [job for job in found if job.parameters.get("network") == "pupil"]
    assert [str(path) for path in job.inputs if path.suffix == ".npz"] == [
        "predictions/official/cnn/seed1.npz"
    ]


def test_a_network_waits_for_all_seeds_of_its_teachers_that_run(project):
    told = CNN + "teachers: [cnn]\nteacher_seeds: [0, 2, 3]\n"
    (project / "params/networks/pupil.yaml").write_text(told)
    found = jobs_of(project, "seeds: [1, 2, 3]\nnetworks: {official: [pupil, cnn]}")
    job = next(job for job in found if job.parameters.get("network") == "pupil")
    waited = [path.stem for path in job.inputs if path.suffix == ".npz"]
    assert waited == ["seed2", "seed3"]


def test_a_network_waits_for_the_one_that_it_starts_from(project):
    (project / "params/networks/pupil.yaml").write_text(CNN + "starts_from: cnn\n")
    found = jobs_of(project, "seeds: [1]\nnetworks: {official: [pupil, cnn]}")
    job = next(job for job in found if job.parameters.get("network") == "pupil")
    waited = [str(path) for path in job.inputs if path.suffix == ".npz"]
    assert waited == ["predictions/official/cnn/seed1.npz"]


def test_the_profile_replaces_defaults_where_they_are_declared(project):
    found = jobs_of(
        project, "networks: {official: [cnn]}\nparameters: {all: {subset: null}, 10_cnn: {rate: 2}}"
    )
    values = {job.notebook: job.parameters for job in found}
    assert values["01_eda"]["subset"] is None and values["10_cnn"]["rate"] == 2
    assert "subset" not in values["30_tables"]


def test_a_split_replaces_what_the_notebook_and_all_say(project):
    told = "parameters: {official: {rate: 3, recipe: mild}, 10_cnn: {rate: 2}}"
    found = jobs_of(project, f"networks: {{official: [cnn], pooled_64_16_20: [cnn]}}\n{told}")
    trained = {job.parameters["split"]: job for job in found if job.notebook == "10_cnn"}
    assert {name: job.parameters["rate"] for name, job in trained.items()} == {
        "official": 3,
        "pooled_64_16_20": 2,
    }
    recipes = {name: [path.name for path in job.inputs][-1] for name, job in trained.items()}
    assert recipes == {"official": "mild.yaml", "pooled_64_16_20": "study.yaml"}


def test_no_place_of_the_data_is_handed_to_a_notebook(project):
    assert "data" not in jobs_of(project, "description: any")[0].parameters
    assert jobs_of(project, "data: synthetic")[0].parameters["data"] == "synthetic"


def test_only_cheap_notebooks_run_again_when_code_changes(project):
    (project / "fercore").mkdir()
    (project / "fercore/figures.py").write_text("from fercore import paths")
    (project / "fercore/paths.py").write_text("")
    found = {job.notebook: job for job in jobs_of(project, "networks: {official: [cnn]}")}
    assert [path.name for path in found["01_eda"].inputs] == [
        "01_eda.ipynb",
        "figures.py",
        "paths.py",
    ]
    assert not [path for path in found["10_cnn"].inputs if path.suffix == ".py"]


def test_a_table_kept_from_a_training_counts_where_nothing_is_trained(project):
    notebook(project / "notebooks", "26_few_faces", "profile: str = 'x'\n")
    kept = project / "outputs/small/tables/learning_curve.csv"
    kept.parent.mkdir(parents=True)
    kept.touch()
    inputs = {
        text: jobs_of(project, text)[-1].inputs
        for text in (
            "notebooks: [26_few_faces]",
            "notebooks: [26_few_faces]\nnetworks: {official: [cnn]}",
        )
    }
    assert [Path("tables/learning_curve.csv") in found for found in inputs.values()] == [
        True,
        False,
    ]


def test_a_network_that_may_be_skipped_promises_no_predictions_and_reports_wait_for_it(project):
    (project / "params/networks/far.yaml").write_text(CNN + "needs: weights\n")
    found = {
        job.name: job
        for job in jobs_of(project, "networks: {official: [cnn, far], pooled_64_16_20: [cnn]}")
    }
    assert found["10_cnn.official.far.seed0"].outputs == ()
    assert "10_cnn.official.far.seed0" in found["20_mean.official"].after
    assert "10_cnn.official.far.seed0" not in found["20_mean.pooled_64_16_20"].after
    assert "10_cnn.official.far.seed0" in found["30_tables"].after
    assert not any("far" in str(path) for path in found["20_mean.official"].inputs)


def test_views_that_nobody_knows_are_told_before_a_training(project):
    (project / "params/networks/odd.yaml").write_text(CNN + "views: 5\n")
    with pytest.raises(
        ParameterError, match=r"params/networks/odd.yaml: views is 5: should be 1, 2 or 10"
    ):
        jobs_of(project, "networks: {official: [odd]}")


def test_a_training_depends_on_its_recipe_and_on_a_model_of_ones_own(project):
    (project / "params/networks/mine.yaml").write_text(
        "notebook: 10_cnn\nrecipe: study\ninputs: [image]\nmodel: models/mine.keras\n"
    )
    with pytest.raises(ParameterError, match=r"mine.yaml: model 'models/mine.keras': no such file"):
        jobs_of(project, "networks: {official: [mine]}")
    (project / "models").mkdir()
    (project / "models/mine.keras").touch()
    [job] = [
        job for job in jobs_of(project, "networks: {official: [mine]}") if job.notebook == "10_cnn"
    ]
    assert [path.name for path in job.inputs] == [
        "10_cnn.ipynb",
        "mine.yaml",
        "study.yaml",
        "mine.keras",
    ]


def test_a_network_replaces_what_its_split_says(project):
    told = "parameters: {official: {rate: 3, recipe: mild}, sift_cnn: {recipe: null}}"
    trained = [
        job
        for job in jobs_of(project, f"networks: {{official: [cnn, sift_cnn]}}\n{told}")
        if job.trains
    ]
    assert [(job.parameters["rate"], job.parameters["recipe"]) for job in trained] == [
        (3, "mild"),
        (3, None),
    ]
    assert [[path.name for path in job.inputs][-1] for job in trained] == [
        "mild.yaml",
        "study.yaml",
    ]


@pytest.mark.parametrize(
    "text, words",
    [
        ("parameters: {10_cnn: {rte: 2}}", ["small.yaml", "'rte'", "notebook 10_cnn", "'rate'"]),
        ("parameters: {all: {subst: 2}}", ["small.yaml", "'subst'", "'subset'"]),
        (
            "parameters: {10_cnn: {rate: fast}}",
            ["small.yaml", "rate", "'fast'", "number", "10_cnn"],
        ),
        ("parameters: {all: {subset: 0.5}}", ["subset", "0.5", "integer"]),
        ("parameters: {official: {rte: 2}}", ["small.yaml", "'rte'", "any notebook", "'rate'"]),
        ("parameters: {cnn: {rte: 2}}", ["small.yaml", "'rte'", "notebook 10_cnn", "'rate'"]),
        ("parameters: {cnn: {rate: fast}}", ["small.yaml", "rate", "'fast'", "number", "10_cnn"]),
        ("parameters: {10_cn: {rate: 2}}", ["10_cn", "'10_cnn'"]),
        (
            "networks: {oficial: [cnn]}",
            ["small.yaml", "split 'oficial' is unknown", "'official'"],
        ),
        ("networks: {official: [cnm]}", ["'cnm'", "params/networks/", "'cnn'"]),
        ("notebooks: [31_tables]", ["31_tables", "'30_tables'"]),
        ("netwrks: {}", ["small.yaml", "'netwrks'", "'networks'"]),
        ("networks: {", ["small.yaml", "line 2", "not YAML"]),
        ("- a", ["small.yaml", "list"]),
    ],
)
def test_a_mistake_is_one_line_that_names_file_key_and_cure(project, text, words):
    with pytest.raises(ParameterError) as error:
        jobs_of(project, text)
    message = str(error.value)
    assert "\n" not in message and not [word for word in words if word not in message]


def test_a_notebook_without_a_choice_of_recipe_keeps_the_one_of_its_network(project):
    notebook(
        project / "notebooks",
        "11_vgg",
        "network: str = 'vgg'\nsplit: str = 'a'\nseed: int = 0\n",
    )
    (project / "params/networks/vgg.yaml").write_text(
        "notebook: 11_vgg\nrecipe: longer\nbase: vgg\ninputs: [image]\n"
    )
    found = jobs_of(
        project, "networks: {official: [cnn, vgg]}\nparameters: {official: {recipe: mild}}"
    )
    recipes = {job.notebook: job.inputs[-1].name for job in found if job.trains}
    assert recipes == {"10_cnn": "mild.yaml", "11_vgg": "longer.yaml"}


def test_splits_that_the_data_cannot_have_are_left_out(project):
    text = "networks: {official: [cnn], pooled_64_16_20: [cnn]}"
    found = plan.jobs(write_profile(project, text), {"pooled_64_16_20": "no votes"})
    assert [job.name for job in found] == [
        "01_eda",
        "10_cnn.official.cnn.seed0",
        "20_mean.official",
        "30_tables",
    ]
    assert not any("pooled" in str(path) for job in found for path in job.inputs)


def test_a_notebook_about_a_split_is_left_out_with_it(project):
    for name in plan.ABOUT:
        notebook(project / "notebooks", name, "profile: str = 'x'\nsplit: str = 'official_five'\n")
    text = "networks: {official: [cnn]}\nparameters: {23_hyperparameter_search: {split: official}}"
    found = {
        job.notebook
        for job in plan.jobs(write_profile(project, text), {"official_five": "no such classes"})
    }
    assert found & plan.ABOUT.keys() == plan.ABOUT.keys() - {"22_batch_normalisation"}


@pytest.mark.parametrize(("split", "there"), [("official", True), ("pooled_80_10_10", False)])
def test_what_reads_predictions_on_a_split_runs_where_there_are_some(project, split, there):
    notebook(project / "notebooks", "31_one_split", "split: str = 'official'\n")
    profile = write_profile(project, f"networks: {{{split}: [cnn, sift_cnn]}}\n")
    assert ("31_one_split" in [job.notebook for job in plan.jobs(profile)]) == there


def test_a_notebook_that_trains_networks_of_the_profile_may_be_named(project):
    found = jobs_of(project, "networks: {official: [cnn]}\nnotebooks: [10_cnn]")
    assert [job.name for job in found] == ["10_cnn.official.cnn.seed0"]


def test_what_notebooks_are_about_is_tried_with_the_data_and_told(project, monkeypatch):
    """Two classes, all Training: neither has the split of five classes, nor the official one."""
    for name in plan.ABOUT:
        notebook(project / "notebooks", name, "profile: str = 'x'\n")
    images = np.random.default_rng(0).integers(0, 256, (20, 48, 48), np.uint8)
    faces = from_arrays(images, np.arange(20) % 2, np.zeros(20, int), "own", ("Happy", "Sad"))
    monkeypatch.setattr(datasets, "load", lambda source: faces)
    chosen = write_profile(project, "networks: {pooled_64_16_20: [cnn]}")
    left_out = run.prepare(chosen)["left_out"]
    assert (
        left_out.keys() == {"official_five", "official"} and "Neutral" in left_out["official_five"]
    )
    found = {job.notebook for job in plan.jobs(chosen, left_out)}
    assert "10_cnn" in found and not found & plan.ABOUT.keys()


def test_recognition_waits_for_no_training(project):
    notebook(project / "notebooks", "40_recognition", "profile: str = 'x'\n")
    job = jobs_of(project, "networks: {official: [cnn]}")[-1]
    assert job.name == "40_recognition" and not job.after
    assert [path.name for path in job.inputs] == ["40_recognition.ipynb"]


@pytest.mark.parametrize(
    "file, content, words",
    [
        (
            "aggregates.yaml",
            "pair: {members: cnn}",
            r"params/aggregates\.yaml: pair: members is 'cnn': should",
        ),
        ("aggregates.yaml", "pair: [", r"params/aggregates\.yaml, line 2: not YAML"),
        (
            "recipes/study.yaml",
            "mixup: much",
            r"params/recipes/study\.yaml: mixup is 'much': should be a valid number",
        ),
        (
            "recipes/second.yaml",
            "epochs: 0",
            r"params/recipes/second\.yaml: epochs is 0: should be greater than 0",
        ),
        ("networks/cnn.yaml", "recipe: study", r"params/networks/cnn\.yaml: needs `notebook`"),
    ],
)
def test_the_files_that_a_profile_needs_are_checked_before_a_training(
    project, file, content, words
):
    (project / "params/recipes/second.yaml").write_text("{}")
    (project / "params/networks/tuned.yaml").write_text(
        CNN + "fine_tuning: {trainable_from: top, recipe: second}\n"
    )
    (project / "params" / file).write_text(content)
    with pytest.raises(ParameterError, match=words):
        jobs_of(project, "networks: {official: [cnn, tuned]}")


REPLAYED = "notebooks: [20_mean, 10_cnn, 01_eda]\nparameters: {all: {replay: true}}"


def test_a_training_notebook_listed_as_notebook_is_replayed_once_in_its_place(project):
    made = project / "outputs/small/predictions/official/cnn/seed0.npz"
    made.parent.mkdir(parents=True)
    made.touch()
    found = jobs_of(project, REPLAYED)
    assert [job.name for job in found] == ["01_eda", "10_cnn", "20_mean.official"]
    replayed = found[1]
    assert replayed.parameters == {"profile": "small", "replay": True}  # its own network and split
    assert not replayed.trains and replayed.outputs == ()
    assert Path("predictions/official/cnn/seed0.npz") in replayed.inputs
    assert found[2].after == ()


def test_all_notebooks_run_that_train_nothing_when_none_is_named(project):
    told = [jobs_of(project, f"parameters: {{all: {{replay: {so}}}}}") for so in ("true", "false")]
    assert [[job.name for job in found] for found in told] == [
        ["01_eda", "10_cnn", "30_tables"],
        ["01_eda", "30_tables"],
    ]


def test_a_replayed_notebook_runs_again_when_the_code_behind_it_changes(project):
    notebook(
        project / "notebooks", "11_vgg", "replay: bool = False\n", "from fercore import figures"
    )
    (project / "fercore").mkdir()
    (project / "fercore/figures.py").write_text("")
    [job] = jobs_of(project, "notebooks: [11_vgg]\nparameters: {11_vgg: {replay: true}}")
    assert [path.name for path in job.inputs] == ["11_vgg.ipynb", "figures.py"]


@pytest.mark.parametrize("told", ["", "parameters: {all: {replay: false}}", "networks: {}"])
def test_a_notebook_that_would_train_no_network_of_the_profile_is_refused(project, told):
    with pytest.raises(ParameterError, match=r"10_cnn trains; name its networks .* `replay: true`"):
        jobs_of(project, f"notebooks: [10_cnn]\n{told}")


def test_a_number_is_written_as_in_python(project):
    [job] = [
        job
        for job in jobs_of(
            project, "networks: {official: [cnn]}\nparameters: {10_cnn: {rate: 1e-1}}"
        )
        if job.trains
    ]
    assert job.parameters["rate"] == 0.1


def test_a_recipe_that_no_network_follows_is_no_hindrance(project):
    (project / "params/recipes/other.yaml").write_text("mixup: much")
    assert jobs_of(project, "networks: {official: [cnn]}")
