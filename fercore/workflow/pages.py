"""Executed notebooks as web pages that stand alone, and the page from which a reader starts.

What a page shows of data, names of folders and classes say, is escaped: a name is never a tag.
"""

import base64
import json
import re
from pathlib import Path

import bleach
import jinja2
import nbformat
from markupsafe import Markup
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from fercore import artifacts, paths
from fercore.config import parameters, reading
from fercore.evaluation import scoring
from fercore.workflow import plan

HERE = Path(__file__).parent
TEMPLATES = jinja2.FileSystemLoader(HERE)
SHOWN = ("text/plain", "text/html", "text/markdown", "image/png", "image/jpeg", "image/svg+xml")
TAGS = re.findall(
    r"\w+",
    "a b blockquote br caption code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i li ol p pre "
    "s small span strong sub summary sup table tbody td tfoot th thead tr u ul wbr",
)


class ReportError(ValueError):
    """A report that cannot be made, or that would tell where it was made."""


def export(profile: str, executed: Path, target: Path) -> Path:
    """Write an executed notebook as one HTML file. Raises `ReportError`."""
    notebook = nbformat.read(executed, as_version=4)
    title = first_heading(notebook.cells) or executed.stem
    for cell in notebook.cells:
        if cell.cell_type == "code":
            _tidy(cell, title)
    run = _run(profile)
    page = {
        "title": title,
        "subtitle": executed.stem,
        "css": _css(code=True),
        "banner": _banner(run, executed.stem),
        "provenance": _provenance(run, notebook.metadata.get("papermill", {})),
        "label": _label,
    }
    exporter = HTMLExporter(
        template_name="basic",
        template_file="page.html",
        extra_loaders=[TEMPLATES],
        filters={"clean": clean},
    )
    body, _ = exporter.from_notebook_node(notebook, resources={"page": page})
    return _write_page(target, body)


def index(profile: str) -> Path:
    """Write reports/index.html of a run: data, tables, a card a notebook, provenance. Raises
    `ReportError`."""
    folder, run = paths.outputs(profile), _run(profile)
    jobs = plan.jobs(parameters.profile(profile), run.get("left_out", ()))
    made = [job for job in jobs if (folder / "reports" / f"{job.name}.html").exists()]
    template = jinja2.Environment(loader=TEMPLATES, autoescape=True).get_template("index.html")
    body = template.render(
        profile=profile,
        description=run["description"][:1].upper() + run["description"][1:],
        css=Markup(_css(code=False)),
        banner=_banner(run),
        facts=_facts(run, folder),
        failed=[job.name for job in jobs if job not in made],
        fer2013=_is_fer2013(run),
        outcome=_outcome(folder),
        tables=_tables(folder),
        origins=_table(folder / "tables" / "origins.html"),
        cards=[_card(folder, name, made) for name in dict.fromkeys(job.notebook for job in made)],
        provenance=_provenance(run, {}) | _machines(folder),
    )
    return _write_page(folder / "reports" / "index.html", body)


def clean(text: str) -> str:
    """HTML of an output with nothing but text, tables and links within the series; any other tag is
    escaped. A table's own style sheet goes."""
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    return bleach.clean(text, tags=TAGS, attributes=_is_harmless, protocols=[])


def machine_paths(text: str) -> list[str]:
    """The folders of this project and of its user, where they occur in a text."""
    places = (str(paths.ROOT), str(Path.home()))
    return [place for place in places if len(place) > 4 and re.search(_bounded(place), text)]


def first_heading(cells: list) -> str | None:
    """The text of the first heading of a notebook."""
    for cell in cells:
        if cell["cell_type"] == "markdown":
            match = re.search(r"^# +(.+)$", "".join(cell["source"]), re.MULTILINE)
            if match:
                return match[1].strip()
    return None


def question(notebook: str) -> str:
    """What a notebook asks: the paragraph marked as its question, else the first one after its
    title."""
    first = "".join(reading.cells(notebook)[0]["source"])
    blocks = [block.strip() for block in first.split("\n\n") if not block.lstrip().startswith("#")]
    marked = [block for block in blocks if re.match(r"\W*question", block, re.IGNORECASE)]
    text = (marked or blocks or [""])[0]
    text = re.sub(r"^\W*question\W*", "", text, flags=re.IGNORECASE)
    return re.sub(r"[*`]|\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("\n", " ").strip()


def _is_harmless(tag: str, name: str, value: str) -> bool:
    if tag == "a":
        return name == "href" and not re.match(r"\s*(//|\\|[\w+.-]+:)", value)
    return name in ("class", "title", "colspan", "rowspan", "scope")


def _tidy(cell: nbformat.NotebookNode, title: str) -> None:
    """Outputs without warnings of libraries, progress bars, programs, and paths of the machine."""
    cell.source = _relative(cell.source)
    cell.outputs = [output for output in cell.outputs if not _is_noise(output)]
    for output in cell.outputs:
        if "text" in output:
            output.text = _relative(output.text)
        for kind in list(output.get("data", {})):
            if kind not in SHOWN:
                del output.data[kind]
            elif kind.startswith("text/"):
                output.data[kind] = _relative(output.data[kind])
            else:
                output.metadata.setdefault(kind, {}).setdefault("alt", f"Figure: {title}")


def _is_noise(output: dict) -> bool:
    kinds, widget = output.get("data"), "application/vnd.jupyter.widget-view+json"
    unseen = kinds is not None and (widget in kinds or not set(SHOWN) & set(kinds))
    return unseen or output.get("name") == "stderr"


def _relative(text: str) -> str:
    """`text` with paths as seen from the project, or from the user's home."""
    text = re.sub(_bounded(str(paths.ROOT)) + "/?", "", text)
    return re.sub(_bounded(str(Path.home())), "~", text)


def _bounded(place: str) -> str:
    return rf"(?<![\w.<]){re.escape(place)}(?![\w-])"


def _label(cell: nbformat.NotebookNode) -> str:
    """What stands on a folded code cell: how much code, and how it begins."""
    lines = [line for line in cell.source.strip().split("\n") if line.strip()]
    if "injected-parameters" in cell.metadata.get("tags", []):
        return "Parameters of this run"
    first = next((line for line in lines if not line.startswith("#")), "")
    return f"{len(lines)} lines · {first}" if len(lines) != 1 else first


def _css(*, code: bool) -> str:
    own = (HERE / "pages.css").read_text()
    return own + (HtmlFormatter(style="friendly").get_style_defs(".highlight") if code else "")


def _run(profile: str) -> dict:
    path = paths.outputs(profile) / "run.json"
    if not path.exists():
        start = f"start the run by ./run_all.sh --profile {profile}"
        raise ReportError(f"outputs/{profile}/run.json: missing; {start}")
    return json.loads(path.read_text())


def _is_fer2013(run: dict) -> bool:
    return run["data"]["origin"].startswith("FER2013")


def _banner(run: dict, notebook: str = "") -> str:
    data, pictures = run["data"]["origin"], run["data"].get("pictures")
    if not _is_fer2013(run):
        return f"Data: {data}. The numbers on this page say nothing about FER2013."
    if pictures and notebook and not plan.REPORTING <= notebook < plan.RECOGNISING:
        return f"Faces: {pictures}. What is computed from them here says nothing about FER2013."
    return ""


def _facts(run: dict, folder: Path) -> dict[str, str]:
    faces = ", ".join(f"{number:,} {usage}" for usage, number in run["data"]["faces"].items())
    origin = run["data"]["origin"]
    if origin.endswith("faces differ"):
        origin += " from the original in their pixels"
    facts = {"Data": origin, "Faces": faces}
    if trained := plan.predicted(folder):
        networks, splits = {key[1] for key in trained}, {key[0] for key in trained}
        facts["Trained"] = f"{len(networks)} networks on {', '.join(sorted(splits))}"
    if left_out := run.get("left_out"):
        facts["Left out"] = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
    return facts


def _provenance(run: dict, meta: dict) -> dict[str, str]:
    """What a reader needs to make the page again. The published pages say no time: the same run
    gives the same page."""
    state = artifacts.provenance()
    data = f"{run['data']['origin']}, fingerprint {run['data']['fingerprint']}"
    found = {"Data": data, "Profile": run["profile"]}
    if meta.get("duration"):
        when = meta["end_time"][:16].replace("T", " ")
        found["Executed"] = f"{when} UTC, in {meta['duration']:.0f} s"
    if meta or run["profile"] != "published":
        changed = ", with changes not committed" if state["git_dirty"] else ""
        found["Code"] = f"commit {(state['git_commit'] or 'unknown')[:12]}{changed}"
        found["Machine"] = f"{state['processor']}, {state['cores']} cores"
    versions = {name: version for name, version in state["versions"].items() if version}
    found["Versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    return found


def _machines(folder: Path) -> dict[str, str]:
    """Hardware, code, epochs and hours of the trainings of a run, from their records."""
    records = [artifacts.read_record(folder, *key) for key in plan.predicted(folder)]
    if not records:
        return {}
    commits = {record["git_commit"][:12] for record in records if record.get("git_commit")}
    epochs = {f"{r['network']} {r['epochs']}" for r in records if r.get("epochs")}
    seconds = sum(record.get("train_seconds") or 0 for record in records)
    return {
        "Trained on": "; ".join(sorted(set(map(scoring.hardware, records)))),
        "Training time": artifacts.duration(seconds),
        "Epochs": ", ".join(sorted(epochs)),
        "Trained by commit": ", ".join(sorted(commits)),
    }


def _tables(folder: Path) -> dict[str, list[Markup]]:
    """What 30_accuracy_tables saved, by heading: system A's by split, then the other systems."""
    found = {}
    for path in sorted((folder / "tables").glob("networks.*.html")):
        split = path.name.removeprefix("networks.").removesuffix(".html")
        both = [_table(path), _table(path.with_name(f"aggregates.{split}.html"))]
        found[f"System A, {split}"] = [table for table in both if table]
    others = (folder / "tables").glob("system_*.html")
    for path in sorted(others, key=lambda path: (path.stem == "system_own", path.stem)):
        system = path.stem.removeprefix("system_")
        found["Own networks" if system == "own" else f"System {system}"] = [_table(path)]
    return found


def _outcome(folder: Path) -> dict | None:
    """The table of verdicts and its figure, if both are there."""
    table = folder / "tables" / "outcome.html"
    figure = folder / "figures" / "30_accuracy_tables" / "outcome.svg"
    if not (table.exists() and figure.exists()):
        return None
    return {"table": _table(table), "figure": base64.b64encode(figure.read_bytes()).decode()}


def _table(path: Path) -> Markup:
    return Markup(clean(path.read_text())) if path.exists() else Markup("")


def _card(folder: Path, notebook: str, made: list) -> dict:
    """Title, question, links and thumbnail of one notebook; it may have run many times."""
    jobs = [job for job in made if job.notebook == notebook]
    official_first = sorted(jobs, key=lambda job: job.parameters.get("split") != "official")
    pictures = [
        path
        for job in official_first
        for name in (job.name, f"{job.name}.*")
        for path in sorted((folder / "figures").glob(f"{name}/thumbnail.webp"))
    ]
    data = base64.b64encode(pictures[0].read_bytes()).decode() if pictures else ""
    title = first_heading(reading.cells(notebook)) or notebook
    return {
        "name": notebook,
        "title": re.sub(r"^\d+ · ", "", title),
        "question": question(notebook),
        "thumbnail": data and f"data:image/webp;base64,{data}",
        "links": [{"href": f"{job.name}.html", "text": _short(job)} for job in jobs],
    }


def _short(job: plan.Job) -> str:
    own = job.name.removeprefix(job.notebook).strip(".").removesuffix(".seed0")
    return own.replace(".", " · ") or "report"


def _write_page(target: Path, body: str) -> Path:
    if found := machine_paths(body):
        raise ReportError(f"{target.name}: holds paths of this machine: {', '.join(found)}")
    return artifacts.write_atomically(target, body)
