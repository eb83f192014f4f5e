"""As a new user: a wheel, an empty environment, another folder."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from PIL import Image

from fercore import paths


def call(*words, **how):
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=600, **how)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The programs of a fresh environment in which nothing but the wheel was installed."""
    place = tmp_path_factory.mktemp("wheel")
    listed = call(
        "git", "-C", paths.ROOT, "ls-files", "-z", "fercore", "pyproject.toml", "README.md"
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (paths.ROOT / name).is_file():  # a copy: building leaves files beside the source
            target = place / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((paths.ROOT / name).read_bytes())
    pip = (sys.executable, "-m", "pip")
    built = call(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", place, place / "source")
    assert built.returncode == 0, built.stderr
    venv.create(place / "env", with_pip=False, symlinks=True)
    programs = place / "env" / ("Scripts" if os.name == "nt" else "bin")
    (wheel,) = place.glob("*.whl")
    installed = call(*pip, "--python", place / "env", "install", "--no-compile", wheel)
    if installed.returncode:
        pytest.skip(f"pip has no index here: {installed.stderr.strip().splitlines()[-1]}")
    return programs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("pictures")
    portrait = pytest.importorskip("skimage.data").astronaut()
    for name in ("one.jpg", "two.png"):
        Image.fromarray(portrait).save(place / name)
    return place


def test_it_recognises_a_picture_and_a_folder_from_anywhere(environment, folder):
    one = call(environment / "fercore", "recognise", "one.jpg", "--detector", "haar", cwd=folder)
    assert one.returncode == 0 and "Happy" in one.stdout and not one.stderr, one.stderr
    options = ("--detector", "haar", "--out", "o.csv")
    many = call(environment / "fercore", "recognise", ".", *options, cwd=folder)
    assert many.returncode == 0, many.stderr
    assert [line.split(",")[0] for line in (folder / "o.csv").read_text().splitlines()[1:]] == [
        "one.jpg",
        "two.png",
    ]


def test_nothing_heavy_comes_along(environment, folder):
    code = (
        "import importlib.util as u, pathlib, sysconfig, fercore, fercore.paths as p;"
        "print(p.IN_CLONE, [n for n in ('tensorflow', 'keras', 'pandas', 'matplotlib', 'snakemake')"
        " if u.find_spec(n)]);"
        "print(sum(f.stat().st_size for f in pathlib.Path(sysconfig.get_path('purelib')).rglob('*')"
        " if f.is_file()) // 10**6)"
    )
    there = call(environment / "python", "-c", code, cwd=folder)
    first, megabytes = there.stdout.splitlines()
    assert first == "False []" and int(megabytes) <= 350


def test_a_command_of_the_study_says_that_it_needs_the_clone(environment, folder):
    told = call(environment / "fercore", "run", "quick", cwd=folder)
    assert told.returncode == 2 and told.stderr.count("\n") == 1 and "clone" in told.stderr


def test_the_version_is_that_of_the_project(environment):
    code = "from importlib.metadata import version; print(version('fercore'))"
    version = call(environment / "python", "-c", code).stdout.strip()
    assert f'version = "{version}"' in Path(paths.ROOT / "pyproject.toml").read_text()
