"""Pages stand alone, lead to one another, are small, say nothing of the machine that made them, and
show names as text."""

import base64
import io
import json
import os
import re
from pathlib import Path
from urllib.parse import unquote

import nbformat
import numpy as np
import PIL.Image
import pytest
from made_up_run import FIRST, Parsed, start

from fercore import artifacts, paths
from fercore.workflow import index, pages

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
    "img footer details summary pre code table tr th td thead tbody b strong small i em",
)


def notebook(path, *outputs, text="# Which way?\n\n**Question.** Up or down?"):
    """A notebook as papermill leaves it."""
    new = nbformat.v4
    cells = [
        new.new_markdown_cell(text),
        new.new_code_cell("subset: int = 1  # faces", metadata={"tags": ["parameters"]}),
        new.new_code_cell("data = 'x'", metadata={"tags": ["injected-parameters"]}),
        new.new_code_cell("print('x')", execution_count=3, outputs=list(outputs)),
    ]
    path.parent.mkdir(exist_ok=True)
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


def test_paths_are_shown_from_the_project_or_from_home(page):
    assert pages.machine_paths(page) == [] and str(paths.ROOT) not in page
    assert "data/a.csv ~/b.csv done" in page and "<b>y.csv</b>" in page


def test_a_notebook_that_takes_other_data_names_them_at_the_foot(run_folder, tmp_path):
    own = shown(text__markdown="Drawn faces.")
    own["metadata"]["data"] = "420 drawn faces, not FER2013"
    made = notebook(tmp_path / "a.ipynb", own)
    page = pages.export("try", made, run_folder / "reports" / "a.html").read_text()
    assert "420 drawn faces, not FER2013" in page and "fingerprint" not in page


def test_a_page_loads_nothing_and_links_back(page):
    parsed = Parsed(page)
    assert [value for value in parsed.loaded if not value.startswith("data:")] == []
    assert "index.html" in parsed.linked
    assert "script" not in parsed.tags and "@import" not in page


def test_a_page_has_title_banner_figure_and_provenance(page):
    assert "<title>Which way?</title>" in page
    assert "say nothing about FER2013" in page
    assert 'alt="Figure: Which way?"' in page and 'src="data:image/' in page
    assert "2026-01-02 03:04 UTC, in 2 s" in page


def test_pages_that_show_other_faces_than_fer2013s_say_so(run_folder, tmp_path):
    start(tmp_path / "outputs", "FER2013, labels", pictures="embedded synthetic faces")
    for name, told in (("01_eda", True), ("10_cnn", True), ("30_accuracy_tables", False)):
        made = pages.export("try", notebook(tmp_path / f"{name}.ipynb"), tmp_path / f"{name}.html")
        assert ("Faces: embedded synthetic faces." in made.read_text()) is told


def test_a_notebook_executed_again_to_the_same_gives_the_same_page(run_folder, tmp_path):
    executions = [notebook(tmp_path / f"{k}" / "a.ipynb") for k in range(2)]
    first, second = (each.read_text() for each in executions)
    assert first != second  # as every cell has a random id
    made = [pages.export("try", each, each.with_suffix(".html")) for each in executions]
    assert made[0].read_text() == made[1].read_text()


def test_warnings_and_progress_bars_stay_out(page):
    assert "a warning" not in page and "widget" not in page


def test_links_lead_to_pages_of_the_run_and_to_files_that_are_there(run_folder, tmp_path):
    made = notebook(tmp_path / "01_look.ipynb", text=FIRST)
    page = pages.export("try", made, run_folder / "reports" / "01_look.html").read_text()
    links = Parsed(page).linked
    paper = "https://arxiv.org/abs/1608.02833"
    first = ["index.html", "02_next.html", "../../../docs/methods.md#seeds", paper]
    assert links == [*first, "02_next.html"]  # the last one in the foot
    assert "rendered page" not in page and "seconds" in page
    assert "nothing, another" in re.sub(r"\s+", " ", page)
    made = notebook(tmp_path / "02_next.ipynb", shown(text__html="<a href='01_look.ipynb'>x</a>"))
    page = pages.export("try", made, run_folder / "reports" / "02_next.html").read_text()
    assert Parsed(page).linked == ["index.html", "01_look.html", "01_look.html"]
    assert 'class="before"' in page and 'class="after"' not in page


def test_figures_take_the_form_of_fewest_bytes(run_folder, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    packed = io.BytesIO()
    PIL.Image.fromarray(noise).save(packed, "PNG")
    drawn = "<?xml version='1.0'?>\n<svg a=\"'x'\">\n<text>5 % \"#\"</text></svg>"
    outputs = (
        shown(image__png=base64.b64encode(packed.getvalue()).decode()),
        shown(**{"image/svg+xml": drawn}),
    )
    made = notebook(tmp_path / "a.ipynb", *outputs)
    page = pages.export("try", made, run_folder / "reports" / "a.html").read_text()
    picture, chart = (one for one in Parsed(page).loaded)
    kind, data = picture.split(";base64,")
    assert kind == "data:image/avif" and len(data) < packed.tell() / 2
    assert PIL.Image.open(io.BytesIO(base64.b64decode(data))).size == (120, 90)
    drawn = "<svg a='&#39;x&#39;'> <text>5 % \"#\"</text></svg>"
    assert unquote(chart.removeprefix("data:image/svg+xml,")) == drawn and "<" not in chart


def test_a_committed_page_that_is_too_large_is_not_written(run_folder, tmp_path, monkeypatch):
    run_folder.rename(run_folder.with_name("published"))
    (tmp_path / "params/profiles/published.yaml").write_text("description: a test")
    made = notebook(tmp_path / "a.ipynb", printed("x" * (pages.LIMIT + 5000)))
    target = run_folder.with_name("published") / "reports" / "a.html"
    run = json.loads((run_folder.with_name("published") / "run.json").read_text())
    artifacts.write_json(target.parents[1] / "run.json", run | {"profile": "published"})
    told = r"a: its page takes 3\d\d kB, \d+\.\d kB over the limit of a page"
    monkeypatch.chdir(target.parents[1])  # where Snakemake runs its jobs
    for place in (target, target.relative_to(target.parents[1])):
        with pytest.raises(pages.ReportError, match=told):
            pages.export("published", made, place)
    assert not target.exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_outside_are_text_on_every_page(name, run_folder, tmp_path):
    """A folder or class of this name, wherever a notebook or the index shows it."""
    start(tmp_path / "outputs", f"pictures in {name}")
    outputs = (
        printed(name),
        shown(text__html=f"<table class='dataframe'><tr><td>{name}</td></tr></table>"),
        shown(text__markdown=f"The largest class is **{name}**."),
        shown(text__plain=name),
        shown(application__javascript=f"alert('{name}')"),
    )
    made = notebook(tmp_path / "01_look.ipynb", *outputs)
    pages.export("try", made, run_folder / "reports" / "01_look.html")
    index.index("try")
    for page in (run_folder / "reports").glob("*.html"):
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
        pages.write(run_folder / "a.html", f"<p>{paths.ROOT}{os.sep}x</p>")
    assert not (run_folder / "a.html").exists()


def test_a_report_needs_a_run(run_folder, tmp_path):
    missing = r"run\.json: missing; start the run by \./run_all\.sh --profile no"
    with pytest.raises(pages.ReportError, match=missing):
        pages.export("no", notebook(tmp_path / "a.ipynb"), tmp_path / "a.html")
