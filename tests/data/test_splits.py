"""Splits as published, on data of any size; duplicates on made-up data."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from fercore.data import fer2013, splits, synthetic
from fercore.data.faces import CLASS_NAMES, DatasetError, from_arrays
from fercore.data.splits import SPLITS, Partition


def made_up(n, seed=0):
    """Faces without contents, three quarters Training."""
    rng = np.random.default_rng(seed)
    images = np.zeros((n, 48, 48), np.uint8)
    images[:, 0, :4] = np.arange(n, dtype=np.uint32)[:, None].view(np.uint8)
    codes = np.searchsorted([0.75 * n, 0.85 * n], np.arange(n), side="right")
    return from_arrays(images, rng.integers(0, 7, n), codes, synthetic.ORIGIN)


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("n", [60, 2940])
def test_parts_are_disjoint_and_whole(name, n):
    faces, split = splits.prepare(made_up(n), name)
    everything = np.concatenate(list(split.parts().values()))
    assert len(np.unique(everything)) == len(everything)
    assert SPLITS[name].share < 1 or sorted(everything) == list(range(len(faces)))
    assert min(map(len, split.parts().values())) > 0


def test_shares_of_training_lie_in_one_another_with_every_class():
    faces = made_up(2940)
    whole = splits.divide(faces, "official")
    inner = np.array([], int)
    for percent in (5, 10, 25, 50):
        split = splits.divide(faces, f"official_{percent}_percent")
        assert set(inner) < set(split.train) < set(whole.train)
        assert np.array_equal(split.validation, whole.validation) and np.array_equal(
            split.test, whole.test
        )
        counts, all_counts = (
            np.bincount(faces.labels[part], minlength=7) for part in (split.train, whole.train)
        )
        assert np.abs(counts - all_counts * percent / 100).max() <= 0.5
        inner = split.train


def test_majority_drops_single_votes_and_faces_without_one():
    votes = np.zeros((5, 10), int)
    votes[0, [0, 1, 2]] = 5, 4, 1  # neutral, once the single vote for surprise is dropped
    votes[1, [0, 1]] = 5, 5  # no majority
    votes[2, 9] = 10  # no face
    votes[3, 8] = 9  # unknown
    votes[4, [7, 4]] = 7, 3
    labels = fer2013.majority(votes)
    assert [fer2013.EXPRESSIONS[k] if k >= 0 else None for k in labels] == [
        "Neutral",
        None,
        None,
        None,
        "Contempt",
    ]
    assert fer2013.agreement(votes[[0, 4]], np.array([6, 0])).tolist() == [5, 3]


def test_voted_labels_follow_their_faces():
    faces = made_up(300)
    voted, _ = splits.prepare(faces, "ferplus")
    names = np.array(fer2013.EXPRESSIONS)[voted.labels]
    expected = fer2013.majority(fer2013.load_votes(faces))[voted.row_ids]
    assert (names == np.array(fer2013.EXPRESSIONS)[expected]).all() and 200 < len(voted) <= 300
    given = np.array(faces.class_names)[faces.labels[voted.row_ids]]
    assert (names == given).mean() > 0.95  # synthetic voters agree in four of five votes


def test_vote_shares_drop_single_votes_and_keep_the_label_of_faces_without_others(monkeypatch):
    faces = replace(made_up(21), labels=np.full(21, CLASS_NAMES.index("Happy"), np.int8))
    votes = np.zeros((21, 10), int)
    votes[:, 1] = 10  # happiness
    votes[4, [0, 1, 2, 8]] = 2, 6, 1, 1  # neutral; single votes for surprise and for unknown
    votes[5, [1, 8]] = 1, 9
    monkeypatch.setattr(fer2013, "load_votes", lambda asked: votes[asked.row_ids])
    some, _ = splits.prepare(faces, "official_five")
    shares = fer2013.vote_shares(faces, some)
    row = {int(row_id): share for row_id, share in zip(some.row_ids, shares, strict=True)}
    assert shares.shape == (len(some), 5) and np.allclose(shares.sum(1), 1)
    assert row[4].tolist() == [0, 0.75, 0, 0, 0.25]
    assert row[5].tolist() == [0, 1, 0, 0, 0]


def test_sizes_of_the_published_splits():
    faces = made_up(35887)
    assert [len(p) for p in splits.divide(faces, "pooled_64_16_20").parts().values()] == [
        22967,
        5742,
        7178,
    ]
    assert [len(p) for p in splits.divide(faces, "pooled_80_10_10").parts().values()] == [
        28709,
        3589,
        3589,
    ]


def test_pooled_64_16_20_is_that_of_system_a():
    faces = made_up(1000)
    rows = np.arange(1000)
    rest, test = train_test_split(rows, test_size=0.2, random_state=42)
    train, validation = train_test_split(rest, test_size=0.2, random_state=40)
    split = splits.divide(faces, "pooled_64_16_20")
    for part, expected in zip(split.parts().values(), (train, validation, test), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_first_rows_of_the_published_pooled_test_part():
    """Held as numbers, so that a change of scikit-learn's shuffling is noticed."""
    test = splits.divide(made_up(35887), "pooled_64_16_20").test
    assert test[:5].tolist() == [19098, 2043, 16564, 10650, 4955]


def test_official_is_by_usage():
    faces = made_up(100)
    split = splits.divide(faces, "official")
    for part, usage in zip(
        split.parts().values(), ("Training", "PublicTest", "PrivateTest"), strict=True
    ):
        assert set(faces.usage[part]) == {usage} and (np.diff(part) > 0).all()


def test_class_subset_is_relabelled_and_keeps_its_rows():
    faces = made_up(200)
    five, split = splits.prepare(faces, "official_five")
    assert five.class_names == ("Angry", "Happy", "Sad", "Surprise", "Neutral")
    names = np.array(faces.class_names)[faces.labels[five.row_ids]]
    assert (np.array(five.class_names)[five.labels] == names).all()
    positions = splits.divide(faces, "official_five").test
    assert (faces.row_ids[positions] == five.row_ids[split.test]).all()


def test_errors_name_what_is_valid():
    faces = made_up(100)
    with pytest.raises(
        DatasetError, match="split 'offical' is unknown; choose one of official, pooled_64_16_20"
    ):
        splits.divide(faces, "offical")
    training = faces.select(faces.usage == "Training")
    with pytest.raises(
        DatasetError, match=r"no PublicTest faces .*; use pooled_64_16_20 or pooled_80_10_10"
    ):
        splits.divide(training, "official")
    with pytest.raises(DatasetError, match="4 faces are too few"):
        splits.divide(faces.select(np.arange(4)), "pooled_64_16_20")
    with pytest.raises(DatasetError, match="classes Angry, Sad, Surprise, Neutral: not in these"):
        splits.prepare(replace(faces, class_names=(*"abcdef", "Happy")), "official_five")


def test_faces_that_are_all_training_are_pooled():
    faces = made_up(20)
    assert splits.available(faces) == "official"
    alone = replace(faces, usage=np.full(20, "Training"))
    assert splits.available(alone) == "pooled_64_16_20"
    assert min(map(len, splits.divide(alone, splits.available(alone)).parts().values())) > 1


def test_obstacles_are_told_by_split():
    faces = made_up(100)
    happy = replace(faces, labels=faces.labels * 0, class_names=("Happy",))
    found = splits.obstacles(happy, ["official", "official_five"])
    assert list(found) == ["official_five"] and found["official_five"].startswith(
        "classes Angry, Sad"
    )
    assert (
        splits.obstacles(faces, SPLITS.keys() - {"ferplus", "ferplus_five", "ferplus_five_tenth"})
        == {}
    )


@pytest.fixture
def duplicates():
    """Ten faces: 1 and 4 repeat 0, 9 repeats 8; face 4 has another label; face 7 is blank."""
    images = np.random.default_rng(0).integers(0, 256, (10, 48, 48), np.uint8)
    images[[1, 4]], images[9], images[7] = images[0], images[8], 77
    labels = np.array([1, 1, 2, 3, 5, 0, 0, 0, 6, 6], np.int8)
    return from_arrays(images, labels, np.zeros(10, int), "made up")


def test_duplicates_are_found(duplicates):
    group = splits.duplicate_groups(duplicates)
    assert group[0] == group[1] == group[4] and group[8] == group[9] and len(set(group)) == 7


def test_test_faces_without_exact_duplicates(duplicates):
    split = Partition(
        train=np.array([0, 2, 3]), validation=np.array([1, 8]), test=np.array([4, 5, 6, 7, 9])
    )
    assert splits.deduplicated_test(duplicates, split).tolist() == [False, True, True, True, False]
