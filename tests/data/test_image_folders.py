"""A folder of pictures by class becomes a data set; what is left out is told; classes of one's own
go through."""

import os

import cv2
import numpy as np
import pytest

from fercore import paths
from fercore.cli import main
from fercore.data import datasets, fer2013, image_folders, splits, synthetic
from fercore.data.faces import CLASS_NAMES, DatasetError

TEN = {"happy": 5, "Sadness": 5}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.delenv("FER2013", raising=False)
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")


@pytest.fixture
def folder(tmp_path):
    return pictures(tmp_path / "photos", TEN)


def pictures(folder, classes, seed=0):
    """Made-up colour pictures, 60×80, each of another brightness pattern."""
    rng = np.random.default_rng(seed)
    for name, n in classes.items():
        (folder / name).mkdir(parents=True)
        for k in range(n):
            cv2.imwrite(
                str(folder / name / f"p{k}.png"), rng.integers(0, 256, (60, 80, 3), np.uint8)
            )
    return folder


def make(folder, target="mine", **options):
    return image_folders.make(folder, folder.parent / target, **options)


def problems(made):
    return dict(made.problems)


def test_ten_pictures_become_a_data_set_that_every_split_divides(folder):
    made = make(folder)
    assert made.counts == {"Happy": (3, 1, 1), "Sad": (3, 1, 1)} and not made.problems
    faces = datasets.load(made.folder)
    assert faces.class_names == ("Happy", "Sad") and faces.origin == "not FER2013: mine"
    assert faces.images.shape == (10, 48, 48) and np.bincount(faces.labels).tolist() == [5, 5]
    kept, split = splits.prepare(faces, "official")
    assert kept.class_names == ("Happy", "Sad")
    assert [len(part) for part in split.parts().values()] == [6, 2, 2]
    assert len(splits.prepare(faces, "pooled_80_10_10")[1].test) == 1
    datasets._kept.cache_clear()
    assert datasets.load(made.folder).class_names == ("Happy", "Sad")  # from the cache


def test_all_seven_classes_need_no_list_of_their_own(tmp_path):
    made = make(pictures(tmp_path / "photos", dict.fromkeys(CLASS_NAMES, 3)))
    assert not (made.folder / "classes.txt").exists()
    assert datasets.load(made.folder).class_names == CLASS_NAMES


def test_classes_of_ones_own_go_by_their_names(tmp_path):
    source = pictures(tmp_path / "photos", {"bored": 4, "smile": 4})
    with pytest.raises(DatasetError, match=r"photos: faces of 0 classes.*bored/: no class \(Angry"):
        make(source)
    (source / "classes.txt").write_text("Smile\nbored\n")
    listed = make(source)
    faces = datasets.load(listed.folder)
    assert faces.class_names == ("Smile", "bored") and not listed.problems
    assert not fer2013.rows_agree(faces)
    with pytest.raises(
        DatasetError, match=r"Neutral: not in these data \(.*splits of all their classes: off"
    ):
        splits.prepare(faces, "official_five")


def test_a_tenth_validates_and_a_tenth_tests(tmp_path):
    source = pictures(tmp_path / "photos", {"happy": 20, "sad": 10})
    made = make(source)
    assert made.counts == {"Happy": (16, 2, 2), "Sad": (8, 1, 1)}
    tested, again = (sorted(one.folder.rglob("test/*/*")) for one in (made, make(source, "again")))
    assert [path.name for path in tested] == [path.name for path in again]


def test_what_cannot_be_used_is_left_out_and_told(folder):
    (folder / "happy" / "broken.jpg").write_text("no picture")
    (folder / "happy" / "notes.txt").write_text("of the day")
    (folder / "loose.png").write_bytes((folder / "happy" / "p0.png").read_bytes())
    (folder / "happy" / "q.png").write_bytes((folder / "happy" / "p0.png").read_bytes())
    (folder / "Sadness" / "q.png").write_bytes((folder / "happy" / "p4.png").read_bytes())
    pictures(folder, {"smirk": 2, "fear": 2}, seed=1)
    made = make(folder)
    told = problems(made)
    assert (
        told["happy/broken.jpg"].startswith("no picture, whatever its name says")
        and "happy/notes.txt" in told
    )
    assert (
        told["loose.png"] == "lies in no class's folder"
        and told["happy/q.png"] == "a duplicate: happy/p0.png"
    )
    assert (
        told["Sadness/q.png"] == "the same face under another class: happy/p4.png"
        and "happy/p4.png" in told
    )
    assert told["smirk/"].startswith("no class (Angry")
    assert told["Fear/"] == "2 usable pictures, at least 3 are needed"
    assert {name: sum(parts) for name, parts in made.counts.items()} == {"Happy": 4, "Sad": 5}


def test_a_function_cuts_out_faces_and_pictures_without_one_are_told(folder):
    cv2.imwrite(str(folder / "happy" / "dark.png"), np.zeros((60, 80, 3), np.uint8))
    made = make(folder, crop=lambda rgb: rgb[:48, :48, 0] if rgb.any() else None)
    assert problems(made) == {"happy/dark.png": "no face found"}
    (face,) = made.folder.rglob("Happy/*_p0.png")
    red = cv2.imread(str(folder / "happy" / "p0.png"))[:48, :48, 2]
    assert (cv2.imread(str(face), cv2.IMREAD_GRAYSCALE) == red).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "photos/made"}, "lies in the folder that is read"),
        ({"target": "photos"}, "there already"),
        ({"target": "/dev/null/mine"}, "^/dev/null/mine: cannot be written"),
        ({"target": "n" * 300}, "cannot be written"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(folder, options, message):
    with pytest.raises(DatasetError, match=message):
        make(folder, **options)
    assert sorted(path.name for path in folder.parent.iterdir() if path.name != "cache") == [
        "photos"
    ]


def test_long_names_are_cut(tmp_path):
    folder = pictures(tmp_path / "photos", TEN)
    (folder / "happy" / "p0.png").rename(folder / "happy" / f"{'😀' * 60}.png")
    assert any("😀" in path.name for path in make(folder).folder.rglob("*.png"))


def test_the_command_prints_counts_and_problems(folder, capsys):
    (folder / "loose.png").write_text("")
    target = folder.parent / "mine"
    assert main(["dataset", str(folder), str(target), "--faces", "whole"]) == 0
    said = capsys.readouterr().out
    assert (
        said.split()[:3] == ["train", "val", "test"]
        and "left out: loose.png" in said
        and "10 faces written to" in said
    )
    assert main(["dataset", str(folder), str(target)]) == 2
    assert "there already; delete it" in capsys.readouterr().err


def test_a_list_of_classes_that_makes_no_sense_is_one_line(folder):
    made = make(folder)
    (made.folder / "classes.txt").write_text("Happy\nhappy\n")
    with pytest.raises(
        DatasetError,
        match=r"mine/classes\.txt: 2 classes \(Happy, Happy\); write 2 to 100 different",
    ):
        datasets.load(made.folder)


def test_drawn_faces_are_found_in_pictures_by_the_command(tmp_path):
    faces = synthetic.faces(train=84, validation=0, test=0)
    for name in ("happy", "sad"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        chosen = faces.images[faces.labels == CLASS_NAMES.index(name.capitalize())][:6]
        for k, face in enumerate(chosen):
            picture = np.full((200, 260), 200, np.uint8)
            picture[40:160, 70:190] = cv2.resize(face, (120, 120))
            cv2.imwrite(str(tmp_path / "photos" / name / f"{k}.jpg"), picture)
    paths = str(tmp_path / "photos"), str(tmp_path / "mine")
    assert main(["dataset", *paths, "--faces", "haar"]) == 0
    assert len(list((tmp_path / "mine").rglob("*.png"))) >= 8


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"\xff\xfe.png", b"a\x1bb.png", b"=1.png"])
def test_names_of_any_bytes_go_through(folder, name, capsys):
    path = os.path.join(os.fsencode(folder / "happy"), name)
    with open(path, "wb") as file:
        file.write(cv2.imencode(".png", np.full((60, 60), 7, np.uint8))[1].tobytes())
    with open(path[:-4] + b".txt", "wb") as file:
        file.write(b"no picture")
    assert main(["dataset", str(folder), str(folder.parent / "mine"), "--faces", "whole"]) == 0
    assert len(list((folder.parent / "mine").rglob("*.png"))) == 11
    assert "no picture" in capsys.readouterr().out
    assert len(datasets.load(folder.parent / "mine")) == 11
