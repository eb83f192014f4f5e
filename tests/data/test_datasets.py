"""Every form in which FER2013 circulates, every damage, the names that verification gives, the FER+
votes."""

import gzip
import io
import os
import tarfile
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fercore import paths
from fercore.data import datasets, fer2013, image_folders, splits, synthetic
from fercore.data.datasets import CLASS_NAMES, USAGES, DatasetError
from fercore.data.faces import from_arrays, pixel_hashes

N = 24
FER2013 = os.environ.get("FER2013")
HEADER = "emotion,pixels,Usage"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No data, cache, credentials or environment of the machine that runs the tests."""
    for name in ("FER2013", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")


@pytest.fixture(scope="module")
def arrays():
    """Images, labels and usage codes of a made-up data set in which every class and split
    occurs."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (N, 48, 48), np.uint8)
    images[0], images[1] = 0, 255
    return images, (np.arange(N) % 7).astype(np.int8), np.repeat([0, 1, 2], N // 3).astype(np.int8)


@pytest.fixture(scope="module")
def lines(arrays):
    """The same as lines of fer2013.csv."""
    rows = zip(*arrays, strict=True)
    return [HEADER] + [
        f"{label},{' '.join(map(str, image.ravel()))},{USAGES[code]}" for image, label, code in rows
    ]


def written(path, lines, end="\n"):
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def assert_same(read, arrays):
    images, labels, codes = arrays
    np.testing.assert_array_equal(read.images, images)
    np.testing.assert_array_equal(read.labels, labels)
    np.testing.assert_array_equal(read.usage, np.array(USAGES)[codes])
    np.testing.assert_array_equal(read.row_ids, np.arange(len(labels)))
    assert (read.images.dtype, read.labels.dtype, read.row_ids.dtype) == (
        np.uint8,
        np.int8,
        np.int32,
    )


def test_csv(tmp_path, lines, arrays):
    read = datasets.load(written(tmp_path / "fer2013.csv", lines))
    assert_same(read, arrays)
    assert len(read) == N and read.class_names == CLASS_NAMES


@pytest.mark.parametrize(
    "change", ["windows", "no newline at the end", "blank lines at the end", "mark", "quotes"]
)
def test_csv_as_other_programs_write_it(tmp_path, lines, arrays, change):
    text = "\n".join(lines) + "\n"
    if change == "windows":
        text = text.replace("\n", "\r\n")
    elif change == "no newline at the end":
        text = text[:-1]
    elif change == "blank lines at the end":
        text += "\n\n  \n"
    elif change == "mark":
        text = "\ufeff" + text
    else:
        text = "\n".join(
            line.replace(",", ',"', 1).replace(",T", '",T').replace(",P", '",P') for line in lines
        )
        text = text.replace('emotion,"pixels,Usage', "emotion,pixels,Usage")
    path = tmp_path / "fer2013.csv"
    path.write_bytes(text.encode())
    assert_same(datasets.load(path), arrays)


@pytest.mark.parametrize("ending", [".zip", ".gz", ".tar.gz", ".tar"])
@pytest.mark.parametrize("stem", ["fer2013.csv", "fer2013"])
def test_packed_csv(tmp_path, lines, arrays, ending, stem):
    content = ("\n".join(lines) + "\n").encode()
    path = tmp_path / (stem + ending)
    pack(path, content)
    assert_same(datasets.load(path), arrays)
    assert_same(datasets.load(tmp_path), arrays)


def pack(path, content):
    if ".tar" in path.name:
        with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
            for name, data in (("fer2013/README", b"read me"), ("fer2013/fer2013.csv", content)):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("example_submission.csv", "a,b\n")
            archive.writestr("fer2013/fer2013.csv", content)
    else:
        path.write_bytes(gzip.compress(content))


def test_icml_face_data(tmp_path, lines, arrays):
    rows = [line.split(",") for line in lines[1:]]
    icml = ["emotion, Usage, pixels"] + [
        f"{label}, {usage}, {pixels}" for label, pixels, usage in rows
    ]
    assert_same(datasets.load(written(tmp_path / "icml_face_data.csv", icml)), arrays)


def test_train_csv_has_no_usage(tmp_path, lines, arrays):
    train = [line.rpartition(",")[0] for line in lines]
    read = datasets.load(written(tmp_path / "train.csv", train))
    assert_same(read, (arrays[0], arrays[1], np.zeros(N, int)))


def picture_folder(folder, arrays, named=True):
    images, labels, codes = arrays
    for position, (image, label, code) in enumerate(zip(images, labels, codes, strict=True)):
        home = folder / ("train" if code == 0 else "test") / CLASS_NAMES[label].lower()
        home.mkdir(parents=True, exist_ok=True)
        name = f"{USAGES[code]}_{position}.png" if named else f"{position}.png"
        cv2.imwrite(str(home / name), image)
    return folder


def test_pictures_by_class(tmp_path, arrays):
    read = datasets.load(picture_folder(tmp_path / "pictures", arrays))
    order = np.lexsort((np.arange(N), arrays[1], arrays[2]))
    assert_same(read, tuple(part[order] for part in arrays))


def test_split_of_pictures_from_their_folders(tmp_path, arrays):
    read = datasets.load(picture_folder(tmp_path / "pictures", arrays, named=False))
    assert set(read.usage) == {"Training", "PrivateTest"}


def test_pictures_of_any_size_colour_and_class_names(tmp_path):
    for name, size in (("Anger", 30), ("contempt", 224)):
        (tmp_path / "mine" / name).mkdir(parents=True)
        cv2.imwrite(
            str(tmp_path / "mine" / name / "a picture.jpg"),
            np.full((size, size + 10, 3), 200, np.uint8),
        )
    images, labels, codes = image_folders.read_folder(tmp_path / "mine", (*CLASS_NAMES, "Contempt"))
    assert images.shape == (2, 48, 48) and abs(int(images.mean()) - 200) < 3
    assert labels.tolist() == [0, 7] and codes.tolist() == [0, 0]


def row(number, text):
    """A damage: the data row `number` replaced by what `text` makes of it."""
    return lambda lines: [*lines[:number], text(lines[number]), *lines[number + 1 :]]


DAMAGED_ROWS = {
    "too few pixels": (
        row(5, lambda line: line.replace(" ", "", 1)),
        r"row 5 \(line 6\): 2303 pixels instead",
    ),
    "one pixel less": (
        row(5, lambda line: line[:2] + line.split(" ", 1)[1]),
        r"row 5 \(line 6\): 2303 pixels instead",
    ),
    "one pixel more": (
        row(7, lambda line: line[:2] + "9 " + line[2:]),
        r"row 7 \(line 8\): 2305 pixels instead",
    ),
    "one less, then one more": (
        lambda lines: row(6, lambda line: line[:2] + "9 " + line[2:])(
            row(5, lambda line: line[:2] + line.split(" ", 1)[1])(lines)
        ),
        r"row 5 \(line 6\): 2303 pixels instead",
    ),
    "no pixels": (row(3, lambda line: "0,,Training"), r"row 3 .*0 pixels instead"),
    "label 7": (row(9, lambda line: "7" + line[1:]), r"row 9 \(line 10\): emotion '7' is not 0 to"),
    "label -1": (row(9, lambda line: "-1" + line[1:]), r"row 9 .*emotion '-1' is not 0 to 6"),
    "label word": (row(9, lambda line: "Angry" + line[1:]), r"row 9 .*emotion 'Angry' is not 0"),
    "usage": (
        row(2, lambda line: line.replace("Training", "training")),
        r"row 2 .*Usage 'training' is not one of",
    ),
    "no usage": (
        row(2, lambda line: line.rpartition(",")[0]),
        r"row 2 .*2 fields instead of 3",
    ),
    "four columns": (row(2, lambda line: line + ",1"), r"row 2 .*4 fields instead of 3"),
    "open quote": (
        row(2, lambda line: line[:2] + '"' + line[2:]),
        r".*(field larger than|fields instead of)",
    ),
    "blank line": (row(4, lambda line: ""), r"row 4 \(line 5\): 0 fields instead of 3"),
    "control characters": (
        row(4, lambda line: "\x1b[31m" + "x" * 999 + line),
        r"row 4 .*emotion '\?\[31mx+…' is",
    ),
} | {
    f"pixel {value}": (
        row(3, lambda line, value=value: f"{line[:2]}{value} {line.split(' ', 1)[1]}"),
        "row 3 .*a pixel is not 0 to 255",
    )
    for value in ("256", "300", "1000", "-1", "1.5", "nan", "4294967296", "0x1")
}


@pytest.mark.parametrize("damage", DAMAGED_ROWS)
def test_a_damaged_row_is_named(tmp_path, lines, damage):
    change, message = DAMAGED_ROWS[damage]
    path = written(tmp_path / "fer2013.csv", change(lines))
    with pytest.raises(DatasetError, match=rf"^fer2013\.csv: {message}") as error:
        datasets.load(path)
    assert (
        str(error.value).isprintable() and ";" in str(error.value) and len(str(error.value)) < 250
    )
    assert not paths.CACHE.exists()


def cut(share):
    return lambda data: data[: int(len(data) * share)]


BROKEN = r"cut off or damaged archive"
DAMAGED_FILES = {
    "cut in a row": (
        "fer2013.csv",
        cut(0.5),
        r"row 13 \(line 14\): .* instead of .*; d",
    ),
    "cut in Usage": (
        "fer2013.csv",
        lambda data: data[:-4],
        r"row 24 \(line 25\): Usage 'PrivateT' is not one of",
    ),
    "header only": ("fer2013.csv", lambda data: data[:21], r"a header and no rows; download"),
    "blank lines": ("fer2013.csv", lambda data: data[:21] + b"\n" * 5000, r"a header and no rows"),
    "blank within": (
        "fer2013.csv",
        lambda data: data + b"\n" * 1500 + data[21:],
        r"row 25 .*0 fields instead of 3",
    ),
    "empty": ("fer2013.csv", lambda data: b"", r"not FER2013's CSV"),
    "picture": (
        "fer2013.csv",
        lambda data: b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        r"not FER2013's CSV .*line 1",
    ),
    "page": (
        "fer2013.csv",
        lambda data: b"<!DOCTYPE html>\n<html>",
        r"not FER2013's CSV \(begins with '<!DOCTYPE",
    ),
    "no emotion": (
        "fer2013.csv",
        lambda data: data.replace(b"emotion", b"label"),
        r"not FER2013's CSV",
    ),
    "no pixels": (
        "fer2013.csv",
        lambda data: data.replace(b"pixels", b"image"),
        r"not FER2013's CSV",
    ),
    "no Usage": (
        "fer2013.csv",
        lambda data: data.replace(b"Usage", b"Split"),
        r"not FER2013's CSV",
    ),
    "zip": ("fer2013.zip", cut(0.5), BROKEN),
    "gz": ("fer2013.csv.gz", cut(0.5), BROKEN),
    "tar.gz": ("fer2013.tar.gz", cut(0.5), BROKEN),
    "encrypted": (
        "fer2013.zip",
        # the flag in the member's header and in the directory
        lambda data: data.replace(b"PK\3\4\x14\0\0", b"PK\3\4\x14\0\1").replace(
            b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1"
        ),
        BROKEN + r" \(.*password",
    ),
    "oddly packed": (
        "fer2013.zip",
        lambda data: data.replace(b"\x14\0\0\0\x08\0", b"\x14\0\0\0\x63\0"),
        BROKEN + r" \(.*compression method",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED_FILES)
def test_a_damaged_file_is_named(tmp_path, lines, damage):
    name, change, message = DAMAGED_FILES[damage]
    path = tmp_path / name
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(content) if name.endswith(".csv") else pack(path, content)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DatasetError, match=rf"^{name}(/fer2013/fer2013.csv)?: {message}") as error:
        datasets.load(path)
    assert "\n" not in str(error.value)
    assert not paths.CACHE.exists()


def test_zip_without_the_csv_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("train/angry/Training_1.jpg", b"")
    with pytest.raises(DatasetError, match=r"^archive\.zip: holds no fer2013.csv .*; unpack it"):
        datasets.load(tmp_path / "archive.zip")


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_an_unreadable_picture_is_named(tmp_path, arrays, content):
    folder = picture_folder(tmp_path / "pictures", arrays)
    (folder / "train" / "angry" / "Training_99.jpg").write_bytes(content)
    with pytest.raises(
        DatasetError, match=r"^train/angry/Training_99.jpg: (the file is empty|no picture, what)"
    ):
        datasets.load(folder)
    assert not paths.CACHE.exists()


def test_a_folder_that_is_no_class_is_named(tmp_path, arrays):
    folder = picture_folder(tmp_path / "pictures", arrays)
    (folder / "train" / "angry").rename(folder / "train" / "bored")
    with pytest.raises(
        DatasetError, match=r"bored.*: its folder is no class \(Angry.*\); rename or move it"
    ):
        datasets.load(folder)


def test_missing_and_unknown_sources_are_named(tmp_path):
    with pytest.raises(DatasetError, match="nowhere: no such file or folder"):
        datasets.load(tmp_path / "nowhere")
    (tmp_path / "faces.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DatasetError, match=r"faces\.npy: not FER2013's CSV"):
        datasets.load(tmp_path / "faces.npy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"empty: holds neither fer2013\.csv"):
        datasets.load(tmp_path / "empty")


def test_first_hit_wins(tmp_path, lines, monkeypatch):
    drawn = from_arrays(np.zeros((3, 48, 48), np.uint8), *np.eye(2, 3, dtype=int), "drawn")
    monkeypatch.setattr(synthetic, "faces", lambda: drawn)
    assert datasets.load().origin == "drawn"
    paths.DATA.mkdir()
    (paths.DATA / "fer2013new.csv").write_text("Usage\n")
    assert datasets.load().origin == "drawn"
    written(paths.DATA / "fer2013.csv", lines[:4])
    assert len(datasets.load()) == 3
    monkeypatch.setenv("FER2013", str(written(tmp_path / "fer2013.csv", lines[:6])))
    assert len(datasets.load()) == 5
    assert len(datasets.load(written(tmp_path / "train.csv", lines[:3]))) == 2
    assert datasets.load("synthetic").origin == "drawn"


def kaggle(monkeypatch, download, reach=lambda *_, **__: None):
    """Credentials, and stand-ins for the two packages that talk to Kaggle."""
    monkeypatch.setenv("KAGGLE_USERNAME", "somebody")
    monkeypatch.setenv("KAGGLE_KEY", "something")
    monkeypatch.setattr("requests.head", reach)
    monkeypatch.setattr("kagglehub.dataset_download", download)


def test_kaggle_with_credentials(tmp_path, lines, monkeypatch):
    path = written(tmp_path / "fer2013.csv", lines)
    kaggle(monkeypatch, lambda name: str(tmp_path))
    assert datasets.find() == path


def test_kaggle_without_network_falls_back(monkeypatch, caplog):
    def unreachable(*_, timeout):
        raise ConnectionError

    kaggle(monkeypatch, None, unreachable)
    assert datasets.find() is None
    assert "could not be downloaded (ConnectionError)" in caplog.text


def test_cache_is_used_and_follows_the_file(tmp_path, lines, monkeypatch):
    path = written(tmp_path / "fer2013.csv", lines)
    first = datasets.load(path)
    assert datasets.load(path) is first
    datasets._kept.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(fer2013, "read_csv", None)
        again = datasets.load(path)
    np.testing.assert_array_equal(again.images, first.images)
    assert again.origin == first.origin and again.fingerprint == first.fingerprint
    assert len(datasets.load(written(path, lines[:10]))) == 9


@pytest.mark.parametrize(
    "change", [cut(0.3), lambda data: data[:5000] + b"\0\1\2" + data[5003:], lambda data: b""]
)
def test_damaged_cache_is_made_again(tmp_path, lines, arrays, change):
    path = written(tmp_path / "fer2013.csv", lines)
    datasets.load(path)
    (cached,) = (paths.CACHE / "datasets").iterdir()
    cached.write_bytes(change(cached.read_bytes()))
    for _ in range(2):
        datasets._kept.cache_clear()
        assert_same(datasets.load(path), arrays)


def test_fingerprint_knows_the_faces_and_not_their_order(arrays):
    def fingerprint(*parts):
        return from_arrays(*parts, "").fingerprint

    order = np.random.default_rng(0).permutation(N)
    assert fingerprint(*arrays) == fingerprint(*(part[order] for part in arrays))
    for part in range(3):
        changed = [array.copy() for array in arrays]
        changed[part].reshape(N, -1)[3, -1] ^= 1
        assert fingerprint(*changed) != fingerprint(*arrays)


@pytest.fixture
def reference(monkeypatch, arrays):
    """The made-up data set taken for FER2013; the last two of its faces are stand-ins."""
    images, labels, codes = arrays
    hashes = (pixel_hashes(images) >> np.uint64(32)).astype(np.uint32)
    first = np.array([np.flatnonzero(hashes == one)[0] for one in hashes])
    votes = np.repeat(np.arange(N, dtype=np.int8)[:, None] % 11, 10, axis=1)
    known = SimpleNamespace(labels=labels, codes=codes, hashes=hashes, groups=first, votes=votes)
    known.constant, known.exact = hashes == 0, np.arange(N) < N - 2
    monkeypatch.setattr(fer2013, "facts", lambda: known)
    return known


def named(images, labels, codes, file_name="f"):
    return fer2013.identified(from_arrays(images, labels, codes, ""), file_name)


def test_data_are_named_by_what_differs(reference, arrays):
    images, labels, codes = arrays
    order = np.random.default_rng(0).permutation(N)
    shuffled = named(images[order], labels[order], codes[order])
    assert shuffled.origin == "FER2013, 2 faces differ"
    assert (shuffled.row_ids == order).all()
    original = images.copy()
    original[-2:] += 1
    complete = named(original, labels, codes)
    assert complete.origin == "FER2013, complete" and (complete.row_ids[:-2] == range(N - 2)).all()
    original[4] += 1
    different = named(original, labels, codes)
    assert different.origin == "FER2013, 1 face differs" and different.row_ids[4] == 4
    assert named(*(a[1:] for a in arrays)).origin == "not FER2013: f (23 of its 24 faces)"
    assert named(*(a[:8] for a in arrays)).origin == "FER2013, Training only (8 faces)"
    assert named(255 - images[:9], labels[:9], codes[:9], "f.csv").origin == "not FER2013: f.csv"


@pytest.mark.parametrize("gone", [[0], [12], [N - 1], [3, 4, 5], [0, 7, 15, 20]])
def test_rows_are_found_whatever_is_missing(reference, arrays, gone):
    """A face keeps the row of fer2013.csv that it is, and so the votes, where others are gone."""
    rest = np.delete(np.arange(N), gone)
    found = named(*(array[rest] for array in arrays))
    assert (found.row_ids == rest).all()
    assert (fer2013.load_votes(found)[:, 0] == rest % 11).all()


@pytest.mark.parametrize("gone", [[], [0], [2], [4], [8], [9, 10]])
def test_duplicates_get_their_own_votes_or_none(arrays, monkeypatch, request, gone):
    images, labels, codes = (array.copy() for array in arrays)
    images[3], labels[3] = images[2], labels[2]
    images[9], labels[9] = images[2], labels[2]
    codes[9] = 0
    reference = request.getfixturevalue("reference")
    hashes = (pixel_hashes(images) >> np.uint64(32)).astype(np.uint32)
    reference.labels, reference.codes, reference.hashes = labels, codes, hashes
    rest = np.delete(np.arange(N), gone)
    found = named(images[rest], labels[rest], codes[rest])
    placed = found.row_ids < N
    assert (found.row_ids[placed] == rest[placed]).all() and placed.sum() >= N - len(gone) - 2
    votes = fer2013.load_votes(found)
    assert (votes[placed, 0] == rest[placed] % 11).all() and not votes[~placed].any()
    if not gone:
        assert placed.all()


def test_votes_go_by_row(reference, arrays):
    read = named(*arrays)
    votes = fer2013.load_votes(read.select(np.array([5, 3])))
    assert votes.dtype == np.int8 and votes.tolist() == [[5] * 10, [3] * 10]
    chosen = read.select(read.labels >= 2)
    five = replace(chosen, labels=chosen.labels - 2, class_names=CLASS_NAMES[2:])
    assert (fer2013.load_votes(five)[:, 0] == five.row_ids % 11).all()


def test_votes_that_do_not_belong_are_refused(reference, arrays):
    read = from_arrays(*arrays, "made-up faces")
    for other in (255 - arrays[0], np.roll(arrays[0], 5, axis=0), arrays[0][::-1]):
        with pytest.raises(DatasetError, match=r"known of FER2013's faces only.*made-up faces"):
            fer2013.load_votes(replace(read, images=other))


def test_the_packed_facts_are_those_of_fer2013():
    """Counts that are known of FER2013 (one circulating copy), from the package alone."""
    faces = datasets.facts()
    known = fer2013.facts()
    assert len(faces) == 35887 and not faces.has_pixels and faces.is_fer2013
    assert fer2013.FILE.stat().st_size < 400_000
    assert fer2013.counts(known.labels, known.codes).tolist() == [
        [3995, 436, 4097, 7215, 4830, 3171, 4965],
        [467, 56, 496, 895, 653, 415, 607],
        [491, 55, 528, 879, 594, 416, 626],
    ]
    group = splits.duplicate_groups(faces)
    assert len(faces) - group.max() - 1 == 1851 and known.constant.sum() == 12
    assert known.exact.sum() == 35710
    parts = splits.divide(faces, "official")
    assert splits.deduplicated_test(faces, parts).sum() == 3275
    train, validation, test = (group[positions] for positions in parts.parts().values())
    leaks = [(validation, train), (test, train), (test, validation)]
    assert [np.isin(*pair).sum() for pair in leaks] == [280, 288, 44]
    assert (known.votes.sum(1) == 10).mean() > 0.99
    voted, parts = splits.prepare(faces, "ferplus")
    assert len(voted) == 31412 and splits.deduplicated_test(voted, parts).sum() == 2869
    assert faces.select(np.array([3, 1])).row_ids.tolist() == [3, 1]


@pytest.mark.skipif("FER2013" not in os.environ, reason="FER2013 is not at hand")
def test_facts_and_pixels_give_the_same_partitions():
    real, known = datasets.load(FER2013), datasets.facts()
    assert (real.labels == known.labels).all() and (real.row_ids == known.row_ids).all()
    assert (fer2013.load_votes(real) == fer2013.load_votes(known)).all()
    for name in splits.SPLITS:
        (one, parts), (other, same) = (splits.prepare(faces, name) for faces in (real, known))
        assert (one.labels == other.labels).all() and (one.row_ids == other.row_ids).all()
        for first, second in zip(parts.parts().values(), same.parts().values(), strict=True):
            assert (first == second).all()
        apart = splits.deduplicated_test(one, parts), splits.deduplicated_test(other, same)
        assert (apart[0] == apart[1]).all()


def test_subset_keeps_splits_and_classes():
    codes = np.repeat([0, 1, 2], (70, 30, 4)).astype(np.int8)
    labels = np.where(np.arange(104) % 10 == 0, 1, 3).astype(np.int8)
    whole = from_arrays(np.zeros((104, 48, 48), np.uint8), labels, codes, "made up")
    part = datasets.subset(whole, 20, seed=3)
    assert [np.count_nonzero(part.usage == usage) for usage in USAGES] == [20, 20, 4]
    assert np.count_nonzero(part.labels[part.usage == "Training"] == 1) == 2
    assert (np.diff(part.row_ids) > 0).all()
    assert (datasets.subset(whole, 20, seed=3).row_ids == part.row_ids).all()
    assert (datasets.subset(whole, 20, seed=4).row_ids != part.row_ids).any()
    assert datasets.subset(whole, None) is whole
    with pytest.raises(DatasetError, match="subset is 0"):
        datasets.subset(whole, 0)
