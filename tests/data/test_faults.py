"""Kinds of fault that users of such software reported, each tried with several inputs: the answer
is right, or one short line that says what to do."""

import gzip
import io
import os
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from fercore import paths
from fercore.data import datasets, fer2013, image_folders, pictures, splits
from fercore.data.faces import CLASS_NAMES, DatasetError
from fercore.data.pictures import PictureError

CLASSES = [name.lower() for name in CLASS_NAMES]
QUICK = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    for name in ("FER2013", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 48), np.uint8)).save(path)
    return path


def table(labels, usages=("Training", "PublicTest", "PrivateTest")):
    """The text of a CSV of random faces."""
    rng = np.random.default_rng(0)
    rows = (" ".join(map(str, rng.integers(0, 256, 2304))) for _ in labels)
    fields = enumerate(zip(labels, rows, strict=True))
    lines = (f"{label},{row},{usages[k % len(usages)]}\n" for k, (label, row) in fields)
    return "emotion,pixels,Usage\n" + "".join(lines)


def refused(call, *arguments, kind=DatasetError):
    """The message of a refusal: one short line that a terminal can show."""
    with pytest.raises(kind) as caught:
        call(*arguments)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 400
    return message


@pytest.mark.parametrize("name", ["dev", "Eval", "holdout", "part 2", "Prüfung", "x" * 200])
def test_an_unknown_part_is_refused(tmp_path, name):
    for k, part in enumerate(("train", name)):
        picture(tmp_path / "d" / part / "happy" / f"{k}.png", k)
    assert "is no part; call it one of train, training, val" in refused(
        datasets.load, tmp_path / "d"
    )


@pytest.mark.parametrize(
    "parts",
    [
        ("train", "val", "test"),
        ("Training", "Public Test", "Private Test"),
        ("training_set", "validation_set", "test_set"),
        ("train-data", "valid", "testing"),
        ("TRAIN", "Validation", "TEST"),
    ],
)
@pytest.mark.parametrize("above", ["", "archive/images"])
def test_parts_are_known_however_they_are_written(tmp_path, parts, above):
    for k, part in enumerate(parts):
        for label in ("happy", "sad"):
            picture(tmp_path / "d" / above / part / label / f"{k}.png", k)
    usage = datasets.load(tmp_path / "d").usage
    assert usage.tolist() == [name for name in datasets.USAGES for _ in range(2)]


@pytest.mark.parametrize(
    ("files", "usages", "told"),
    [
        (("train/Training_1", "val/Training_2", "test/PrivateTest_3"), "TPR", True),
        (("train/Training_1", "test/PublicTest_2", "test/PrivateTest_3"), "TPR", False),
        (("train/Training_1", "val/Training_2", "test/PublicTest_3"), "TPR", True),
        (("train/PrivateTest_1", "val/2", "test/3"), "TPR", True),
        (("Training_1", "PublicTest_2", "PrivateTest_3"), "TPR", False),
        (("1", "2", "3"), "TTT", False),
    ],
)
def test_the_folder_counts_more_than_the_file_name(tmp_path, caplog, files, usages, told):
    for k, file in enumerate(files):
        *part, name = file.split("/")
        picture(tmp_path.joinpath("d", *part, "sad", f"{name}.png"), k)
    codes = image_folders.read_folder(tmp_path / "d")[2]
    assert codes.tolist() == ["TPR".index(usage) for usage in usages]
    assert ("named after another part" in caplog.text) == told


def test_links_are_followed_and_hidden_things_left_out(tmp_path):
    for k, name in enumerate(CLASSES):
        picture(tmp_path / "disk" / name / f"{k}.png", k)
    (tmp_path / "d").mkdir()
    for name in CLASSES[:5]:
        (tmp_path / "d" / name).symlink_to(tmp_path / "disk" / name)
    for name in CLASSES[5:]:
        (tmp_path / "d" / name).mkdir()
        (file,) = (tmp_path / "disk" / name).iterdir()
        (tmp_path / "d" / name / "link.png").symlink_to(file)
    for hidden in (".ipynb_checkpoints", ".Trash-1000/files", "__MACOSX", "happy/.thumbnails"):
        picture(tmp_path / "d" / hidden / "x.png", 99)
    picture(tmp_path / "d" / "happy" / "._1.png", 98)
    (tmp_path / "d" / "happy" / "back").symlink_to(tmp_path / "d")
    assert np.bincount(datasets.load(tmp_path / "d").labels).tolist() == [1] * 7


@pytest.mark.parametrize("kind", ["fifo", "folder", "broken", "empty", "text", "cut", "loop"])
def test_what_is_no_picture_is_named(tmp_path, kind):
    bad = picture(tmp_path / "d" / "sad" / "good.png").with_name("x.png")
    make = {
        "fifo": lambda: os.mkfifo(bad),
        "folder": lambda: picture(bad / "happy" / "y.png"),
        "broken": lambda: bad.symlink_to("gone"),
        "empty": bad.touch,
        "text": lambda: bad.write_text("no picture"),
        "cut": lambda: bad.write_bytes(bad.with_name("good.png").read_bytes()[:200]),
        "loop": lambda: bad.symlink_to(bad),
    }
    make[kind]()
    assert refused(datasets.load, tmp_path / "d").startswith("sad/x.png")


@pytest.mark.parametrize("ending", [".jfif", ".JPG", ".jpe", ".webp", ".gif", ".TIFF", ".pgm"])
def test_every_ending_of_a_picture_is_read(tmp_path, ending):
    picture(tmp_path / "d" / "sad" / "a.png")
    (tmp_path / "d" / "sad" / f"b{ending}").write_bytes((tmp_path / "d/sad/a.png").read_bytes())
    images, _, _ = image_folders.read_folder(tmp_path / "d")
    assert len(images) == 2 and (images[0] == images[1]).all()


@pytest.mark.parametrize("name", ["a.heic", "notes.txt", "film.mp4", "Thumbs.db", "x\x1b[2J.svg"])
def test_other_files_are_counted_and_the_first_is_named(tmp_path, caplog, name):
    picture(tmp_path / "d" / "sad" / "a.png")
    for other in (name, "zz.bin"):
        (tmp_path / "d" / "sad" / other).write_bytes(b"x")
    image_folders.read_folder(tmp_path / "d")
    shown = name.replace("\x1b", "?")
    assert f"d: 2 files are no pictures, first sad/{shown}" in caplog.text


def tarred(content, mode="w"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        link = tarfile.TarInfo("link.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        member = tarfile.TarInfo("fer2013/fer2013.csv")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def zipped(content, name="fer2013.csv"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


PACKING = {
    "archive.zip": zipped,
    "fer2013 (1).csv": bytes,
    "fer2013/fer2013/fer2013.csv": bytes,
    "challenges.tar": tarred,
    "fer2013": tarred,
    "fer2013.csv": tarred,
    "fer2013.gz": lambda content: gzip.compress(tarred(content)),
    "fer2013.tgz": lambda content: tarred(content, "w:gz"),
    "Copy of faces.csv": bytes,
    "download.zip": lambda content: zipped(content, "deep/down/train.csv"),
}


@pytest.mark.parametrize("name", PACKING)
def test_what_lies_in_the_data_folder_is_read(name):
    path = paths.DATA / name
    path.parent.mkdir(parents=True)
    path.write_bytes(PACKING[name](table(list(range(7))).encode()))
    assert datasets.find() == path and len(datasets.load()) == 7


@pytest.mark.parametrize(
    "name",
    ["notes.md", "model.keras", "archive.rar", "broken.zip", "photo.png", "other.csv", "a\x1b"],
)
def test_a_data_folder_that_is_not_understood_stops_and_is_listed(name):
    paths.DATA.mkdir()
    (paths.DATA / name).write_bytes(b"PK no such thing")
    message = refused(datasets.find)
    assert f"data/ holds {name}".replace("\x1b", "?") in message and "empty it" in message


def test_an_archive_left_beside_its_pictures_does_no_harm():
    picture(paths.DATA / "train" / "sad" / "1.png")
    (paths.DATA / "archive.zip").write_bytes(zipped(b"", "train/sad/1.jpg"))
    for name in (".gitkeep", "fer2013new.csv"):
        (paths.DATA / name).touch()
    assert datasets.find() == paths.DATA


@pytest.mark.parametrize("gone", [(1,), (0, 2), (6,), (0, 1, 2, 4, 5), (3, 4, 5, 6)])
def test_classes_without_faces_are_left_out_and_named(tmp_path, caplog, gone):
    labels = [label for label in range(7) if label not in gone] * 9
    (tmp_path / "fer2013.csv").write_text(table(labels))
    faces = datasets.load(tmp_path / "fer2013.csv")
    kept = tuple(name for k, name in enumerate(CLASS_NAMES) if k not in gone)
    assert faces.class_names == kept
    assert [CLASS_NAMES.index(faces.class_names[k]) for k in faces.labels] == labels
    assert f"no faces of {', '.join(CLASS_NAMES[k] for k in gone)}" in caplog.text
    assert splits.prepare(faces, "pooled_64_16_20")[0].class_names == kept
    datasets._kept.cache_clear()
    assert datasets.load(tmp_path / "fer2013.csv").class_names == kept  # from the cache


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title, str.swapcase, "  {}\t".format])
def test_the_case_of_known_classes_does_not_matter(tmp_path, change):
    for k, name in enumerate((*CLASS_NAMES, "Contempt") * 3):
        picture(tmp_path / "d" / ("train", "val", "test")[k // 8] / name / f"{k}.png", k)
    names = "\n".join(map(change, (*CLASS_NAMES, "Contempt")))
    (tmp_path / "d" / "classes.txt").write_text(names)
    assert not splits.obstacles(datasets.load(tmp_path / "d"), ["official", "official_five"])


@pytest.mark.parametrize("named", ["gone", "a\0b", "n" * 300, "~nobody/x", "\x1b[31m", "x" * 5000])
def test_a_source_that_is_not_there_is_one_line(named):
    assert "no such file or folder" in refused(datasets.load, named)


@pytest.mark.parametrize("value", ["~/d", "~/d/../d", "~/d/fer2013.csv"])
def test_the_home_folder_may_be_written_short(tmp_path, value, monkeypatch):
    (tmp_path / "home" / "d").mkdir(parents=True)
    (tmp_path / "home" / "d" / "fer2013.csv").write_text(table([0, 1]))
    assert len(datasets.load(value)) == 2
    monkeypatch.setenv("FER2013", value)
    assert len(datasets.load()) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("locked", ["d", "d/sad", "d/sad/a.png", "fer2013.csv"])
def test_what_may_not_be_read_is_one_line(tmp_path, locked):
    picture(tmp_path / "d" / "sad" / "a.png")
    (tmp_path / "fer2013.csv").write_text(table([0]))
    os.chmod(tmp_path / locked, 0)
    source = tmp_path / locked.split("/")[0]
    assert "cannot be read (Permission denied)" in refused(datasets.load, source)
    os.chmod(tmp_path / locked, 0o755)


@pytest.mark.parametrize("place", ["file", "link", "name"])
def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch, caplog, place):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("/proc/nothing")
    cache = {"file": tmp_path / "file", "link": tmp_path / "link", "name": tmp_path / ("n" * 300)}
    monkeypatch.setattr(paths, "CACHE", cache[place])
    (tmp_path / "fer2013.csv").write_text(table([0, 1]))
    assert len(datasets.load(tmp_path / "fer2013.csv")) == 2 and "going on without" in caplog.text


JUNK = b"\0\x1b[31m" * 5000
LOUD = {
    "fer2013.csv": JUNK,
    "header.csv": b"emotion," + JUNK,
    "row.csv": b"emotion,pixels,Usage\n" + JUNK + b",1 2,Training\n",
    "pixel.csv": b"emotion,pixels,Usage\n1," + JUNK.replace(b" ", b"") + b",Training\n",
    "usage.csv": table([0]).encode().replace(b"Training", JUNK),
    "member.zip": zipped(b"x", "\x1b" * 3000 + ".csv"),
    "long.csv": b"emotion,pixels,Usage\n" + b"1" * 10_000_000,
}


@pytest.mark.parametrize("name", LOUD)
def test_little_of_a_strange_file_is_repeated(tmp_path, name):
    (tmp_path / name).write_bytes(LOUD[name])
    refused(datasets.load, tmp_path / name)


ONE = table([3]).encode()


@QUICK
@given(st.binary(max_size=200), st.integers(0, len(ONE)), st.integers(0, 60))
@example(b'"', 30, 0)
@example(b"\n" * 100, len(ONE), 0)
@example(b"\xff\xfe", 0, 0)
def test_any_bytes_in_a_csv_are_an_answer_or_one_line(tmp_path, noise, start, cut):
    path = tmp_path / "fer2013.csv"
    path.write_bytes(ONE[:start] + noise + ONE[start + cut :])
    try:
        images, labels, codes = fer2013.read_csv(path)
    except DatasetError as error:
        assert str(error).isprintable() and len(str(error)) < 400
    else:
        assert images.shape == (len(labels), 48, 48) and 0 <= labels.min() <= labels.max() < 7
        assert len(codes) == len(labels)


def encoded(kind):
    buffer = io.BytesIO()
    Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)).save(buffer, kind)
    return buffer.getvalue()


@QUICK
@given(
    st.sampled_from([encoded(kind) for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")]),
    st.binary(max_size=20),
    st.floats(0, 1),
)
def test_any_bytes_as_a_picture_are_an_answer_or_one_line(content, noise, share):
    start = int(share * len(content))
    try:
        rgb = pictures.read(content[:start] + noise + content[start + len(noise) :], smallest=48)
    except PictureError as error:
        assert str(error).isprintable() and len(str(error)) < 300
    else:
        assert rgb.dtype == np.uint8 and rgb.shape[2] == 3


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes_as_a_list_of_classes_are_names_or_one_line(tmp_path, content):
    (tmp_path / "classes.txt").write_bytes(content)
    try:
        names = image_folders.class_names_of(tmp_path)
    except DatasetError as error:
        assert str(error).isprintable() and len(str(error)) < 300
    else:
        assert len(names) == len({name.lower() for name in names}) >= 2
