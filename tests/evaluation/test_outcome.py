"""Published beside reached, all systems at a glance."""

import pandas as pd
import pytest

from fercore.evaluation import outcome

SCORES = {
    "accuracy_low": 60,
    "accuracy_high": 70,
    "accuracy_deduplicated": 50,
    "train_seconds": 60,
    "device": "cpu",
    "tta": True,
}


def made_up(ran: dict) -> pd.DataFrame:
    """Results of (network, split): (validation, test accuracy)."""
    return pd.DataFrame(
        [
            {"network": network, "split": split, "part": part, "accuracy": accuracy} | SCORES
            for (network, split), both in ran.items()
            for part, accuracy in zip(("validation", "test"), both, strict=True)
        ]
    )


def test_beside_each_split_stands_the_official_one_with_the_same_classes():
    rows = (
        outcome.everything(
            made_up(
                {
                    ("cnn", "pooled_64_16_20"): (63, 63),
                    ("cnn", "official"): (65, 65),
                    ("five_class_cnn", "ferplus_five_tenth"): (81, 81),
                    ("five_class_cnn", "ferplus_five"): (87, 87),
                    ("five_class_cnn", "official_five"): (76, 76),
                    ("svm_hog", "official_five"): (54, 54),
                }
            )
        )
        .set_index(["network", "split"])["official split"]
        .str[:4]
    )
    assert rows["cnn", "pooled_64_16_20"] == "65.0"
    assert rows["five_class_cnn", "ferplus_five_tenth"] == "76.0"
    assert rows["svm_hog", "official_five"] == ""


def test_the_foremost_are_what_each_system_published_most_for_by_the_recipe_that_validation_prefers():
    two_ways = ["model_a_landmarks_hog_longer", "model_b_landmarks_hog_windows"]
    ran = dict.fromkeys(
        ("dsift_cnn", "cnn", "dsift_vgg", "vgg", "compact", "shallow_cnn", *two_ways), (65, 65)
    )
    ran |= {"model_b_landmarks_hog_windows_longer": (70, 60), "dsift_vgg_longer": (60, 70)}
    rows = outcome.foremost(made_up({(network, "official"): both for network, both in ran.items()}))
    of_e = ["model_a_landmarks_hog_longer", "model_b_landmarks_hog_windows_longer"]
    assert rows.network.tolist() == [
        "cnn",
        "dsift_vgg",
        *of_e,
        "compact",
    ]  # of system B: deep_cnn, which did not run


def test_the_foremost_name_the_recipe_of_the_official_split_where_it_is_another():
    (row,) = outcome.foremost(
        made_up(
            {
                ("dsift_vgg", "pooled_64_16_20"): (65, 65),
                ("dsift_vgg", "official"): (67, 67),
                ("dsift_vgg_longer", "pooled_64_16_20"): (69, 69),
            }
        )
    ).to_dict("records")
    assert (row["network"], row["split"], row["published"]) == (
        "dsift_vgg_longer",
        "pooled_64_16_20",
        "67.69",
    )
    assert row["here"].startswith("69.0 [") and row["official split"].startswith("67.0 [")
    assert row["official split"].endswith("] by dsift_vgg")


def test_what_did_not_run_on_the_published_split_is_compared_on_the_official_one():
    table = outcome.compared(
        made_up(
            {
                ("cnn", "pooled_64_16_20"): (90, 91),
                ("cnn_published", "pooled_64_16_20"): (80, 80),
                ("sift_cnn", "official"): (84, 85),
            }
        )
    ).set_index("name")
    assert table.loc["cnn", ["split", "measured_on"]].tolist() == ["pooled_64_16_20"] * 2
    assert table.loc["sift_cnn", ["measured_on", "published"]].tolist() == ["official", 61.24]
    assert table.accuracy.sift_cnn == pytest.approx(
        85
    ) and table.validation.sift_cnn == pytest.approx(84)
    assert table.preferred.cnn and not table.preferred.vgg and pd.isna(table.accuracy.vgg)
    assert not any(name.endswith("_published") for name in table.index)
