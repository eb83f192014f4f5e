"""Files written whole or not at all; predictions that come back as they were saved."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fercore import artifacts, paths


def predictions(n=5):
    rng = np.random.default_rng(0)
    return artifacts.Predictions(
        np.arange(n),
        np.repeat([1, 2], [2, n - 2]),
        rng.dirichlet(np.ones(7), n),
        rng.dirichlet(np.ones(7), n),
    )


def test_predictions_come_back(tmp_path):
    saved = predictions()
    artifacts.save_predictions(tmp_path, "official", "cnn", 3, saved, {"epochs": 2})
    found = artifacts.load_predictions(tmp_path, "official", "cnn", 3)
    assert found.row_ids.dtype == np.int32 and found.part.tolist() == [1, 1, 2, 2, 2]
    assert found.probabilities.dtype == np.float16
    error = np.abs(found.probabilities - saved.probabilities)
    assert error.max() < 3e-3 and error[saved.probabilities > 0.1].max() < 1e-3
    assert (found.probabilities.argmax(1) == saved.probabilities.argmax(1)).all()
    assert artifacts.read_record(tmp_path, "official", "cnn", 3) == {"epochs": 2}
    assert artifacts.list_predictions(tmp_path) == [("official", "cnn", 3)]


def test_predictions_come_back_by_split_and_row(tmp_path):
    saved = predictions()
    mixed = artifacts.Predictions(
        *(getattr(saved, name)[[3, 1, 4, 0, 2]] for name in saved.__dataclass_fields__)
    )
    artifacts.save_predictions(tmp_path, "official", "cnn", 0, mixed, {})
    artifacts.save_predictions(tmp_path, "official", "cnn", 1, saved, {})
    found, expected = (
        artifacts.load_predictions(tmp_path, "official", "cnn", seed) for seed in (0, 1)
    )
    assert found.row_ids.tolist() == expected.row_ids.tolist() == [0, 1, 2, 3, 4]
    assert found.part.tolist() == expected.part.tolist()
    assert (found.probabilities == expected.probabilities).all()


def test_missing_and_damaged_predictions_are_one_line(tmp_path):
    with pytest.raises(artifacts.RunError, match="missing; train cnn on official first"):
        artifacts.load_predictions(tmp_path, "official", "cnn", 0)
    path = artifacts.save_predictions(tmp_path, "official", "cnn", 0, predictions(), {})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(artifacts.RunError, match="damaged") as error:
        artifacts.load_predictions(tmp_path, "official", "cnn", 0)
    assert "\n" not in str(error.value)


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    path = artifacts.write_atomically(tmp_path / "table.csv", "old")
    monkeypatch.setattr(
        artifacts.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        artifacts.write_atomically(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_provenance_names_versions():
    assert artifacts.provenance()["versions"]["keras"].startswith("3.")


def test_provenance_names_the_commit_where_there_is_one(tmp_path, monkeypatch):
    commit = artifacts.provenance()["git_commit"]
    assert commit is None or (len(commit) == 40 and int(commit, 16) > 0)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    found = artifacts.provenance()
    assert found["git_commit"] is None and found["git_dirty"] is False


def test_rounding_changes_no_answer_among_many_classes(tmp_path):
    """Of a hundred classes the highest may be below a tenth."""
    said = np.random.default_rng(0).dirichlet(np.full(100, 20.0), 50)
    artifacts.save_predictions(
        tmp_path,
        "official",
        "cnn",
        0,
        artifacts.Predictions(np.arange(50), np.ones(50), said, said),
        {},
    )
    kept = artifacts.load_predictions(tmp_path, "official", "cnn", 0).probabilities.astype(float)
    assert said.max() < 0.1 and np.abs(kept - said).max() < 0.0006


def test_what_a_killed_process_left_unfinished_is_removed_and_nothing_else(tmp_path):
    """What was written to within the hour may be a living process's, here or elsewhere."""
    write = "import sys, os; from fercore import artifacts\n"
    write += "with artifacts.replacing(sys.argv[1]): os.kill(os.getpid(), 9)"
    for name in ("table.csv", "faces.npz"):
        subprocess.run([sys.executable, "-c", write, str(tmp_path / "tables" / name)])
    left = list((tmp_path / "tables").iterdir())
    assert len(left) == 2 and not [path for path in left if path.name in ("table.csv", "faces.npz")]
    for path in (*left, tmp_path / ".lock"):
        path.touch()
        os.utime(path, (0, 0))
    with artifacts.replacing(tmp_path / "now.csv") as own:
        artifacts.remove_unfinished(tmp_path, tmp_path / "nowhere")
        assert own.exists() and (tmp_path / ".lock").exists()
    assert not list((tmp_path / "tables").iterdir()) and (tmp_path / "now.csv").exists()


def test_a_file_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(artifacts.os, "fsync", lambda _: done.append("synced"))
    monkeypatch.setattr(artifacts.os, "replace", lambda *_: done.append("named"))
    artifacts.write_atomically(tmp_path / "a", "b")
    assert done == ["synced", "named"]


@pytest.mark.parametrize("name", ["../..", "..", "", "/tmp", "a/b", ".hidden", "-x", "a b", "ok\n"])
def test_a_profile_that_leads_out_of_outputs_is_refused(name):
    with pytest.raises(ValueError, match="a name of letters, digits, - and _ expected"):
        paths.outputs(name)


@pytest.mark.parametrize(
    "text, shown", [("a\x1b]0;x\x07", "a?]0;x?"), ("é\n", "é?"), ("x" * 99, "x" * 79 + "…")]
)
def test_no_control_character_is_printed(text, shown):
    assert artifacts.printable(text) == shown


def test_a_duration_is_said_in_its_nearest_unit():
    said = [artifacts.duration(seconds) for seconds in (45, 1260, 11520)]
    assert said == ["45 s", "21 min", "3.2 h"]
