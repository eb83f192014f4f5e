"""Executed notebooks as web pages that stand alone, led to one another. What a page shows of data,
names of folders and classes say, is escaped: a name is never a tag."""

import base64
import io
import json
import os
import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

import bleach
import jinja2
import nbformat
import PIL.Image
from nbconvert import HTMLExporter

from fercore import artifacts, paths
from fercore.config import parameters, reading
from fercore.workflow import plan

HERE = Path(__file__).parent
TEMPLATES = jinja2.FileSystemLoader(HERE)
PUBLISHED = "published"  # the run whose pages are committed
LIMIT = 300_000  # bytes of such a page
SHOWN = ("text/plain", "text/html", "text/markdown", "image/png", "image/jpeg", "image/svg+xml")
TAGS = re.findall(
    r"\w+",
    "a b blockquote br caption code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i li ol p pre "
    "s small span strong sub summary sup table tbody td tfoot th thead tr u ul wbr",
)
PLAIN = " /:;=,.-_()'*"  # may stand in the address of a figure as they are
QUOTED = str.maketrans({"'": "&#39;", '"': "'"})  # a quotation mark would take three bytes there
REFERENCE = re.compile(r'(url\(#|href="#)([^")]+)')  # within a figure
UNCOLOURED = re.compile(r'<span class="(?:n|nn|o|p|w)">([^<]*)</span>')  # most of source code
SELF = re.compile(r"\[rendered\s+page\]\([^)]*\)(\s·\s)?")  # what a page need not say


class ReportError(ValueError):
    """A report that cannot be made, is too large, or would show where it was made."""


def export(profile: str, executed: Path, target: Path) -> Path:
    """Write an executed notebook as one HTML file. Raises `ReportError`."""
    notebook = nbformat.read(executed, as_version=4)
    run, meta = run_of(profile), notebook.metadata.get("papermill", {})
    title = first_heading(notebook.cells) or executed.stem
    _tidy(notebook.cells, title)
    executions = series(run)
    page = {
        "title": title,
        "subtitle": executed.stem,
        "css": css(),
        "banner": banner(run, executed.stem),
        "provenance": provenance(run, meta, reported(notebook.cells)),
        "label": _label,
        "near": _near(executions, executed.stem),
    }
    how = {"template_name": "basic", "template_file": "page.html", "exclude_anchor_links": True}
    exporter = HTMLExporter(**how, extra_loaders=[TEMPLATES], filters={"clean": clean})
    body, _ = exporter.from_notebook_node(notebook, resources={"page": page})
    pages = {f"{name}.ipynb": f"{jobs[0].name}.html" for name, jobs in executions.items()}
    body = _linked(UNCOLOURED.sub(r"\1", body), pages, target.parent)
    return write(target, body)


def run_of(profile: str) -> dict:
    """What run.json says of a run. Raises `ReportError` without one."""
    path = paths.outputs(profile) / "run.json"
    if not path.exists():
        start = f"start the run by ./run_all.sh --profile {profile}"
        raise ReportError(f"outputs/{profile}/run.json: missing; {start}")
    return json.loads(path.read_text())


def series(run: dict) -> dict[str, list[plan.Job]]:
    """The executions that a run consists of, by notebook, in the order of the series; of several
    that on the official split first, to which links to the notebook lead."""
    jobs = plan.jobs(parameters.profile(run["profile"]), run.get("left_out", ()))
    jobs.sort(key=lambda job: (job.notebook, job.parameters.get("split") != "official"))
    return {name: list(own) for name, own in groupby(jobs, key=lambda job: job.notebook)}


def is_fer2013(run: dict) -> bool:
    """Whether a run was made on FER2013, or on what is known of it without its pixels."""
    return run["data"]["origin"].startswith("FER2013")


def banner(run: dict, notebook: str = "") -> str:
    """What stands on top of a page that shows other faces than those of FER2013."""
    data, pictures = run["data"]["origin"], run["data"].get("pictures")
    if not is_fer2013(run):
        return f"Data: {data}. The numbers on this page say nothing about FER2013."
    if pictures and notebook and not plan.REPORTING <= notebook < plan.RECOGNISING:
        return f"Faces: {pictures}. What is computed from them here says nothing about FER2013."
    return ""


def reported(cells: Iterable) -> str:
    """The data that a notebook itself names, by `display(..., metadata={"data": ...})`; else ''."""
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return next((o.metadata["data"] for o in outputs if "data" in o.get("metadata", {})), "")


def provenance(run: dict, meta: Mapping, data: str = "") -> dict[str, str]:
    """What a reader needs to make the page again; of published ones, what each run has alike.
    `data` stands in place of the run's, where a notebook takes other data."""
    state = artifacts.provenance()
    data = data or f"{run['data']['origin']}, fingerprint {run['data']['fingerprint']}"
    found = {"Data": data, "Profile": run["profile"]}
    if run["profile"] != PUBLISHED:
        if meta.get("duration"):
            when = meta["end_time"][:16].replace("T", " ")
            found["Executed"] = f"{when} UTC, in {meta['duration']:.0f} s"
        changed = ", with changes not committed" if state["git_dirty"] else ""
        found["Code"] = f"commit {(state['git_commit'] or 'unknown')[:12]}{changed}"
        found["Machine"] = f"{state['processor']}, {state['cores']} cores"
    found["Versions"] = ", ".join(map(" ".join, state["versions"].items()))
    return found


def css() -> str:
    """The style of all pages, by day, by night and on paper."""
    text = re.sub(r"/\*.*?\*/", "", (HERE / "pages.css").read_text(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", text)


def write(target: Path, body: str) -> Path:
    """Write a page. Raises `ReportError` where it names folders of this machine or is too large to
    be committed."""
    if found := machine_paths(body):
        raise ReportError(f"{target.name}: holds paths of this machine: {', '.join(found)}")
    size = len(body.encode())
    if target.resolve().parents[1].name == PUBLISHED and size > LIMIT:
        over = f"{size / 1e3:.0f} kB, {(size - LIMIT) / 1e3:.1f} kB over the limit of a page"
        raise ReportError(f"{target.stem}: its page takes {over}")
    return artifacts.write_atomically(target, body)


def clean(text: str) -> str:
    """HTML of an output with text, tables and links within the series alone, other tags escaped."""
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    return bleach.clean(text, tags=TAGS, attributes=_is_harmless, protocols=["https"])


def machine_paths(text: str) -> list[str]:
    """The folders of this project and of its user, where they occur in a text."""
    places = (str(paths.ROOT), str(Path.home()))
    return [place for place in places if len(place) > 4 and re.search(_bounded(place), text)]


def first_heading(cells: Iterable) -> str | None:
    """The text of the first heading of these cells."""
    for cell in cells:
        found = re.search(r"^#+ +(.+)$", "".join(cell["source"]), re.MULTILINE)
        if found and cell["cell_type"] == "markdown":
            return found[1].strip()
    return None


def _is_harmless(tag: str, name: str, value: str) -> bool:
    if tag == "a":
        return name == "href" and not re.match(r"\s*(//|\\|[\w+.-]+:)", value)
    return name in ("class", "title", "colspan", "rowspan", "scope")


def _tidy(cells: list[nbformat.NotebookNode], title: str) -> None:
    """Outputs without warnings of libraries, progress bars, programs, and paths of the machine;
    figures small, each with the heading that it stands under; ids of cells are their places."""
    heading = title
    for place, cell in enumerate(cells):
        cell.id = f"cell-{place:02}"
        if cell.cell_type != "code":
            heading = first_heading([cell]) or heading
            cell.source = SELF.sub("", cell.source)
            continue
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
                    output.data[kind] = as_address(kind, output.data[kind])
                    output.metadata[kind] = {"alt": f"Figure: {heading}"}


def _is_noise(output: dict) -> bool:
    kinds, widget = output.get("data"), "application/vnd.jupyter.widget-view+json"
    unseen = kinds is not None and (widget in kinds or not set(SHOWN) & set(kinds))
    return unseen or output.get("name") == "stderr"


def as_address(kind: str, data: str) -> str:
    """A figure as an address that holds it: SVG as text, a picture in the smallest of its forms."""
    if kind == "image/svg+xml":
        plain = re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", "", data, flags=re.S)
        named = dict.fromkeys(name for _, name in REFERENCE.findall(plain))
        short = {name: f"i{k}" for k, name in enumerate(named)}
        plain = REFERENCE.sub(lambda hit: hit[1] + short[hit[2]], plain)
        kept = {name: f' id="{new}"' for name, new in short.items()}
        plain = re.sub(r' id="([^"]*)"', lambda hit: kept.get(hit[1], ""), plain)
        plain = re.sub(r"<[^>]*>", lambda tag: tag[0].translate(QUOTED), plain)
        return f"data:{kind},{quote(' '.join(plain.split()), safe=PLAIN)}"
    raw = base64.b64decode(data)
    picture, forms = PIL.Image.open(io.BytesIO(raw)), [(kind, raw)]
    for form, how in (("webp", {"lossless": True}), ("avif", {"quality": 45})):
        packed = io.BytesIO()
        picture.save(packed, form, **how)
        forms.append((f"image/{form}", packed.getvalue()))
    kind, least = min(forms, key=lambda form: len(form[1]))
    return f"data:{kind};base64,{base64.b64encode(least).decode()}"


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


def _near(executions: Mapping[str, list[plan.Job]], job: str) -> list[list[tuple[str, str]]]:
    """File and title of the page before that of a job in the series, if any, and of the next."""
    here = job.partition(".")[0]
    before = [one for one in executions if one < here][-1:]
    after = [one for one in executions if one > here]
    return [
        [(f"{executions[k][0].name}.html", first_heading(reading.cells(k)) or k) for k in side[:1]]
        for side in (before, after)
    ]


def _linked(body: str, pages: Mapping[str, str], folder: Path) -> str:
    """A page whose links to notebooks lead to their pages, those to files of the project to these
    as seen from its `folder`; a link that would lead nowhere is plain text."""

    def led(link: re.Match) -> str:
        before, address, after, text = link.groups()
        file, mark, place = address.partition("#")
        target = paths.NOTEBOOKS / file
        if file in ("", "index.html", *pages.values()) or re.match(r"https?:", file):
            return link[0]
        if file in pages:
            file = pages[file]
        elif file.startswith("../") and target.exists():
            file = Path(os.path.relpath(target, folder)).as_posix()
        else:
            return text
        return f"{before}{file}{mark}{place}{after}{text}</a>"

    return re.sub(r'(<a\b[^>]*?\bhref=")([^"]*)("[^>]*>)(.*?)</a>', led, body, flags=re.DOTALL)
