"""The tables of README.md and docs/results.md, and what their prose says."""

import re

import pandas as pd
import pytest
from made_up import faces, predict, run

from fercore import paths
from fercore.config import reading
from fercore.evaluation import comparison, scoring
from fercore.workflow import documents

PUBLISHED = paths.ROOT / "outputs" / "published"
DOCS = [*sorted((paths.ROOT / "docs").glob("*.md")), paths.ROOT / "CONTRIBUTING.md"]
has_results = pytest.mark.skipif(
    not (PUBLISHED / "tables" / "results.csv").exists(), reason="nothing published yet"
)


@has_results
def test_the_documents_show_the_published_results():
    for name, text in documents.documents().items():
        assert (paths.ROOT / name).read_text() == text, name


@has_results
def test_the_story_is_told_with_the_numbers_of_the_tables():
    told = documents.story(PUBLISHED)
    read = (pd.read_csv(PUBLISHED / "tables" / f"{name}.csv") for name in ("results", "changes"))
    rows = documents.verdicts(*read).set_index("system").to_dict("index")
    assert [one["letter"] for one in told["systems"]] == list("ABCDE")
    for one in told["systems"]:
        assert one["verdict"] == rows[one["letter"]]["verdict"]
        assert re.search(r"\d\d\.\d", one["reason"]) and "nan" not in one["reason"]
    assert len(re.findall(r"^\d\. \*\*", told["findings"], flags=re.M)) == 3
    assert told["summary"].count("\n|") == 7 and rows["own"]["here"] in told["summary"]


@has_results
def test_a_gain_counts_once_and_a_published_loss_is_none():
    results = pd.read_csv(PUBLISHED / "tables" / "results.csv")
    gains = pd.read_csv(PUBLISHED / "tables" / "changes.csv")

    def reached(**changed):
        depth = (gains.change == "depth") & gains.published.notna()
        assert depth.sum() == 2  # with softmax and with sigmoids, of one published figure
        made = gains.assign(**{key: gains[key].mask(depth, one) for key, one in changed.items()})
        return documents.verdicts(results, made).set_index("system").loc["B", "gains reached"]

    assert reached() == "1 of 1"
    assert reached(high=gains.published - 1) == "0 of 1"
    assert reached(published=-1.0) == ""


def test_a_document_is_filled_between_its_markers(tmp_path):
    data = faces()
    for name in ("cnn", "dsift_cnn"):
        predict(tmp_path, data, name, split="pooled_64_16_20")
        predict(tmp_path, data, name)
    made = run(tmp_path, data)
    learnt = {"percent": 100, "network": "dsift_cnn", "recipe": "study", "seed": 0}
    learnt |= {"faces": 70, "gain": 1.0, "together": 2.0}
    curve = pd.DataFrame([learnt], columns=comparison.CURVE)
    content = documents.generated(scoring.results(made), comparison.changes(made), curve)
    blocks = [f"<!-- {name}:begin -->\nformer\n<!-- {name}:end -->\n" for name in content]
    text = documents.filled("a\n{}b\n{}{}{}c\n".format(*blocks), content, "docs/results.md")
    assert text.startswith("a\n<!-- verdicts:begin -->\n| ") and text.endswith(
        "<!-- few faces:end -->\nc\n"
    )
    assert "former" not in text and text.count("| A | `cnn` | `pooled_64_16_20` | 62.55 |") == 2
    assert (
        "| `aggregated_vgg`" not in text
        and "`aggregated_vgg`" in text.split("not trained on all faces yet")[1]
    )
    assert "| `cnn` | `dsift_cnn` | `pooled_64_16_20` |" in text and "| 70 | `study` |" in text
    assert documents.filled(text, content, "docs/results.md") == text
    with pytest.raises(
        scoring.EvaluationError, match=r"docs/results\.md: .*verdicts:end --> must stand around"
    ):
        documents.filled("no markers", content, "docs/results.md")


@has_results
def test_every_interval_that_the_documents_type_is_in_a_published_table():
    """'70.1 [69.1, 71.1]' or '+0.9 [0.4, 1.4]' in its prose: a value and its interval, in one row
    of one table."""
    known = set()
    for path in (path for path in (PUBLISHED / "tables").glob("*.csv") if path.read_text().strip()):
        table = pd.read_csv(path)
        for low in (name for name in table if name.endswith("low")):
            high = low.removesuffix("low") + "high"
            names = (low.removesuffix("_low"), "gain", "value", "difference", "test", "accuracy")
            value = next(name for name in names if name in table and name != low)
            rows = table[[value, low, high]].dropna().to_numpy(float)
            known |= {tuple(f"{number:z.1f}" for number in row) for row in rows}
    text = "".join((paths.ROOT / name).read_text() for name in documents.DOCUMENTS)
    text = re.sub(r"<!-- ([\w ]+):begin -->.*?<!-- \1:end -->", "", text, flags=re.S)
    typed = re.findall(r"(-?\d+\.\d)\s%?\s?\[(-?\d+\.\d),\s(-?\d+\.\d)\]", text)
    assert len(typed) > 15
    assert [found for found in typed if found not in known] == []


@pytest.mark.parametrize("name", reading.notebooks())
def test_the_readme_lists_each_notebook_with_the_time_that_it_says_itself(name):
    lines = (paths.ROOT / "README.md").read_text().splitlines()
    row = next(line for line in lines if f"(notebooks/{name}.ipynb)" in line)
    first = "".join(reading.cells(name)[0]["source"])
    page, takes = re.search(r"/(reports/[^)]*\)) ·\s(?:about )?(.*?) on two cores", first).groups()
    assert page in row and takes in row


def test_links_of_the_documents_lead_somewhere():
    """Files that are there, and headings as GitHub makes anchors of them."""
    texts = {path: path.read_text() for path in [paths.ROOT / "README.md", *DOCS]}
    anchors = {
        path: {
            re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-")
            for line in re.findall(r"^#+ (.+)$", text, flags=re.M)
        }
        for path, text in texts.items()
    }
    links = [
        (path, link)
        for path, text in texts.items()
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text)
    ]
    assert len(links) > 40
    for path, link in links:
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), f"{path.name}: {link}"
        assert not anchor or target not in anchors or anchor in anchors[target], link
