"""Description files for a cascade of one's own, what is checked, training by OpenCV's programs (or
their likes)."""

import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fercore import cli as command
from fercore.recognition import cascades, detection
from fercore.recognition.cascades import CascadeError, Plan

FAKE = """#!{python}
import pathlib, shutil, sys
name, given = pathlib.Path(sys.argv[0]).name, dict(zip(sys.argv[1::2], sys.argv[2::2]))
print(name, given)
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
    if int(given["-numPos"]) > int(open(given["-vec"]).read()):
        sys.exit(3)
    shutil.copy({cascade!r}, pathlib.Path(given["-data"]) / "cascade.xml")
"""


@pytest.fixture
def own(tmp_path):
    """A folder with three positives of four boxes and two negatives."""
    for folder, names in (("faces", ("a.png", "b.png", "c.png")), ("others", ("1.jpg", "2.jpg"))):
        (tmp_path / folder).mkdir()
        for name in names:
            Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(tmp_path / folder / name)
    (tmp_path / "faces" / "boxes.csv").write_text(
        "file,x,y,w,h\na.png,1,2,30,30\nb.png,0,0,80,60\na.png,40,20,40,40\nc.png,5,5,20,20\n"
    )
    return tmp_path


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Two programs that check what they are given and copy a cascade of OpenCV's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    cascade = str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_alt2.xml")
    for name in cascades.PROGRAMS:
        (folder / name).write_text(FAKE.format(python=sys.executable, cascade=cascade))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def no_programs(monkeypatch):
    monkeypatch.setattr(cascades.shutil, "which", lambda name: None)


def run(own, *options):
    return command.main(
        [
            "cascade",
            str(own / "faces" / "boxes.csv"),
            str(own / "others"),
            str(own / "made"),
            *options,
        ]
    )


def test_description_files_have_the_form_of_opencv(own, no_programs):
    assert run(own) == 1
    assert (own / "made" / "positives.txt").read_text() == (
        "../faces/a.png 2 1 2 30 30 40 20 40 40\n../faces/b.png 1 0 0 80 60\n../faces/c.png 1 5 5 20 20\n"
    )
    assert (own / "made" / "negatives.txt").read_text() == "../others/1.jpg\n../others/2.jpg\n"


def test_without_the_programs_it_says_where_they_are_and_how_to_call_them(own, no_programs, capsys):
    run(own)
    told = capsys.readouterr()
    assert "OpenCV 4 no longer ships them" in told.err and "3.4" in told.err
    assert (
        "opencv_createsamples -info positives.txt -vec samples.vec -num 4 -w 20 -h 20" in told.out
    )
    assert (
        "opencv_traincascade -data . -vec samples.vec -bg negatives.txt -numPos 3 -numNeg 12"
        in told.out
    )


def test_with_the_programs_a_cascade_is_made_that_loads_as_a_detector(own, programs, capsys):
    assert run(own, "--stages", "3", "--size", "24", "--features", "LBP") == 0
    made = own / "made" / "cascade.xml"
    told = capsys.readouterr().out.strip()
    assert told.endswith(str(made)) and "25.00% of the windows without" in told
    assert isinstance(detection.detector(made), detection.Cascade)
    log = (own / "made" / "training.log").read_text()
    assert "'-numStages': '3'" in log and "'-featureType': 'LBP'" in log and "'-w': '24'" in log


def test_a_program_that_fails_is_told_with_its_log(own, programs):
    cascades.write_descriptions(
        {own / "faces" / "a.png": [(0, 0, 9, 9)]}, [own / "others" / "1.jpg"], own / "made"
    )
    with pytest.raises(
        CascadeError, match=r"opencv_createsamples ended with status 1; see .*training\.log"
    ):
        cascades.train(own / "made", 2, Plan())
    assert "AssertionError" in (own / "made" / "training.log").read_text()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("none.png,1,2,3,4", "line 2: none.png: no such file"),
        ("a.png,60,0,30,30", "line 2: box 60 0 30 30 is not within the picture of 80×60"),
        ("a.png,-1,0,30,30", "not within the picture"),
        ("a.png,0,0,0,30", "not within the picture"),
        ("a.png,0,0,x,30", "line 2: x, y, w and h must be whole numbers"),
        ("a.png,0,0,30", "must be whole numbers"),
        ("boxes.csv,0,0,3,3", "boxes.csv: no picture"),
        ("my face.png,0,0,3,3", "no names with spaces"),
        (",0,0,3,3", "no file named"),
        ("", "no boxes"),
        ("\n".join(["x.png,0,0,1,1"] * 9), "; and 6 more"),
    ],
)
def test_mistakes_in_the_table_are_told_by_line(own, rows, message):
    (own / "faces" / "boxes.csv").write_text(f"file,x,y,w,h\n{rows}\n")
    with pytest.raises(CascadeError, match=message):
        cascades.read_positives(own / "faces" / "boxes.csv")


def test_a_table_without_its_columns_or_without_itself(own):
    (own / "faces" / "boxes.csv").write_text("name,left,top\na.png,1,2\n")
    with pytest.raises(
        CascadeError, match=r"no column file, x, y, w, h; its first line must be file,x,y,w,h"
    ):
        cascades.read_positives(own / "faces" / "boxes.csv")
    (own / "faces" / "boxes.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(CascadeError, match="no CSV file"):
        cascades.read_positives(own / "faces" / "boxes.csv")
    with pytest.raises(CascadeError, match="cannot be read"):
        cascades.read_positives(own / "none.csv")


def test_negatives_are_checked(own):
    positives = list(cascades.read_positives(own / "faces" / "boxes.csv"))
    with pytest.raises(CascadeError, match=r"a\.png is among the positives as well"):
        cascades.read_negatives(own / "faces", Plan(), positives)
    with pytest.raises(CascadeError, match=r"1\.jpg is 80×60, smaller than 90×90"):
        cascades.read_negatives(own / "others", Plan(90, 90))
    (own / "others" / "3.jpg").write_text("no picture")
    with pytest.raises(CascadeError, match=r"3.jpg: no picture"):
        cascades.read_negatives(own / "others", Plan())
    shutil.rmtree(own / "others")
    (own / "others").mkdir()
    with pytest.raises(CascadeError, match="no pictures in this folder"):
        cascades.read_negatives(own / "others", Plan())


@pytest.mark.parametrize(
    "values",
    [
        {"features": "HOG"},
        {"width": 3},
        {"stages": 0},
        {"share": 1.5},
        {"negatives": 0},
        {"negatives": float("inf")},
    ],
)
def test_plans_that_cannot_be(values):
    with pytest.raises(CascadeError):
        Plan(**values)


def test_nothing_is_written_when_something_is_wrong(own, capsys):
    (own / "faces" / "a.png").unlink()
    assert run(own) == 2
    assert capsys.readouterr().err.startswith("fercore: boxes.csv: line 2: a.png: no such file")
    assert not (own / "made").exists()


@pytest.mark.skipif(
    bool(cascades.missing_programs()), reason="OpenCV 3.4's programs are not installed"
)
def test_opencv_s_own_programs_learn_a_white_square(tmp_path):
    rng, boxes = np.random.default_rng(0), {}
    for k in range(60):
        ground = rng.integers(0, 90, (64, 64), np.uint8)
        Image.fromarray(ground).save(tmp_path / f"n{k}.png")
        x, y = rng.integers(0, 40, 2)
        ground[y + 4 : y + 20, x + 4 : x + 20] = rng.integers(200, 255)
        Image.fromarray(ground).save(tmp_path / f"p{k}.png")
        boxes[tmp_path / f"p{k}.png"] = [(int(x), int(y), 24, 24)]
    cascades.write_descriptions(
        boxes, [tmp_path / f"n{k}.png" for k in range(60)], tmp_path / "made"
    )
    made = cascades.train(tmp_path / "made", 60, Plan(stages=6, features="LBP"))
    found = detection.detector(made, neighbours=1, smallest=20)
    hits = 0
    for path, (box,) in list(boxes.items())[:20]:
        seen, _ = found.detect(np.repeat(np.asarray(Image.open(path))[..., None], 3, axis=2))
        hits += any(abs(one[:2] - box[:2]).max() < 8 for one in seen)
    assert hits >= 10
    assert cascades.false_alarms(tmp_path / "made") < 0.1
