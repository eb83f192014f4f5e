"""Notebook 41: what is checked is what OpenCV's programs will read; the cascade they make loads."""

import json
import os
import sys
from pathlib import Path

import cv2
import made_up
import numpy as np
import pytest
from PIL import Image

from fercore import paths
from fercore.data import datasets
from fercore.plots import style
from fercore.recognition import detection

FAKE = """#!{python}
import pathlib, shutil, sys
name, given = pathlib.Path(sys.argv[0]).name, dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("NEG count : acceptanceRatio    12 : 0.25")
if name == "opencv_createsamples":
    boxes = 0
    for line in open(given["-info"]):
        file, count, *values = line.split()
        assert pathlib.Path(file).is_file() and len(values) == 4 * int(count), line
        boxes += int(count)
    assert boxes == int(given["-num"])
    pathlib.Path(given["-vec"]).write_text(str(boxes))
else:
    assert all(pathlib.Path(line.strip()).is_file() for line in open(given["-bg"]))
    assert int(given["-numPos"]) <= int(open(given["-vec"]).read())
    shutil.copy({cascade!r}, pathlib.Path(given["-data"]) / "cascade.xml")
"""
NOTEBOOK = paths.ROOT / "notebooks" / "41_own_cascade.ipynb"
BOXES = "a.png,1,2,30,30\nb.png,0,0,80,60\na.png,40,20,40,40"


@pytest.fixture(scope="module")
def faces():
    return made_up.faces(60)


@pytest.fixture
def own(tmp_path, monkeypatch, faces):
    """A folder with two positives of three boxes and two negatives; outputs go there as well."""
    for folder, names in (("with", ("a.png", "b.png")), ("without", ("1.jpg", "2.jpg"))):
        (tmp_path / folder).mkdir()
        for name in names:
            Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(tmp_path / folder / name)
    monkeypatch.setattr(paths, "outputs", lambda profile: tmp_path / "outputs")
    monkeypatch.setattr(datasets, "load", lambda data: faces)
    monkeypatch.setattr(style, "save", lambda *_: None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def run(own, rows=BOXES, *, part="with", **changed):
    """The cells of the notebook, executed in order with boxes of one's own; their names."""
    (own / part / "boxes.csv").write_text(f"file,x,y,w,h\n{rows}\n")
    chosen = {"positives": str(own / part / "boxes.csv"), "negatives": str(own / "without")}
    values: dict = {}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), values)
            if "parameters" in cell["metadata"].get("tags", []):
                values |= chosen | {"data": "synthetic", "subset": 60, "count": 8} | changed
    return values


def test_description_files_have_the_form_of_opencv(own, capsys):
    values = run(own)
    folder = own / "outputs" / "cascade"
    assert (folder / "positives.txt").read_text() == (
        "../../with/a.png 2 1 2 30 30 40 20 40 40\n../../with/b.png 1 0 0 80 60\n"
    )
    assert (folder / "negatives.txt").read_text() == "../../without/1.jpg\n../../without/2.jpg\n"
    assert values["missing"] == ["opencv_createsamples", "opencv_traincascade"]
    assert "-num 3 -w 24 -h 24" in " ".join(values["pack"])
    assert "-numPos 2 -numNeg 8 -numStages 12" in " ".join(values["learn"])
    assert "its programs are missing" in values["text"]


def test_with_the_programs_a_cascade_is_made_that_loads_as_a_detector(own):
    (own / "bin").mkdir()
    cascade = str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_alt2.xml")
    for name in ("opencv_createsamples", "opencv_traincascade"):
        (own / "bin" / name).write_text(FAKE.format(python=sys.executable, cascade=cascade))
        (own / "bin" / name).chmod(0o755)
    stage = own / "outputs" / "cascade" / "stage0.xml"
    stage.parent.mkdir(parents=True, exist_ok=True)
    stage.write_text("of other boxes")
    values = run(own)
    assert not stage.exists(), "OpenCV would go on from it"
    assert isinstance(detection.detector(values["cascade"]), detection.Cascade)
    assert values["share"] == "25.000%" and "the cascade trained here finds" in values["text"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("none.png,1,2,3,4", "no such file"),
        ("a.png,60,0,30,30", "a box is not within the picture of 80×60"),
        ("a.png,-1,0,30,30", "not within the picture"),
        ("a.png,0,0,0,30", "not within the picture"),
        ("a.png,0,0,x,30", "whole numbers"),
        ("a.png,0,0,30", "whole numbers"),
        ("a.png,0.5,0,30,30", "whole numbers"),
        ("boxes.csv,0,0,3,3", "no picture"),
        ("my face.png,0,0,3,3", "names with blanks must be renamed"),
        ("a\tb.png,0,0,3,3", "names with blanks must be renamed"),
    ],
)
def test_what_opencv_would_read_wrongly_is_refused_before_anything_is_written(own, rows, message):
    for name in ("my face.png", "a\tb.png"):
        os.link(own / "with" / "a.png", own / "with" / name)
    with pytest.raises(ValueError, match=message):
        run(own, rows)
    assert not (own / "outputs" / "cascade" / "positives.txt").exists()


def test_a_blank_in_a_folder_is_found_as_one_in_a_name_is(own):
    (own / "with").rename(own / "my pics")
    with pytest.raises(ValueError, match="names with blanks must be renamed"):
        run(own, part="my pics")


def test_negatives_are_checked(own):
    with pytest.raises(ValueError, match="smaller than 90 pixels"):
        run(own, size=90)
    os.link(own / "with" / "a.png", own / "without" / "#3.png")
    run(own)
    with pytest.raises(ValueError, match="is among the positives as well"):
        run(own, "1.jpg,0,0,9,9", part="without")
