"""The page from which a reader starts, and the pages that are committed."""

import re

import pandas as pd
import PIL.Image
import pytest
from made_up_run import Parsed, start

from fercore import artifacts, paths
from fercore.config import reading
from fercore.evaluation import scoring
from fercore.workflow import index, pages

REPORTS = paths.outputs("published") / "reports"
PAGES = sorted(REPORTS.glob("*.html"))


def test_the_index_names_notebooks_what_they_ask_and_what_failed(run_folder):
    thumbnail = run_folder / "figures" / "01_look.closely" / "thumbnail.webp"
    thumbnail.parent.mkdir(parents=True)
    PIL.Image.new("RGB", (400, 300), "red").save(thumbnail)
    artifacts.write_atomically(run_folder / "reports" / "01_look.html", "x")
    text = index.index("try").read_text()
    published = "../../published/reports/index.html"
    assert Parsed(text).linked == [published, "01_look.html", "01_look.html"]
    assert "one that failed: 02_next" in text and "A demonstration.</strong> Data: embedded" in text
    assert "Looking" in text and "At what?" in text and "More" not in text
    assert "data:image/webp;base64," in text and "At a glance" not in text
    assert "published, and what was found" not in text


def test_the_index_says_which_splits_the_data_cannot_have(run_folder):
    run = pages.run_of("try") | {"left_out": {"official_five": "classes <b>: not in these data"}}
    artifacts.write_json(run_folder / "run.json", run)
    text = index.index("try").read_text()
    assert "<code>official_five</code> and what is about it: classes &lt;b&gt;: not in" in text


def test_a_run_on_fer2013_shows_its_points_and_tables_but_no_verdicts(run_folder, tmp_path):
    """Verdicts belong to the committed predictions; a short run of one's own has none."""
    for name in ("networks", "recipes", "aggregates.yaml", "changes.yaml"):
        (tmp_path / "params" / name).symlink_to(paths.ROOT / "params" / name)
    start(tmp_path / "outputs", "FER2013, complete")
    row = dict.fromkeys(scoring.COLUMNS, None) | {"table": "networks", "system": "B", "n": 3589}
    row |= {
        "device": "cpu",
        "network": "deep_cnn",
        "split": "pooled_80_10_10",
        "seed": 0,
        "tta": True,
    }
    row |= dict(zip(scoring.SCORES, (66.6, 65.1, 68.2, 64.0, 1, 1, 1, 1), strict=True))
    rows = pd.DataFrame([row | {"part": part, "train_seconds": 60.0} for part in scoring.PARTS])
    artifacts.write_atomically(run_folder / "tables" / "results.csv", rows.to_csv(index=False))
    text = index.index("try").read_text()
    assert "A run of your own" in text and 'aria-label="published 65.55, here 66.6"' in text
    assert "<summary>Every network and average</summary>" in text and 'class="verdict' not in text


@pytest.mark.skipif(len(PAGES) < 2, reason="pages are not made yet")
def test_every_committed_page_is_led_to_by_the_index():
    linked = Parsed((REPORTS / "index.html").read_text()).linked
    assert {page.name for page in PAGES} - {"index.html"} <= set(linked)


@pytest.mark.skipif(len(PAGES) < 2, reason="pages are not made yet")
@pytest.mark.parametrize("name", reading.notebooks())
def test_a_notebook_leads_to_its_committed_page(name):
    first = "".join(reading.cells(name)[0]["source"])
    page = re.search(r"\(\.\./(outputs/published/reports/[^)]*)\)", first)
    assert page and (paths.ROOT / page[1]).exists()


def test_the_committed_pages_are_small():
    sizes = {page.name: page.stat().st_size for page in PAGES}
    assert {name: size for name, size in sizes.items() if size > pages.LIMIT} == {}
    assert sum(sizes.values()) <= index.TOTAL


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_committed_page_stands_alone_and_its_links_are_alive(page):
    text = page.read_text()
    read = Parsed(text)
    assert read.language == "en" and re.search(r"<title>\s*\S", text)
    assert "script" not in read.tags and "link" not in read.tags and "@import" not in text
    assert not re.search(r"url\((?!#)", re.search(r"<style>.*?</style>", text, re.S)[0])
    assert all(one["src"].startswith("data:image/") and one["alt"] for one in read.pictures)
    assert pages.machine_paths(text) == []
    assert [link for link in read.linked if not _is_alive(page, link, read.anchors)] == []


def _is_alive(page, link, anchors):
    file, _, anchor = link.partition("#")
    if re.match(r"https?:", link):
        return True
    target = (page.parent / file).resolve() if file else page
    if not target.exists() or not target.is_relative_to(paths.ROOT):
        return False
    if target.suffix == ".md":
        headings = re.findall(r"^#+ (.+)$", target.read_text(), flags=re.M)
        anchors = {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}
    elif file and target.suffix == ".html":
        anchors = Parsed(target.read_text()).anchors
    return not anchor or anchor in anchors
