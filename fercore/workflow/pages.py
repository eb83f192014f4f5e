"""Executed notebooks as web pages that stand alone, and the page from which a reader starts."""

import base64
import html
import json
import re
import sys
import tempfile
from pathlib import Path

import jinja2
import nbformat
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.evaluation import scoring
from fercore.workflow import plan

HERE = Path(__file__).parent
TEMPLATES = jinja2.FileSystemLoader(HERE)
ROOTS = "home|root|Users|private|tmp|var|work|mnt|media|srv|data|scratch|usr|opt|etc|run|nix|build|workspace|content"
PLACE = re.compile(
    rf"(?<![\w./:-])(?:file://)?/(?:{ROOTS})/[^\s'\"<>(),;\]\\]+|\b[A-Z]:\\+(?:[^\s'\"<>\\]+\\+)+[^\s'\"<>\\]+"
)
PICTURE = re.compile(r"data:image/[\w+.-]+;base64,[A-Za-z0-9+/=\s]+")


class ReportError(ValueError):
    """A report that cannot be made, or that would tell where it was made."""


def export(profile: str, executed: Path, target: Path) -> Path:
    """Write an executed notebook as one HTML file without any path of this machine. Raises
    `ReportError`."""
    notebook = nbformat.read(executed, as_version=4)
    meta = notebook.metadata.get("papermill", {})
    title = first_heading(notebook.cells) or executed.stem
    for cell in notebook.cells:
        _tidy(cell, title)
    page = {
        "title": title,
        "subtitle": executed.stem,
        "css": _css(code=True),
        "banner": _banner(_run(profile)),
        "provenance": _provenance(_run(profile), meta),
        "label": _label,
    }
    exporter = HTMLExporter(
        template_name="basic", template_file="page.html", extra_loaders=[TEMPLATES]
    )
    body, _ = exporter.from_notebook_node(notebook, resources={"page": page})
    return _write_page(target, body)


def index(profile: str) -> Path:
    """Write reports/index.html of a run: data, tables, a card a notebook, provenance. Raises
    `ReportError`."""
    folder, run = paths.outputs(profile), _run(profile)
    jobs = plan.jobs(parameters.profile(profile), run.get("left_out", ()))
    made = [job for job in jobs if (folder / "reports" / f"{job.name}.html").exists()]
    body = (
        jinja2.Environment(loader=TEMPLATES, autoescape=False)
        .get_template("index.html")
        .render(
            profile=profile,
            description=html.escape(run["description"][:1].upper() + run["description"][1:]),
            css=_css(code=False),
            banner=_banner(run),
            facts=_facts(run, folder),
            failed=[job.name for job in jobs if job not in made],
            tables=_tables(folder, fer2013=_is_fer2013(run)),
            origins=_origins(folder),
            cards=[
                _card(folder, name, made) for name in dict.fromkeys(job.notebook for job in made)
            ],
            provenance=_provenance(run, {}) | _machines(folder),
        )
    )
    return _write_page(folder / "reports" / "index.html", body)


def machine_paths(text: str) -> list[str]:
    """Absolute paths of this or any machine in a page; pictures are not searched."""
    text = PICTURE.sub("", text)
    found = [match[0] for match in PLACE.finditer(text)]
    return found + [
        place
        for place in _own_places()
        if re.search(rf"(?<![\w.<]){re.escape(place)}(?![\w-])", text)
    ]


def scrub(text: str) -> str:
    """Paths of the project become relative; of any other absolute path the last part stays."""
    text = text.replace(f"{paths.ROOT}/", "").replace(str(paths.ROOT), ".")
    return PLACE.sub(lambda match: "…/" + re.split(r"[\\/]", match[0].rstrip("\\/"))[-1], text)


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
    first = "".join(parameters.cells(notebook)[0]["source"])
    blocks = [block.strip() for block in first.split("\n\n") if not block.lstrip().startswith("#")]
    marked = [block for block in blocks if re.match(r"\W*question", block, re.IGNORECASE)]
    text = (marked or blocks or [""])[0]
    text = re.sub(r"^\W*question\W*", "", text, flags=re.IGNORECASE)
    return re.sub(r"[*`]|\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("\n", " ").strip()


def _tidy(cell: dict, title: str) -> None:
    """Outputs without warnings of libraries, without progress bars, without paths."""
    cell.source = scrub(cell.source)
    if cell.cell_type != "code":
        return
    cell.outputs = [output for output in cell.outputs if not _is_noise(output)]
    for output in cell.outputs:
        if output.output_type == "stream":
            output.text = scrub(output.text)
        for kind, content in output.get("data", {}).items():
            if isinstance(content, str) and not kind.startswith("image/"):
                output.data[kind] = scrub(content)
            elif kind in ("image/png", "image/svg+xml"):
                output.metadata.setdefault(kind, {}).setdefault("alt", f"Figure: {title}")


def _is_noise(output: dict) -> bool:
    kinds = output.get("data", {})
    return output.get("name") == "stderr" or "application/vnd.jupyter.widget-view+json" in kinds


def _label(cell: dict) -> str:
    """What stands on a folded code cell: how much code, and how it begins."""
    lines = [line for line in cell.source.strip().split("\n") if line.strip()]
    if "injected-parameters" in cell.metadata.get("tags", []):
        return "Parameters of this run"
    first = next((line for line in lines if not line.startswith("#")), "")
    return f"{len(lines)} lines · {html.escape(first)}" if len(lines) != 1 else html.escape(first)


def _css(*, code: bool) -> str:
    own = (HERE / "pages.css").read_text()
    return own + (HtmlFormatter(style="friendly").get_style_defs(".highlight") if code else "")


def _run(profile: str) -> dict:
    path = paths.outputs(profile) / "run.json"
    if not path.exists():
        raise ReportError(
            f"outputs/{profile}/run.json: missing; start the run by ./run_all.sh --profile {profile}"
        )
    return json.loads(path.read_text())


def _is_fer2013(run: dict) -> bool:
    return run["data"]["origin"].startswith("FER2013")


def _banner(run: dict) -> str:
    if _is_fer2013(run):
        return ""
    return f"Data: {html.escape(run['data']['origin'])}. The numbers on this page say nothing about FER2013."


def _facts(run: dict, folder: Path) -> dict[str, str]:
    faces = ", ".join(f"{number:,} {usage}" for usage, number in run["data"]["faces"].items())
    origin = run["data"]["origin"]
    if origin.endswith("faces differ"):
        origin += " from the original in their pixels"
    facts = {"Data": origin, "Faces": faces}
    if trained := _trained(folder):
        networks, protocols = {key[1] for key in trained}, {key[0] for key in trained}
        facts["Trained"] = f"{len(networks)} networks on {', '.join(sorted(protocols))}"
    if left_out := run.get("left_out"):
        facts["Left out"] = html.escape(
            "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        )
    return facts


def _provenance(run: dict, meta: dict) -> dict[str, str]:
    """What a reader needs to make the page again. The published pages say no time: the same run
    gives the same page."""
    state = artifacts.provenance()
    data = f"{run['data']['origin']}, fingerprint {run['data']['fingerprint']}"
    found = {"Data": data, "Profile": run["profile"]}
    if meta.get("duration"):
        found["Executed"] = (
            f"{meta['end_time'][:16].replace('T', ' ')} UTC, in {meta['duration']:.0f} s"
        )
    if meta or run["profile"] != "published":
        changed = ", with changes not committed" if state["git_dirty"] else ""
        found["Code"] = f"commit {(state['git_commit'] or 'unknown')[:12]}{changed}"
        found["Machine"] = f"{state['processor']}, {state['cores']} cores"
    found["Versions"] = ", ".join(
        f"{name} {version}" for name, version in state["versions"].items() if version
    )
    return found


def _machines(folder: Path) -> dict[str, str]:
    """Hardware, code, epochs and hours of the trainings of a run, from their records."""
    records = [artifacts.read_record(folder, *key) for key in _trained(folder)]
    if not records:
        return {}
    commits = {record["git_commit"][:12] for record in records if record.get("git_commit")}
    epochs = {f"{r['network']} {r['epochs']}" for r in records if r.get("epochs")}
    seconds = sum(record.get("train_seconds") or 0 for record in records)
    return {
        "Trained on": "; ".join(sorted(set(map(scoring.hardware, records)))),
        "Training time": f"{seconds / 3600:.1f} h" if seconds > 3600 else f"{seconds / 60:.0f} min",
        "Epochs": ", ".join(sorted(epochs)),
        "Trained by commit": ", ".join(sorted(commits)),
    }


def _trained(folder: Path) -> list[tuple[str, str, int]]:
    """Predictions of single networks in a run's folder, aggregates left out."""
    known = parameters.network_names()
    return [key for key in artifacts.list_predictions(folder) if key[1] in known]


def _tables(folder: Path, *, fer2013: bool) -> str:
    """What 30_accuracy_tables saved, as HTML: the outcome at a glance, the accuracy tables, system
    A's by protocol."""
    found = sorted((folder / "tables").glob("networks.*.html"))
    others = sorted(
        (folder / "tables").glob("system_*.html"),
        key=lambda path: (path.stem == "system_own", path.stem),
    )
    published = "; differences to the published figures in points" if fer2013 else ""
    parts = (
        [
            f"<p>In %, with 95 % intervals over faces{published}. The report of <code>30_accuracy_tables</code> "
            "says what each column means.</p>"
        ]
        if found or others
        else []
    )
    parts += _outcome(folder)
    for path in found:
        protocol = path.name.removeprefix("networks.").removesuffix(".html")
        parts.append(f"<h3>System A, <code>{protocol}</code></h3>")
        aggregates = path.with_name(f"aggregates.{protocol}.html")
        parts += [_scrolled(table) for table in (path, aggregates) if table.exists()]
    for path in others:
        system = path.stem.removeprefix("system_")
        parts += [
            f"<h3>{'Own networks' if system == 'own' else f'System {system}'}</h3>",
            _scrolled(path),
        ]
    return "\n".join(parts)


def _outcome(folder: Path) -> list[str]:
    table, figure = (
        folder / "tables" / "outcome.html",
        folder / "figures" / "30_accuracy_tables" / "outcome.svg",
    )
    if not (table.exists() and figure.exists()):
        return []
    data = base64.b64encode(figure.read_bytes()).decode()
    text = (
        "Averaged over views of each face. Large points: of several recipes for a published figure the one that "
        "validation faces prefer. In the table each system's highest figures and the study's own networks."
    )
    picture = (
        f'<img class="outcome" src="data:image/svg+xml;base64,{data}" '
        'alt="Published accuracy across, accuracy here up, with intervals">'
    )
    return ["<h3>At a glance</h3>", f"<p>{text}</p>", picture, _scrolled(table)]


def _origins(folder: Path) -> str:
    """The table that 30_accuracy_tables saved; nothing without it."""
    path = folder / "tables" / "origins.html"
    return path.read_text() if path.exists() else ""


def _scrolled(table: Path) -> str:
    return f'<div class="scroll">{table.read_text()}</div>'


def _card(folder: Path, notebook: str, made: list) -> dict:
    """Title, question, links and thumbnail of one notebook; it may have run many times."""
    jobs = [job for job in made if job.notebook == notebook]
    official_first = sorted(jobs, key=lambda job: job.parameters.get("protocol") != "official")
    pictures = [
        path
        for job in official_first
        for name in (job.name, f"{job.name}.*")
        for path in sorted((folder / "figures").glob(f"{name}/thumbnail.webp"))
    ]
    picture = next(iter(pictures), None)
    data = base64.b64encode(picture.read_bytes()).decode() if picture else ""
    title = first_heading(parameters.cells(notebook)) or notebook
    return {
        "name": notebook,
        "title": html.escape(re.sub(r"^\d+ · ", "", title)),
        "question": html.escape(question(notebook)),
        "thumbnail": data and f"data:image/webp;base64,{data}",
        "links": [{"href": f"{job.name}.html", "text": _short(job)} for job in jobs],
    }


def _short(job: plan.Job) -> str:
    own = job.name.removeprefix(job.notebook).strip(".").removesuffix(".seed0")
    return own.replace(".", " · ") or "report"


def _own_places() -> list[str]:
    places = {str(paths.ROOT), str(Path.home()), sys.prefix, tempfile.gettempdir()}
    return sorted(place for place in places if len(place) > 4)


def _write_page(target: Path, body: str) -> Path:
    found = machine_paths(body)
    if found:
        raise ReportError(
            f"{target.name}: holds paths of this machine: {', '.join(sorted(set(found))[:3])}"
        )
    return artifacts.write_atomically(target, body)
