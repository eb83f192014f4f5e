"""Run a profile by Snakemake: data checked, time expected, how it ended and what failed where."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.config.parameters import ParameterError, Profile
from fercore.data import datasets, splits
from fercore.workflow import plan, workers
from fercore.workflow.progress import Progress, follow

QUIET = {
    "PAPERMILL": "1",  # no progress bars in executed notebooks
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # two trainings may share a GPU
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
GOES_ON = (
    "tables/learning_rates.*.csv",
    "tables/ablation.*.csv",
    "tables/one_budget.*.csv",
    "search/*.db",
)
CORES_A_TRAINING = 8  # TensorFlow gains little from more


def prepare(profile: Profile) -> dict:
    """Find and verify the data of a profile, write run.json into its folder, return it. Its
    `left_out` says why by protocol, if the data cannot be divided by one.

    Raises `datasets.DatasetError`, or `ParameterError` when the profile needs FER2013 and there is
    none.
    """
    faces = datasets.load(profile.data)
    if profile.requires_fer2013 and not faces.is_fer2013:
        raise ParameterError(
            f"profile {profile.name}: needs the labels of FER2013, found {faces.origin}; "
            "put fer2013.csv into data/ or say FER2013=path ./run_all.sh"
        )
    counts = {usage: int((faces.usage == usage).sum()) for usage in datasets.USAGES}
    data = {"origin": faces.origin, "fingerprint": faces.fingerprint, "faces": counts}
    content = {"profile": profile.name, "description": profile.description, "data": data}
    predicted = {key[0] for key in artifacts.list_predictions(paths.outputs(profile.name))}
    if left_out := splits.obstacles(faces, profile.networks or sorted(predicted)):
        content["left_out"] = left_out
    path = paths.outputs(profile.name) / "run.json"
    if not path.exists() or json.loads(path.read_text()) != content:
        artifacts.write_json(path, content)
    return content


def threads(job: plan.Job, cores: int | None) -> int:
    """Cores of a job: a training leaves one to the notebooks beside it, what times the machine
    leaves none."""
    if job.parameters.get("own_way_faces"):
        return cores or 1
    return max(1, min(CORES_A_TRAINING, (cores or 2) - 1)) if job.trains else 1


def run(
    name: str, *, cores: int, force: bool = False, dry_run: bool = False, extra: Iterable[str] = ()
) -> int:
    """Run a profile and print its progress; exit status 0 done, 1 a notebook failed, 130
    interrupted."""
    if (named := os.environ.get("FER2013")) and named != datasets.SYNTHETIC:
        os.environ["FER2013"] = os.path.abspath(
            os.path.expanduser(named)
        )  # notebooks run in another folder
    profile = parameters.profile(name)
    plan.jobs(profile)  # what is wrong in it is told before data are read
    folder = paths.outputs(name)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ParameterError(
                f"profile {name}: runs already, in another terminal; wait for it or stop it"
            ) from None
        content = prepare(profile)
        data, left_out = content["data"], content.get("left_out", {})
        jobs = plan.jobs(profile, left_out)
        if force and not dry_run:
            _forget(folder, jobs)
        print(f"Profile {name}: {profile.description}")
        print(f"Data:    {_describe(data)}", flush=True)
        for protocol, reason in left_out.items():
            print(f"Without: {protocol} ({reason})", flush=True)
        progress = Progress(jobs, _expected(profile, data, jobs), cores)
        command = _command(profile, data, cores, force, dry_run, list(extra))
        log = folder / "run.log"
        with _workers(jobs, own=not dry_run and "--executor" not in extra) as variables:
            status = follow(command, os.environ | variables, log, progress, lock.fileno(), dry_run)
        if status != 130:
            status = _close(status, log, progress, dry_run)
        _remember(folder, data, progress)
    return status


def _forget(folder: Path, jobs: list[plan.Job]) -> None:
    """Remove what the trainings of a profile would go on from; a profile without any shows what is
    kept."""
    if any(job.trains for job in jobs):
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        for path in (path for pattern in GOES_ON for path in folder.glob(pattern)):
            path.unlink()


def _workers(
    jobs: list[plan.Job], *, own: bool
) -> contextlib.AbstractContextManager[dict[str, str]]:
    """The server of this run, which notebooks are told of; none where they run elsewhere, or not at
    all."""
    if not own:
        return contextlib.nullcontext({})
    return workers.server(training=any(job.trains for job in jobs), environment=QUIET)


def _describe(data: dict) -> str:
    counts = ", ".join(f"{count:,} {usage}" for usage, count in data["faces"].items())
    warning = (
        ""
        if data["origin"].startswith("FER2013")
        else "; no number of this run says anything about FER2013"
    )
    return f"{data['origin']} ({counts}){warning}"


def _command(
    profile: Profile, data: dict, cores: int, force: bool, dry_run: bool, extra: list[str]
) -> list[str]:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(paths.ROOT / "Snakefile")]
    command += [
        "--directory",
        str(paths.outputs(profile.name)),
        "--nolock",
        "--rerun-incomplete",
        "--keep-going",
    ]
    command += ["--rerun-triggers", "mtime", "params", "input", "--nocolor"]
    if "--executor" not in extra:
        command += [
            "--cores",
            str(cores),
            "--resources",
            f"training={max(1, cores // CORES_A_TRAINING)}",
        ]
    command += ["--forceall"] * force + ["--dry-run"] * dry_run
    return [
        *command,
        *extra,
        "--config",
        f"profile={profile.name}",
        f"fingerprint={data['fingerprint']}",
    ]


def _expected(profile: Profile, data: dict, jobs: Iterable[plan.Job]) -> dict[str, float]:
    """Seconds of each job: as measured in this folder on this data, else as the profile says."""
    kind = "FER2013" if data["origin"].startswith("FER2013") else "synthetic"
    minutes = profile.minutes.get(kind, {})
    measured = _measured(paths.outputs(profile.name)).get(data["fingerprint"], {})
    guessed = {}
    for job in jobs:
        general = minutes.get(job.notebook, 0.3)
        guessed[job.name] = 60 * minutes.get(job.parameters.get("network"), general)
    return guessed | {name: seconds for name, seconds in measured.items() if name in guessed}


def _measured(folder: Path) -> dict:
    path = folder / "seconds.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _remember(folder: Path, data: dict, progress: Progress) -> None:
    if progress.done:
        known = _measured(folder)
        seconds = {name: round(value, 1) for name, value in progress.done.items()}
        known[data["fingerprint"]] = known.get(data["fingerprint"], {}) | seconds
        artifacts.write_json(folder / "seconds.json", known)


def _close(status: int, log: Path, progress: Progress, dry_run: bool) -> int:
    """Say how the run ended."""
    folder = log.parent
    index = os.path.relpath(folder / "reports" / "index.html", paths.ROOT)
    for name in progress.failed:
        print(failure(folder, name))
    if progress.failed:
        from fercore.workflow import (
            pages,
        )  # not above: it takes seconds to import, also for Snakemake

        pages.index(folder.name)
        print(
            f"{len(progress.done)} of {len(progress.planned)} done; what waits for a failed notebook did not run."
        )
        print(f"Reports: {index}")
    if status and not progress.failed:
        print(_last_error(log))
    elif not status and not progress.planned:
        print(f"Nothing to do: everything is up to date. Reports: {index}")
    elif not dry_run and not status:
        print(f"Done in {artifacts.duration(time.monotonic() - progress.started)}. Reports: {index}")
    return 1 if status else 0


def failure(folder: Path, job: str) -> str:
    """One line: the job, the cell, the error, and the executed copy to open."""
    path = folder / "notebooks" / f"{job}.ipynb"
    place = os.path.relpath(path, paths.ROOT)
    try:
        cells = json.loads(path.read_text())["cells"]
    except (OSError, ValueError):
        return f"{job}: could not be started; see {os.path.relpath(folder / 'run.log', paths.ROOT)}"
    for cell in cells:
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                first = "".join(cell["source"]).strip().split("\n")[0]
                error = f"{output['ename']}: {output['evalue']}".strip().split("\n")[0]
                return f"{job}: cell [{cell['execution_count']}] `{first}`: {error}; open {place}"
    log = (folder / "run.log").read_text(errors="replace")
    for start in (f"fercore: {job}: ", "fercore: "):
        if said := [
            line.removeprefix(start) for line in log.splitlines() if line.startswith(start)
        ]:
            return f"{job}: {said[-1]}; open {place}"
    return f"{job}: stopped without an error (killed, out of memory?); open {place}"


def _last_error(log: Path) -> str:
    lines = [line.strip() for line in log.read_text().splitlines() if line.strip()]
    marked = [k for k, line in enumerate(lines) if re.search(r"Error|Exception", line)]
    place = os.path.relpath(log, paths.ROOT)
    message = (
        " ".join(lines[marked[-1] : marked[-1] + 3]) if marked else (lines or ["no output"])[-1]
    )
    return f"Snakemake stopped: {message[:300]}; see {place}"
