"""results.csv as tables to read."""

import re

import pandas as pd
import pytest
from made_up import faces, predict, run

from fercore.evaluation import aggregates, comparison, scoring, tables

SCORES = {
    "accuracy_low": 60,
    "accuracy_high": 70,
    "accuracy_deduplicated": 50,
    "train_seconds": 60,
    "device": "cpu",
    "tta": True,
}


@pytest.fixture
def made(tmp_path):
    data = faces()
    for split in ("official", "pooled_64_16_20"):
        predict(tmp_path, data, "cnn", split=split, wrong=7)
        predict(tmp_path, data, "cnn_published", split=split, wrong=14)
    predict(tmp_path, data, "sift_cnn", seed=0, wrong=7)
    predict(tmp_path, data, "sift_cnn", seed=1, wrong=14)
    aggregates.save_all(tmp_path, "official")
    return run(tmp_path, data)


@pytest.fixture
def results(made):
    return scoring.results(made)


def test_both_recipes_stand_beside_the_published_figure_of_the_split(results):
    table = tables.of_system(results, "A", split="pooled_64_16_20").set_index("network")
    row = table.loc["cnn"]
    assert (row["published validation"], row["published test"]) == ("63.57", "62.55")
    assert row["test"].startswith("83.3 [") and row["difference"] == "+20.8"
    assert table.loc["cnn_published", "test"] == "66.7 [52.4,\u00a081.0]"
    official = tables.of_system(results, "A", split="official").set_index("network")
    assert official.loc["cnn", "published test"] == official.loc["cnn", "difference"] == ""


def test_no_difference_is_below_zero_by_its_sign_alone(results):
    results.loc[results.network == "cnn", "accuracy"] = 62.52
    table = tables.of_system(results, "A", split="pooled_64_16_20").set_index("network")
    assert table.test["cnn"].startswith("62.5") and table.difference["cnn"] == "+0.0"


def test_several_seeds_give_mean_and_deviation(results):
    row = tables.of_system(results, "A", split="official").set_index("network").loc["sift_cnn"]
    assert row["test"] == "85.0\u00a0±\u00a07.1 (2\u00a0seeds)"


def test_systems_are_compared_by_the_mean_of_their_seeds(results):
    chart = comparison.ranking(results, "official").set_index("name")
    assert chart.index.tolist() == ["cnn", "cnn+sift_cnn", "sift_cnn", "cnn_published"]
    assert chart.accuracy.sift_cnn == pytest.approx(85) and chart.accuracy.cnn == pytest.approx(90)
    assert chart.published["cnn"] == 62.55  # of another split with the same classes
    assert chart.parameters["cnn+sift_cnn"] == 200


def test_what_was_not_run_is_in_no_table(results):
    table = tables.of_system(results, "A")
    assert table.network.str.contains("cnn").all() and (table.test != "").all()
    official = tables.of_system(results, "A", split="official")
    assert set(official.network) == {"cnn", "cnn_published", "sift_cnn", "cnn+sift_cnn"}
    everything = tables.everything(results)
    assert set(everything.network) == {"cnn", "sift_cnn", "cnn+sift_cnn"}
    here = everything.set_index("network").here
    assert here["sift_cnn"] == "" and here["cnn"].startswith("83.3 [")
    assert tables.of_system(results, "E").empty


def test_other_data_have_no_published_columns(results):
    columns = tables.of_system(results, "A", fer2013=False, split="official").columns
    assert not any("difference" in column or "published" in column for column in columns)


def test_a_system_has_a_row_for_each_split_it_published_on(results):
    table = tables.of_system(results, "A").set_index(["network", "split"])
    assert table.loc[("cnn", "pooled_64_16_20"), "published test"] == "62.55"
    assert (
        table.loc[("cnn", "official"), "published test"] == ""
        and table.loc[("cnn", "official"), "difference"] == ""
    )
    assert table.loc[("cnn", "official"), "test"].startswith("90.0 [")
    assert ("sift_cnn", "pooled_64_16_20") not in table.index
    assert table.loc[("cnn_published", "pooled_64_16_20"), "difference"] == "+4.1"
    assert "published test" not in tables.of_system(results, "A", fer2013=False)


def test_what_is_missing_in_a_table_is_empty():
    frame = pd.DataFrame({"network": ["cnn", "svm"], "epochs": [3, None], "best": [None, "x"]})
    assert tables.markdown(frame).splitlines()[2:] == ["| cnn | 3.0 |  |", "| svm |  | x |"]


def test_a_long_name_may_break_behind_its_underscores():
    text = tables.html(pd.DataFrame({"network": ["svm_hog", "svm_landmarks_hog_windows"]}))
    assert ">svm_hog</td>" in text and ">svm_<wbr>landmarks_<wbr>hog_<wbr>windows</td>" in text


def test_columns_of_words_are_marked():
    frame = pd.DataFrame(
        {
            "network": ["cnn", "vgg"],
            "test": ["65.1 [63.5, 66.7]", ""],
            "recipe": ["", "study"],
        }
    )
    text = tables.html(frame)
    assert text.count('class="words"') == 2 * 3  # header and two rows
    assert '<th class="words">recipe</th>' in text and "<th>test</th>" in text


def test_words_of_styled_tables_begin_below_each_other():
    frame = pd.DataFrame({"network": ["cnn"], "accuracy": [65.12], "recipe": ["study"]})
    text = tables.styled(frame).format(precision=1).to_html()
    assert ">65.1<" in text and "row_heading" not in text
    assert re.findall(r"\.(\w+) {\s+text-align: left", text) == ["col0", "col2"]


def test_a_small_probability_is_below_a_limit():
    assert tables.p_value(0.0321) == "0.032" and tables.p_value(1e-9) == "<\u00a00.001"


def test_training_on_a_gpu_is_said_and_is_no_time_on_cores():
    rows = pd.DataFrame({"train_seconds": 300.0, "device": ["cpu, 2 cores", "gpu, H200"]})
    assert (
        tables.training_time(rows) == "5 min, partly on a GPU"
        and tables.training_time(rows[1:]) == "5 min on a GPU"
    )
    assert tables.training_time(rows[:1]) == "5 min"
    assert tables.training_time(rows.assign(train_seconds=None)) == ""


def test_an_interval_joins_its_value():
    frame = pd.DataFrame(
        {
            "name": ["a"],
            "recall": [65.12],
            "recall_low": [63.5],
            "recall_high": [66.66],
            "f1": [1.0],
        }
    )
    joined = tables.with_interval(frame, "recall")
    assert (
        list(joined) == ["name", "recall", "f1"]
        and joined.recall[0].replace("\u00a0", " ") == "65.1 [63.5, 66.7]"
    )
    other = frame.set_axis(["name", "accuracy", "low", "high", "f1"], axis=1)
    assert list(tables.with_interval(other, "accuracy")) == ["name", "accuracy", "f1"]


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
        tables.everything(
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


def test_what_did_not_run_on_the_published_split_is_compared_on_the_official_one():
    table = tables.outcome(
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
    assert table.preferred.cnn and "vgg" not in table.index
    assert not any(name.endswith("_published") for name in table.index)


HOSTILE = ['=HYPERLINK("x")', "@SUM(A1)", "+1+cmd", "-2+3|x", "<script>alert(1)</script>"]


def test_cells_that_a_spreadsheet_would_compute_are_text(tmp_path):
    frame = pd.DataFrame({"network": HOSTILE, "=gain": [-1.5, 2.0, 3.0, 4.0, 5.0]})
    path = tables.save_csv(frame, tmp_path, "hostile")
    read = pd.read_csv(path)
    assert read.network.tolist()[:4] == ["'" + cell for cell in HOSTILE[:4]]
    assert list(read) == ["network", "'=gain"] and read["'=gain"].tolist()[0] == -1.5


@pytest.mark.parametrize(
    "write", [tables.html, tables.markdown, lambda f: tables.styled(f).to_html()]
)
def test_names_from_outside_are_text_in_every_table(write):
    frame = pd.DataFrame({"<b>name": HOSTILE, "value": 1.5})
    text = write(frame)
    assert "<script>" not in text and "<b>" not in text and "alert(1)" in text
