"""Reports stand alone, say nothing of the machine that made them, and show names as text."""

import base64
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

from fercore import artifacts, paths
from fercore.workflow import pages

PIXEL = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
    b"\x00\x00\x00\nIDATx\x9cc\x00\x01\x00\x00\x05\x00\x01\r\n-\xb4\x00\x00\x00\x00IEND\xaeB`\x82"
).decode()
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</title></style><iframe src=//evil.example></iframe>",
    "<b onclick='alert(1)'>bold</b><form action=//evil.example><input name=q></form>",
    "<svg/onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a><a href=//evil.example>y</a>",
    "\"><object data='data:text/html,x'></object>",
    "<style>body{display:none}</style>",
)
OWN = re.findall(
    r"\w+",
    "html head meta title style body nav span a main p h1 h2 h3 dl dt dd div section article ul li "
    "img footer details summary pre code table tr th td thead tbody b strong",
)


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path)
    return start(tmp_path, "embedded synthetic faces")


def start(folder, origin, **data):
    data |= {"origin": origin, "fingerprint": "0123", "faces": {"Training": 3}}
    content = {"profile": "try", "description": "a test", "data": data}
    artifacts.write_json(folder / "try" / "run.json", content)
    return folder / "try"


def notebook(path, *outputs):
    """A notebook as papermill leaves it."""
    new = nbformat.v4
    cells = [
        new.new_markdown_cell("# Which way?\n\n**Question.** Up or down?"),
        new.new_code_cell("subset: int = 1  # faces", metadata={"tags": ["parameters"]}),
        new.new_code_cell("data = 'x'", metadata={"tags": ["injected-parameters"]}),
        new.new_code_cell("print('x')", execution_count=3, outputs=list(outputs)),
    ]
    times = {"duration": 2.5, "end_time": "2026-01-02T03:04:05+00:00"}
    nbformat.write(new.new_notebook(cells=cells, metadata={"papermill": times}), path)
    return path


def shown(**data):
    return nbformat.v4.new_output(
        "display_data", data={kind.replace("__", "/"): text for kind, text in data.items()}
    )


def printed(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


@pytest.fixture
def page(run_folder, tmp_path):
    outputs = (
        printed(f"{paths.ROOT}/data/a.csv {Path.home()}/b.csv done\n"),
        printed("a warning\n", name="stderr"),
        shown(text__html=f"<b>{paths.ROOT}/y.csv</b>", text__plain="y"),
        shown(image__png=PIXEL, text__plain="<Figure>"),
        shown(**{"application/vnd.jupyter.widget-view+json": {}, "text__plain": "bar"}),
    )
    made = notebook(tmp_path / "a.ipynb", *outputs)
    return pages.export("try", made, run_folder / "reports" / "a.html").read_text()


class Parsed(HTMLParser):
    """Tags, handlers, and everything that a page loads or points to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.loaded, self.linked = set(), set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        for name, value in attributes:
            self.attributes.add(name)
            if name in ("src", "data") or (tag == "link" and name == "href"):
                self.loaded.append(value)
            elif name == "href":
                self.linked.append(value)


def test_paths_are_shown_from_the_project_or_from_home(page):
    assert pages.machine_paths(page) == [] and str(paths.ROOT) not in page
    assert "data/a.csv ~/b.csv done" in page and "<b>y.csv</b>" in page


def test_a_page_loads_nothing_and_links_back(page):
    parsed = Parsed(page)
    assert [value for value in parsed.loaded if not value.startswith("data:")] == []
    assert "index.html" in parsed.linked
    assert "script" not in parsed.tags and "@import" not in page


def test_a_page_has_title_banner_figure_and_provenance(page):
    assert "<title>Which way?</title>" in page
    assert "say nothing about FER2013" in page
    assert 'alt="Figure: Which way?"' in page and "data:image/png;base64," in page
    assert "2026-01-02 03:04 UTC, in 2 s" in page


def test_pages_that_show_other_faces_than_fer2013s_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path)
    folder = start(tmp_path, "FER2013, labels", pictures="embedded synthetic faces")
    for name, told in (("01_eda", True), ("10_cnn", True), ("30_accuracy_tables", False)):
        made = pages.export("try", notebook(folder / f"{name}.ipynb"), folder / f"{name}.html")
        assert ("Faces: embedded synthetic faces." in made.read_text()) is told


def test_warnings_and_progress_bars_stay_out(page):
    assert "a warning" not in page and "widget" not in page


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_outside_are_text_on_every_page(name, tmp_path, monkeypatch):
    """A folder or class of this name, wherever a notebook or the index shows it."""
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path)
    folder = start(tmp_path, f"pictures in {name}")
    outputs = (
        printed(name),
        shown(text__html=f"<table class='dataframe'><tr><td>{name}</td></tr></table>"),
        shown(text__markdown=f"The largest class is **{name}**."),
        shown(text__plain=name),
        shown(application__javascript=f"alert('{name}')"),
    )
    artifacts.write_atomically(folder / "tables" / "system_E.html", f"<table>{name}</table>")
    made = notebook(tmp_path / "a.ipynb", *outputs)
    pages.export("try", made, folder / "reports" / "a.html")
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "try.yaml").write_text("description: a test")
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "none")
    pages.index("try")
    for page in (folder / "reports").glob("*.html"):
        parsed = Parsed(page.read_text())
        assert parsed.tags <= set(OWN), parsed.tags - set(OWN)
        assert not [one for one in parsed.attributes if one.startswith("on")]
        assert all(value.startswith("data:image/") for value in parsed.loaded)
        assert not [link for link in parsed.linked if "evil" in link or ":" in link]
        assert page.read_text().count("<style") == 1


@pytest.mark.parametrize("place", ["and/or/data", "</root>", f"{Path.home()}-elsewhere", "1/2"])
def test_other_slashes_are_no_paths_of_the_machine(place):
    assert pages.machine_paths(place) == []


def test_a_page_with_a_path_is_not_written(run_folder):
    with pytest.raises(pages.ReportError, match=r"a\.html: holds paths of this machine: "):
        pages._write_page(run_folder / "a.html", f"<p>{paths.ROOT}{os.sep}x</p>")
    assert not (run_folder / "a.html").exists()


def test_a_report_needs_a_run(run_folder, tmp_path):
    missing = r"run\.json: missing; start the run by \./run_all\.sh --profile no"
    with pytest.raises(pages.ReportError, match=missing):
        pages.export("no", notebook(tmp_path / "a.ipynb"), tmp_path / "a.html")


def test_the_index_names_data_reports_and_what_failed(run_folder, tmp_path, monkeypatch):
    text = "# Looking\n\n**Question.** At *what*?\n\nMore."
    source = {"cells": [{"cell_type": "markdown", "metadata": {}, "source": [text]}]}
    for name in ("notebooks", "params/profiles"):
        (tmp_path / name).mkdir(parents=True)
        monkeypatch.setattr(paths, name.split("/")[0].upper(), tmp_path / name.split("/")[0])
    for name in ("01_look", "02_fail"):
        (tmp_path / f"notebooks/{name}.ipynb").write_text(json.dumps(source))
    (tmp_path / "params/profiles/try.yaml").write_text("description: a test")
    thumbnail = run_folder / "figures" / "01_look.closely" / "thumbnail.webp"
    artifacts.write_atomically(thumbnail, base64.b64decode(PIXEL))
    for place, content in {
        "reports/01_look.html": "x",
        "tables/networks.official.html": "<table><tr><td>65.1</td></tr></table>",
        "tables/outcome.html": "<table><tr><td>foremost</td></tr></table>",
        "figures/30_accuracy_tables/outcome.svg": "<svg/>",
        "tables/system_own.html": "<table><tr><td>of own</td></tr></table>",
        "tables/system_E.html": "<table><tr><td>of E</td></tr></table>",
    }.items():
        artifacts.write_atomically(run_folder / place, content)
    text = pages.index("try").read_text()
    assert [link for link in Parsed(text).linked if link != "01_look.html"] == []
    for words in (
        "Looking",
        "At what?",
        "65.1",
        "one that failed: 02_fail",
        "embedded synthetic faces",
        "3 Training",
    ):
        assert words in text
    drawn = f"svg+xml;base64,{base64.b64encode(b'<svg/>').decode()}"
    systems = ("<h3>System E</h3>", "of E", "<h3>Own networks</h3>", "of own")
    order = ("<h3>At a glance</h3>", drawn, "foremost", *systems)
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "More." not in text and f"base64,{PIXEL}" in text
    assert "The repository holds this page alone" not in text
