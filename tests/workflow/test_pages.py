"""Reports stand alone and say nothing of the machine that made them."""

import base64
import json
from html.parser import HTMLParser

import nbformat
import pytest

from fercore import artifacts, paths
from fercore.workflow import pages

PIXEL = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
    b"\x00\x00\x00\nIDATx\x9cc\x00\x01\x00\x00\x05\x00\x01\r\n-\xb4\x00\x00\x00\x00IEND\xaeB`\x82"
).decode()


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path)
    data = {"origin": "embedded synthetic faces", "fingerprint": "0123", "faces": {"Training": 3}}
    artifacts.write_json(
        tmp_path / "try" / "run.json", {"profile": "try", "description": "a test", "data": data}
    )
    return tmp_path / "try"


def executed(path):
    """A notebook as papermill leaves it: paths of the machine in outputs, source and metadata."""
    new = nbformat.v4
    cells = [
        new.new_markdown_cell("# Which way?\n\n**Question.** Up or down?"),
        new.new_code_cell("subset: int = 1  # faces", metadata={"tags": ["parameters"]}),
        new.new_code_cell(
            "data = '/home/someone/fer2013.csv'", metadata={"tags": ["injected-parameters"]}
        ),
        new.new_code_cell(
            "print('x')",
            execution_count=3,
            outputs=[
                new.new_output(
                    "stream", name="stdout", text=f"{paths.ROOT}/data/a.csv /tmp/b/c.npz done\n"
                ),
                new.new_output("stream", name="stderr", text="a warning\n"),
                new.new_output(
                    "execute_result",
                    execution_count=3,
                    data={"text/plain": "PosixPath('/Users/me/x.csv')"},
                ),
                new.new_output(
                    "display_data", data={"text/html": "<b>/mnt/disk/y.csv</b>", "text/plain": "y"}
                ),
                new.new_output("display_data", data={"image/png": PIXEL, "text/plain": "<Figure>"}),
                new.new_output(
                    "display_data",
                    data={"application/vnd.jupyter.widget-view+json": {}, "text/plain": "bar"},
                ),
            ],
        ),
    ]
    meta = {
        "papermill": {
            "input_path": "/opt/x.ipynb",
            "duration": 2.5,
            "end_time": "2026-01-02T03:04:05+00:00",
        }
    }
    nbformat.write(new.new_notebook(cells=cells, metadata=meta), path)
    return path


@pytest.fixture
def page(run_folder, tmp_path):
    return pages.export(
        "try", executed(tmp_path / "a.ipynb"), run_folder / "reports" / "a.html"
    ).read_text()


class References(HTMLParser):
    """Everything that a page loads or points to."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.linked = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "src" or (tag == "link" and name == "href"):
                self.loaded.append(value)
            elif name == "href":
                self.linked.append(value)


def test_no_path_of_a_machine_is_left(page):
    assert pages.machine_paths(page) == []
    for word in ("/home/someone", "/tmp/b", "/Users/me", "/mnt/disk", str(paths.ROOT)):
        assert word not in page
    assert "data/a.csv …/c.npz done" in page and "…/fer2013.csv" in page


def test_a_page_loads_nothing_and_links_back(page):
    references = References(page)
    assert [value for value in references.loaded if not value.startswith("data:")] == []
    assert "index.html" in references.linked
    assert "<script" not in page and "@import" not in page


def test_a_page_has_title_banner_figure_and_provenance(page):
    assert "<title>Which way?</title>" in page
    assert "say nothing about FER2013" in page
    assert 'alt="Figure: Which way?"' in page and "data:image/png;base64," in page
    assert "2026-01-02 03:04 UTC, in 2 s" in page


def test_warnings_and_progress_bars_stay_out(page):
    assert "a warning" not in page and "widget" not in page


@pytest.mark.parametrize(
    "text",
    [
        "/home/me/x",
        "see /workspace/y.py",
        "'/var/lib/z'",
        "file:///srv/a.txt",
        r"C:\Users\me\x.csv",
        "(/root/.venv/bin)",
    ],
)
def test_machine_paths_are_found(text):
    assert pages.machine_paths(text)
    assert not pages.machine_paths(pages.scrub(text))


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/home/data/x",
        "and/or/data",
        "outputs/quick/data/x",
        "a // b",
        "1/2",
        "</root>",
        "data:image/png;base64,AAAA/tmp/x/home/yAAAA==",
    ],
)
def test_other_slashes_are_no_paths(text):
    assert pages.machine_paths(text) == []


def test_a_page_with_a_path_is_not_written(run_folder):
    with pytest.raises(pages.ReportError, match=r"a\.html: holds paths of this machine: /home/me"):
        pages._write_page(run_folder / "a.html", "<p>/home/me/x</p>")
    assert not (run_folder / "a.html").exists()


def test_a_report_needs_a_run(run_folder, tmp_path):
    with pytest.raises(
        pages.ReportError, match=r"run\.json: missing; start the run by \./run_all\.sh --profile no"
    ):
        pages.export("no", executed(tmp_path / "a.ipynb"), tmp_path / "a.html")


def test_the_index_names_data_reports_and_what_failed(run_folder, tmp_path, monkeypatch):
    text = "# Looking\n\n**Question.** At *what*?\n\nMore."
    source = {"cells": [{"cell_type": "markdown", "metadata": {}, "source": [text]}]}
    for name in ("notebooks", "params/profiles"):
        (tmp_path / name).mkdir(parents=True)
        monkeypatch.setattr(paths, name.split("/")[0].upper(), tmp_path / name.split("/")[0])
    for name in ("01_look", "02_fail"):
        (tmp_path / f"notebooks/{name}.ipynb").write_text(json.dumps(source))
    (tmp_path / "params/profiles/try.yaml").write_text("description: a test")
    artifacts.write_atomically(run_folder / "reports" / "01_look.html", "x")
    artifacts.write_atomically(
        run_folder / "figures" / "01_look.closely" / "thumbnail.webp", base64.b64decode(PIXEL)
    )
    artifacts.write_atomically(
        run_folder / "tables" / "networks.official.html", "<table><tr><td>65.1</td></tr></table>"
    )
    artifacts.write_atomically(
        run_folder / "tables" / "outcome.html", "<table><tr><td>foremost</td></tr></table>"
    )
    artifacts.write_atomically(
        run_folder / "figures" / "30_accuracy_tables" / "outcome.svg", "<svg/>"
    )
    for system in ("own", "E"):
        artifacts.write_atomically(
            run_folder / "tables" / f"system_{system}.html", f"<table><td>of {system}</td></table>"
        )
    text = pages.index("try").read_text()
    assert [link for link in References(text).linked if link != "01_look.html"] == []
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
    order = (
        "<h3>At a glance</h3>",
        drawn,
        "foremost",
        "<h3>System E</h3>",
        "of E",
        "<h3>Own networks</h3>",
        "of own",
    )
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert (
        "More." not in text
        and f"base64,{PIXEL}" in text
        and "The repository holds this page alone" not in text
    )
