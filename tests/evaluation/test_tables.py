"""results.csv as tables to read."""

import re

import pandas as pd
import pytest
from made_up import faces, predict, run

from fercore.evaluation import aggregation, missing, scoring, tables


@pytest.fixture
def made(tmp_path):
    data = faces()
    for split in ("official", "pooled_64_16_20"):
        predict(tmp_path, data, "cnn", split=split, wrong=7)
        predict(tmp_path, data, "cnn_published", split=split, wrong=14)
    predict(tmp_path, data, "sift_cnn", seed=0, wrong=7)
    predict(tmp_path, data, "sift_cnn", seed=1, wrong=14)
    aggregation.save_all(tmp_path, "official")
    return run(tmp_path, data)


@pytest.fixture
def results(made):
    return scoring.results(made)


def test_both_recipes_and_the_published_figure_stand_side_by_side(results):
    row = tables.beside_published(results, "official", "networks").set_index("network").loc["cnn"]
    assert row["published test"] == "62.55"
    assert row["test"].startswith("90.0 [")
    assert row["difference"] == "+27.4" or row["difference"] == "+27.5"
    assert row["published recipe, test"].startswith("80.0")


def test_no_difference_is_below_zero_by_its_sign_alone(results):
    results.loc[results.network == "cnn", "accuracy"] = 62.52
    row = tables.beside_published(results, "official", "networks").set_index("network").loc["cnn"]
    assert row["test"].startswith("62.5") and row["difference"] == "+0.0"


def test_several_seeds_give_mean_and_deviation(results):
    row = (
        tables.beside_published(results, "official", "networks")
        .set_index("network")
        .loc["sift_cnn"]
    )
    assert row["test"] == "85.0\u00a0±\u00a07.1 (2\u00a0seeds)"


def test_the_chart_shows_the_mean_of_the_seeds(made):
    scored = [scoring.score_all(made, "official", seed) for seed in (0, 1)]
    chart = tables.forest(made, *scored).set_index("name")
    assert chart.index.tolist() == ["cnn", "sift_cnn", "cnn+sift_cnn"]
    assert chart.accuracy.sift_cnn == pytest.approx(85) and chart.accuracy.cnn == pytest.approx(90)


def test_what_is_missing_is_shown_with_its_reason(results):
    table = tables.beside_published(results, "official", "networks").set_index("network")
    assert table.loc["vgg", "test"] == "not run"
    assert len(table) == 6
    reasons = missing.not_run(results, "official")
    assert reasons["not trained by 11_vgg"] == ["vgg", "sift_vgg", "dsift_vgg"]
    assert reasons["lacks vgg, sift_vgg, dsift_vgg"] == ["aggregated_vgg"]
    assert "vgg_longer" in missing.not_run(results, "pooled_64_16_20")["not trained by 11_vgg"]
    listed = {name for names in reasons.values() for name in names}
    assert {"compact", "svm_hog"} <= listed and not {
        "five_class_cnn",
        "compact_ferplus",
        "model_a",
    } & listed
    assert not {"cnn", "cnn+sift_cnn"} & {name for names in reasons.values() for name in names}


def test_an_ensemble_without_a_member_is_told():
    there = pd.DataFrame(
        {"network": ["ensemble", "vgg16_scratch", "inception_v1", "aggregated_cnn"]}
    )
    assert missing.incomplete(there.assign(split="official"), "official") == {
        "ensemble": ["vgg16_imagenet"]
    }
    assert missing.incomplete(there.assign(split="official"), "pooled_64_16_20") == {}


def test_other_data_have_no_published_columns(results):
    columns = tables.beside_published(results, "official", "aggregates", fer2013=False).columns
    assert not any("difference" in column or column == "published test" for column in columns)


def test_what_counts(results):
    worth = tables.what_counts(results).set_index("split")
    assert worth.loc["official", "views averaged"] == "+0.00"


def test_a_system_has_a_row_for_each_split_it_published_on(results):
    table = tables.of_system(results, "A").set_index(["network", "split"])
    assert table.loc[("cnn", "pooled_64_16_20"), "published"] == "62.55"
    assert (
        table.loc[("cnn", "official"), "published"] == ""
        and table.loc[("cnn", "official"), "difference"] == ""
    )
    assert table.loc[("cnn", "official"), "test"].startswith("90.0 [")
    assert table.loc[("vgg", "pooled_64_16_20"), "test"] == "not run"
    assert table.loc[("cnn_published", "pooled_64_16_20"), "difference"] == "+4.1"
    assert "vgg_published" not in table.index.get_level_values("network")
    assert "published" not in tables.of_system(results, "A", fer2013=False)


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
            "test": ["65.1 [63.5, 66.7]", "not run"],
            "recipe": ["", "study"],
        }
    )
    text = tables.html(frame)
    assert text.count('class="words"') == 2 * 3  # header and two rows
    assert (
        '<th class="words">recipe</th>' in text
        and "<td>not run</td>" in text
        and "<th>test</th>" in text
    )


def test_words_of_styled_tables_begin_below_each_other():
    frame = pd.DataFrame({"network": ["cnn"], "accuracy": [65.12], "recipe": ["study"]})
    text = tables.styled(frame).format(precision=1).to_html()
    assert ">65.1<" in text and "row_heading" not in text
    assert re.findall(r"\.(\w+) {\s+text-align: left", text) == ["col0", "col2"]


def test_texts():
    assert tables.duration(None) == "" and tables.duration(45) == "45 s"
    assert tables.duration(1260) == "21 min" and tables.duration(11520) == "3.2 h"
    assert tables.p_value(0.0321) == "0.032" and tables.p_value(1e-9) == "<\u00a00.001"


def test_training_on_a_gpu_is_said_and_is_no_time_on_cores():
    rows = pd.DataFrame({"train_seconds": 300.0, "device": ["cpu, 2 cores", "gpu, H200"]})
    assert (
        tables.training_time(rows) == "5 min, partly on a GPU"
        and tables.training_time(rows[1:]) == "5 min on a GPU"
    )
    assert (
        tables.training_time(rows[:1]) == "5 min"
        and tables.training_time(rows[:0]) == tables.NOT_RUN
    )


def test_costs_are_read_in_millions_and_hours():
    compared = pd.DataFrame(
        {
            "name": ["cnn", "sum"],
            "accuracy": 67.41,
            "low": 65.8,
            "high": 68.8,
            "train_seconds": 11520.0,
            "parameters": 1352295.0,
            "macs": [49.96e6, float("nan")],
        }
    )
    row, other = tables.readable(compared).to_dict("records")
    assert row == {
        "name": "cnn",
        "accuracy": "67.4\u00a0[65.8,\u00a068.8]",
        "training": "3.2 h",
        "parameters": "1,352,295",
        "multiply-adds, M": "50",
    }
    assert pd.isna(other["multiply-adds, M"])


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
