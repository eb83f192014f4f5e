"""The page from which a reader of a run starts: question and findings, notebooks, tables."""

import base64
import re
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup
from nbconvert.filters import markdown2html

from fercore import paths
from fercore.config import parameters, reading
from fercore.evaluation import comparison, tables
from fercore.workflow import documents, pages, plan

TOTAL = 7_000_000  # bytes of all pages that are committed


def index(profile: str) -> Path:
    """Write reports/index.html of a run. Raises `pages.ReportError`."""
    folder, run = paths.outputs(profile), pages.run_of(profile)
    there = {path.stem for path in (folder / "reports").glob("*.html")}
    executions = pages.series(run)
    made = {name: [job for job in jobs if job.name in there] for name, jobs in executions.items()}
    names = (job.name for jobs in executions.values() for job in jobs)
    environment = jinja2.Environment(loader=pages.TEMPLATES, autoescape=True, trim_blocks=True)
    environment.filters["html"] = lambda text: Markup(pages.clean(markdown2html(text)))
    fer2013 = pages.is_fer2013(run)
    complete = fer2013 and pages.PUBLISHED in (profile, parameters.profile(profile).predictions)
    sift = folder / "figures" / "33_changes" / "sift.svg"
    complete &= all((folder / "tables" / f"{name}.csv").exists() for name in documents.STORY)
    story = documents.story(folder) if complete else None
    points = _points(folder) if fer2013 else {}
    ends = ("low", "high", "published")  # what the scale of all accuracies must hold
    spread = [row[end] for rows in points.values() for row in rows for end in ends] or [0, 100]
    low, high = int(min(spread) // 10 * 10), int(-(-max(spread) // 10) * 10)
    body = environment.get_template("index.html").render(
        run=run,
        css=Markup(pages.css()),
        banner=pages.banner(run),
        failed=[name for name in names if name not in there],
        story=story,
        points=points,
        sift=pages.as_address("image/svg+xml", sift.read_text()) if story and sift.exists() else "",
        ticks=list(range(low, high + 1, 10)),
        at=lambda accuracy: 100 * (accuracy - low) / (high - low),
        tables=_tables(folder, fer2013=fer2013),
        cards=[_card(folder, name, jobs) for name, jobs in made.items() if jobs],
        provenance=pages.provenance(run, {}),
        origins=(folder / "tables" / "origins.md").exists(),
    )
    target = pages.write(folder / "reports" / "index.html", body)
    sizes = {path.stem: path.stat().st_size for path in target.parent.glob("*.html")}
    if profile == pages.PUBLISHED and (size := sum(sizes.values())) > TOTAL:
        largest = ", ".join(sorted(sizes, key=lambda name: -sizes[name])[:5])
        limit = f"{size / 1e6:.1f} MB of pages, more than {TOTAL / 1e6:.0f} MB"
        raise pages.ReportError(f"{limit}; the largest are {largest}")
    return target


def _points(folder: Path) -> dict[str, list[Any]]:
    """By system its published accuracies that were measured here too, from the lowest."""
    results = _read(folder, "results")
    if results is None:
        return {}
    table = tables.outcome(results).dropna(subset=["published", "accuracy"])
    table = table[table.preferred].sort_values("published")
    table["elsewhere"] = table.split != table.measured_on
    return {str(system): part.to_dict("records") for system, part in table.groupby("system")}


def _tables(folder: Path, *, fer2013: bool) -> dict[str, Markup]:
    """The tables of a run by their headings; published figures beside those of FER2013 alone."""
    results, gains, curve = (_read(folder, name) for name in documents.STORY[:3])
    found = {}
    if results is not None:
        rows = tables.everything(results)
        found["Every network and average"] = rows if fer2013 else rows.drop(columns="published")
    if gains is not None:
        known = {key: change.title for key, change in parameters.changes().items()}
        found |= {known[key]: comparison.changes_text(gains, key) for key in gains.change.unique()}
    if curve is not None:
        found["SIFT by number of training faces"] = comparison.curve_text(curve)
    return {heading: Markup(pages.clean(tables.html(rows))) for heading, rows in found.items()}


def _read(folder: Path, name: str) -> pd.DataFrame | None:
    path = folder / "tables" / f"{name}.csv"
    return pd.read_csv(path) if path.exists() else None


def _card(folder: Path, notebook: str, jobs: list[plan.Job]) -> dict[str, Any]:
    """Title, question, links and thumbnail of one notebook; it may have run many times."""
    pictures = [
        path
        for job in jobs
        for name in (job.name, f"{job.name}.*")
        for path in sorted((folder / "figures").glob(f"{name}/thumbnail.webp"))
    ]
    small = base64.b64encode(pictures[0].read_bytes()).decode() if pictures else ""
    title = pages.first_heading(reading.cells(notebook)) or notebook
    return {
        "name": notebook,
        "title": re.sub(r"^\d+ · ", "", title),
        "question": _question(notebook),
        "thumbnail": f"data:image/webp;base64,{small}" if small else "",
        "links": [{"href": f"{job.name}.html", "text": _short(job)} for job in jobs],
    }


def _question(notebook: str) -> str:
    """What a notebook asks: the paragraph of its first cell that is marked so, as plain text."""
    first = "".join(reading.cells(notebook)[0]["source"])
    marked = re.search(r"^\*\*Question\.\*\* (.+?)(?:\n\n|\Z)", first, re.MULTILINE | re.DOTALL)
    text = re.sub(r"[*`]|\[([^\]]*)\]\([^)]*\)", r"\1", marked[1] if marked else "")
    return text.replace("\n", " ").strip()


def _short(job: plan.Job) -> str:
    own = job.name.removeprefix(job.notebook).strip(".").removesuffix(".seed0")
    return own.replace(".", " · ") or "page"
