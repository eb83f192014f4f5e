"""A video with its faces marked frame by frame, a table of time stamps, a plot of the expressions
over time."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fercore import artifacts
from fercore.recognition import annotation
from fercore.recognition.film import Film, Source, VideoError
from fercore.recognition.recogniser import Face, Recogniser
from fercore.recognition.tracking import SMOOTHING, Tracker

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FORMATS = ("mp4", "csv")
COLUMNS = (
    "time",
    "frame",
    "track",
    "x",
    "y",
    "width",
    "height",
    "score",
    "expression",
    "probability",
)
SHOWN = 6  # tracks in the plot, the longest ones


@dataclass(frozen=True)
class Outcome:
    """What `recognise_video` made: its files (`video` is None for format csv), and how much.

    `frames` and `seconds` of the video were done, `tracks` faces followed; `remarks` are for the
    user, one line each.
    """

    video: Path | None
    table: Path
    timeline: Path
    frames: int
    seconds: float
    tracks: int
    interrupted: bool
    remarks: tuple[str, ...]


def recognise_video(
    path: str | Path,
    recogniser: Recogniser,
    *,
    out: str | Path | None = None,
    format: str | None = None,
    smoothing: float = SMOOTHING,
) -> Outcome:
    """Mark the faces of a video; write it, a table (.csv) and a plot over time (.png) beside each
    other.

    `out`: a folder, or the file of the annotated video; None: NAME.recognised.mp4 beside the video.
    `format`: mp4, or csv for table and plot without a film; None: as `out` is named, else mp4. The
    table has a row a frame and face: `COLUMNS`, then the probability of each expression, smoothed
    over `smoothing` seconds. Ctrl-C, or a video that breaks off, keeps what was done, and
    `Outcome.remarks` says so. Sound is kept when ffmpeg is installed. Raises `VideoError`; then
    nothing is left behind.
    """
    target = _target(Path(path), out, format)
    source = Source(path)
    tracker, rows = Tracker(recogniser, smoothing=smoothing), []
    with _folder(target) as folder:
        film = Film(folder / target.name, source.rate) if target.suffix == ".mp4" else None
        try:
            interrupted = _work(source, tracker, film, rows)
            remarks = [_how_far(source, interrupted), "" if tracker.begun else "no face was found"]
            remarks.append(film.close(sound_of=source.path, seconds=source.seconds) if film else "")
        finally:
            if film:
                film.drop()
        _write_table_and_plot(folder / target.name, source, rows, recogniser.class_names)
        made = [
            target.with_suffix(suffix) for suffix in (".csv", ".png", *([".mp4"] if film else []))
        ]
        for file in made:
            os.replace(folder / file.name, file)
    table, plot, video = (*made, None)[:3]
    return Outcome(
        video,
        table,
        plot,
        source.frames,
        source.seconds,
        tracker.begun,
        interrupted,
        tuple(filter(None, remarks)),
    )


def _work(source: Source, tracker: Tracker, film: Film | None, rows: list[dict]) -> bool:
    """Frame by frame into `rows` and `film`, to the end or until Ctrl-C; whether it was
    interrupted."""
    try:
        with artifacts.progress(total=source.expected or None, description=source.path.name) as bar:
            for seconds, rgb in source:
                seen = tracker.step(rgb, seconds)
                if film:
                    film.add(annotation.annotate(rgb, [face for _, face in seen]), seconds)
                rows += [_row(seconds, source.frames, track, face) for track, face in seen]
                bar.update()
    except KeyboardInterrupt:
        return True
    return False


def _row(seconds: float, frame: int, track: int, face: Face) -> dict:
    values = (seconds, frame, track, *face.box, face.score, face.expression, face.probability)
    told = zip(face.class_names, face.probabilities.tolist(), strict=True)
    return dict(zip(COLUMNS, values, strict=True)) | dict(told)


def _write_table_and_plot(
    path: Path, source: Source, rows: list[dict], class_names: tuple[str, ...]
) -> None:
    import pandas as pd

    table = pd.DataFrame(rows, columns=[*COLUMNS, *class_names])
    artifacts.write_atomically(path.with_suffix(".csv"), table.round(4).to_csv(index=False))
    figure = timeline(table, class_names, frames=source.frames, seconds=source.seconds)
    figure.savefig(path.with_suffix(".png"), dpi=110)


def timeline(
    table: "pd.DataFrame", class_names: tuple[str, ...], *, frames: int, seconds: float
) -> "Figure":
    """Smoothed probabilities over time, stacked, one panel a track: those `SHOWN` that are seen
    longest."""
    from fercore.plots import style

    longest = sorted(table.track.value_counts().head(SHOWN).index)
    panels = max(1, len(longest))
    edges = np.linspace(0, seconds, max(1, min(600, frames // 2)) + 1)
    with style.style():
        figure, axes = style.new(
            panels, height=1.4 + 1.2 * panels, sharex=True, sharey=True, squeeze=False
        )
        for axis, track in zip(axes[:, 0], longest, strict=False):
            rows = table[table.track == track]
            bins = np.searchsorted(edges, rows.time, side="right") - 1
            means = (
                rows.groupby(bins)[list(class_names)]
                .mean()
                .reindex(range(len(edges)), fill_value=0)
            )
            axis.stackplot(
                edges,
                means.to_numpy().T,
                colors=style.colours(class_names),
                labels=class_names,
                step="post",
                lw=0,
            )
            axis.set_ylabel(f"face {track}")
        axes[0, 0].set_title("Probability of each expression" if longest else "No face was found")
        axes[-1, 0].set(xlabel="time (s)", xlim=(0, seconds), ylim=(0, 1))
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=8, fontsize=8
        )
    return figure


def _how_far(source: Source, interrupted: bool) -> str:
    """That not all of the video is there, and how much is. Raises `VideoError` when nothing is."""
    if not source.frames:
        raise VideoError(
            f"{source.path.name}: "
            + ("interrupted at once" if interrupted else "not one frame in it")
        )
    whole = f" of {source.expected / source.rate:.1f} s" if source.expected else ""
    if interrupted:
        return f"interrupted after {source.seconds:.1f} s{whole}; what was done is kept"
    if source.broken_off:
        return (
            f"the video breaks off after {source.seconds:.1f} s{whole}; the frames so far are kept"
        )
    return ""


def _target(path: Path, out: str | Path | None, format: str | None) -> Path:
    """The file of the film, or of the table when none is wanted."""
    target = Path(out) if out is not None else path.parent
    named = "" if target.is_dir() else target.suffix.lower().lstrip(".")
    format = format or named or "mp4"
    if format not in FORMATS or named not in ("", format):
        raise VideoError(
            f"format {format}, output {target.name}: for videos choose {' or '.join(FORMATS)}, or name a "
            "folder"
        )
    target = (
        target.with_suffix(f".{format}") if named else target / f"{path.stem}.recognised.{format}"
    )
    if target.resolve() == path.resolve():
        raise VideoError(f"{target}: the output would overwrite the video; choose another name")
    return target


@contextmanager
def _folder(target: Path) -> Iterator[Path]:
    """A folder for unfinished files, where the finished ones will lie."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            yield Path(folder)
    except OSError as error:
        raise VideoError(
            f"{target}: cannot be written ({error.strerror or error}); choose another place by --out"
        ) from error
