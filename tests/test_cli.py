"""The commands: what goes wrong is one line, what belongs to Snakemake reaches it."""

import os
import subprocess
import sys
import warnings

import pytest
from PIL import Image

from fercore import cli, paths
from fercore.recognition import command


@pytest.mark.parametrize(
    "error, line",
    [
        (ValueError("first\nsecond"), "first?second"),
        (RuntimeError("no session"), "no session"),
        (TypeError("a number is no path"), "a number is no path"),
        (PermissionError(13, "Permission denied", "a.png"), "a.png: Permission denied"),
        (OSError("disk full"), "disk full"),
        (ImportError("initialization failed"), "initialization failed"),
        (ModuleNotFoundError(name="keras"), "keras is not installed; pip install 'fercore[study]'"),
    ],
)
def test_a_known_error_is_one_line(monkeypatch, capsys, error, line):
    def fail(_):
        raise error

    monkeypatch.setattr(command, "run", fail)
    assert cli.main(["recognise", "a.png"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"fercore: {line}") and said.count("\n") == 1


def test_a_warning_is_one_line(monkeypatch, capsys):
    def warned(_):
        warnings.warn("the weaker detector", stacklevel=1)
        return 0

    monkeypatch.setattr(command, "run", warned)
    assert cli.main(["recognise", "a.png"]) == 0
    assert capsys.readouterr().err == "fercore: the weaker detector\n"


def test_an_interruption_is_no_mistake(monkeypatch, capsys):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run", stop)
    assert cli.main(["recognise", "a.png"]) == 130
    assert capsys.readouterr().err == "fercore: interrupted\n"


@pytest.mark.parametrize("given", [["run"], ["index", "quick"], ["publish", "full"], ["documents"]])
def test_commands_of_the_study_need_a_clone(monkeypatch, capsys, given):
    monkeypatch.setattr(paths, "IN_CLONE", False)
    assert cli.main(given) == 2
    assert "clone the study and use ./run_all.sh" in capsys.readouterr().err


def test_options_behind_two_dashes_are_snakemakes(monkeypatch):
    from fercore.workflow import run

    calls = []
    monkeypatch.setattr(run, "run", lambda name, **options: calls.append((name, options)))
    assert cli.main(["run", "smoke", "--cores", "2", "--", "--executor", "slurm"]) == 0
    [(name, options)] = calls
    assert name == "smoke" and options["extra"] == ["--executor", "slurm"]
    assert options["cores"] == 2 and not options["force"] and not options["dry_run"]


def test_names_that_begin_with_a_dash_go_behind_two(monkeypatch):
    taken = []
    monkeypatch.setattr(command, "run", lambda options: taken.append(options.paths) or 0)
    assert cli.main(["recognise", "a.png", "--", "-b.png"]) == 0
    assert taken == [["a.png", "-b.png"]]


def test_a_reader_that_has_gone_is_no_mistake(tmp_path):
    Image.new("RGB", (400, 400)).save(tmp_path / "a.png")
    code = "from fercore import cli; raise SystemExit(cli.main())"
    options = [tmp_path / "a.png", "--detector", "whole", "--format", "csv"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", code, "recognise", *options], stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert done.returncode == 141 and done.stderr == b""


def test_a_bare_run_takes_the_profiles_of_the_data_at_hand_and_tells_the_worst_end(monkeypatch):
    from fercore.workflow import run

    for path, names in ((None, ["rederived", "demonstration"]), ("fer2013.csv", ["quick"])):
        ran = []
        monkeypatch.setattr(run.datasets, "find", lambda path=path: path)
        monkeypatch.setattr(run, "run", lambda name, ran=ran, **_: ran.append(name) or len(ran) % 2)
        assert cli.main(["run"]) == 1 and ran == names


def test_an_interruption_ends_a_bare_run(monkeypatch):
    from fercore.workflow import run

    ran = []
    monkeypatch.setattr(run, "default", lambda: ["first", "second"])
    monkeypatch.setattr(run, "run", lambda name, **_: ran.append(name) or run.INTERRUPTED)
    assert cli.main(["run"]) == run.INTERRUPTED and ran == ["first"]
