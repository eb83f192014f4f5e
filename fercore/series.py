"""Start Snakemake for a profile and tell its progress: what runs, how long it will take, what failed and where."""
import fcntl
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fercore import datasets, parameters, paths, report, runs
from fercore.parameters import Job, ParameterError, Profile

QUIET = {
    "PAPERMILL": "1",  # no progress bars in executed notebooks
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # two trainings may share a GPU
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
CORES_A_TRAINING = 8  # TensorFlow gains little from more


def prepare(profile: Profile) -> dict:
    """Find and verify the data of a profile, write run.json into its folder, return it.

    Raises `datasets.DatasetError`, or `ParameterError` when the profile needs FER2013 and there is none.
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
    path = paths.outputs(profile.name) / "run.json"
    if not path.exists() or json.loads(path.read_text()) != content:
        runs.write_json(path, content)
    return content


def rule_name(job: str) -> str:
    """The Snakemake rule of a job."""
    return "job_" + re.sub(r"\W", "_", job)


def training_threads(cores: int | None) -> int:
    """Cores of one training: one is left to the notebooks beside it."""
    return max(1, min(CORES_A_TRAINING, (cores or 2) - 1))


def run(name: str, *, cores: int, force: bool = False, dry_run: bool = False, extra: Iterable[str] = ()) -> int:
    """Run a profile and print its progress; exit status 0 done, 1 a notebook failed, 130 interrupted."""
    if (named := os.environ.get("FER2013")) and named != datasets.SYNTHETIC:
        os.environ["FER2013"] = os.path.abspath(os.path.expanduser(named))  # notebooks run in another folder
    profile = parameters.profile(name)
    jobs = parameters.jobs(profile)
    folder = paths.outputs(name)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ParameterError(f"profile {name}: runs already, in another terminal; wait for it or stop it") from None
        data = prepare(profile)["data"]
        print(f"Profile {name}: {profile.description}")
        print(f"Data:    {_describe(data)}", flush=True)
        progress = Progress(jobs, _expected(profile, data), cores)
        command = _command(profile, data, cores, force, dry_run, list(extra))
        status = _follow(command, folder / "run.log", progress, lock.fileno(), dry_run)
        _remember(folder, data, progress)
    return status


def _describe(data: dict) -> str:
    counts = ", ".join(f"{count:,} {usage}" for usage, count in data["faces"].items())
    warning = "" if data["origin"].startswith("FER2013") else "; no number of this run says anything about FER2013"
    return f"{data['origin']} ({counts}){warning}"


def _command(profile: Profile, data: dict, cores: int, force: bool, dry_run: bool, extra: list[str]) -> list[str]:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(paths.ROOT / "Snakefile")]
    command += ["--directory", str(paths.outputs(profile.name)), "--nolock", "--rerun-incomplete", "--keep-going"]
    command += ["--rerun-triggers", "mtime", "params", "input", "--nocolor"]
    if "--executor" not in extra:
        command += ["--cores", str(cores), "--resources", f"training={max(1, cores // CORES_A_TRAINING)}"]
    command += ["--forceall"] * force + ["--dry-run"] * dry_run
    return [*command, *extra, "--config", f"profile={profile.name}", f"fingerprint={data['fingerprint']}"]


@dataclass
class Progress:
    """Where a run stands. `expected` maps a job to seconds; the pace of what is done corrects it."""

    jobs: list[Job]
    expected: dict[str, float]
    cores: int
    started: float = field(default_factory=time.monotonic)
    planned: list[str] = field(default_factory=list)
    told: bool = False  # the plan
    running: dict[str, float] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def seconds_left(self) -> float:
        """Expected seconds until the last planned job is done."""
        now = time.monotonic()
        ended = [*self.done, *self.failed]
        waiting = [name for name in self.planned if name not in ended]
        spent = {name: min(now - self.running[name], self.expected[name]) for name in waiting if name in self.running}
        left = sum(self.expected[name] for name in waiting) - sum(spent.values())
        gone = sum(self.expected[name] for name in ended) + sum(spent.values())
        pace = (now - self.started) / gone if gone > 30 else 1
        return left * min(max(pace, 0.2), 5)

    def line(self) -> str:
        """What runs now and how long it will still take."""
        names = ", ".join(f"{name} ({duration(time.monotonic() - since)})" for name, since in self.running.items())
        return f"{len(self.done)} of {len(self.planned)} done, about {duration(self.seconds_left())} left; {names}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _expected(profile: Profile, data: dict) -> dict[str, float]:
    """Seconds of each job: as measured in this folder on this data, else as the profile says."""
    kind = "FER2013" if data["origin"].startswith("FER2013") else "synthetic"
    minutes = profile.minutes.get(kind, {})
    measured = _measured(paths.outputs(profile.name)).get(data["fingerprint"], {})
    guessed = {}
    for job in parameters.jobs(profile):
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
        runs.write_json(folder / "seconds.json", known)


def _follow(command: list[str], log: Path, progress: Progress, lock: int, dry_run: bool) -> int:
    """Run Snakemake, its output into `log`; print what it means. The lock lives as long as Snakemake does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with open(log, "wb") as file, subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, pass_fds=(lock,), cwd=paths.ROOT,
    ) as process:
        try:
            _read(process, file, progress, dry_run)
        except KeyboardInterrupt:
            _stop(process)
            print("\nStopped. The same command goes on where it was.")
            return 130
    return _close(process.returncode, log, progress, dry_run)


def _read(process: subprocess.Popen, file: BinaryIO, progress: Progress, dry_run: bool) -> None:
    """Read Snakemake's lines as they come, until it ends."""
    names = {rule_name(job.name): job.name for job in progress.jobs}
    rest, told, pipe = b"", time.monotonic(), process.stdout.fileno()
    while True:
        ended = process.poll() is not None
        ready = select.select([pipe], [], [], 0 if ended else 0.5)[0]
        data = os.read(pipe, 1 << 16) if ready else b""
        file.write(data)
        file.flush()
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            _understand(line.decode(errors="replace"), names, progress, dry_run)
        told = _tell_status(progress, told)
        if not data and (ended or ready):
            process.wait()
            return


def _understand(line: str, names: dict[str, str], progress: Progress, dry_run: bool) -> None:
    """One line of Snakemake's: a row of its plan, a job begun, finished or failed."""
    words = line.split()
    if not words:
        return
    if len(words) == 2 and words[1].isdigit() and not progress.told:
        if words[0] == "total":
            _tell_plan(progress, dry_run)
        elif words[0] in names:
            progress.planned.append(names[words[0]])
    elif dry_run:
        return
    elif words[0] in ("rule", "localrule") and words[1].rstrip(":") in names:
        progress.running[names[words[1].rstrip(":")]] = time.monotonic()
    elif match := re.match(r"Finished jobid: \d+ \(Rule: (\w+)\)", line):
        _tell_end(names.get(match[1]), progress, failed=False)
    elif match := re.match(r"\s*Error in rule (\w+)", line):
        _tell_end(names.get(match[1]), progress, failed=True)


def _tell_plan(progress: Progress, dry_run: bool) -> None:
    progress.told = True
    if not progress.planned:
        return
    order = [job.name for job in progress.jobs]
    progress.planned.sort(key=order.index)
    again = len(order) - len(progress.planned)
    kept = f" ({again} up to date)" if again else ""
    count, cores = _counted(len(progress.planned), "notebook"), _counted(progress.cores, "core")
    print(f"To do:   {count}{kept}, about {duration(progress.seconds_left())} on {cores}")
    if dry_run:
        print("\n".join(f"  {name}  {duration(progress.expected[name])}" for name in progress.planned))
    sys.stdout.flush()


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _tell_end(name: str | None, progress: Progress, *, failed: bool) -> None:
    if name is None or name not in progress.running:
        return
    seconds = time.monotonic() - progress.running.pop(name)
    if failed:
        progress.failed.append(name)
    else:
        progress.done[name] = seconds
    count = len(progress.done) + len(progress.failed)
    mark = "FAILED" if failed else duration(seconds)
    left = f"about {duration(progress.seconds_left())} left" if count < len(progress.planned) else ""
    total, width = len(progress.planned), max(map(len, progress.planned), default=0)
    line = f"[{count:>{len(str(total))}}/{total}] {name:<{width}} {mark:>7}   {left}"
    print(f"{_clear()}{line.rstrip()}", flush=True)


def _tell_status(progress: Progress, told: float) -> float:
    """Say what runs: once a second in a terminal, every five minutes in a file."""
    live = sys.stdout.isatty()
    if not progress.running or time.monotonic() - told < (1 if live else 300):
        return told
    line = progress.line()
    width = os.get_terminal_size().columns - 1 if live else 200
    print(f"{_clear()}{line[:width]}", end="" if live else "\n", flush=True)
    return time.monotonic()


def _clear() -> str:
    return "\r\033[K" if sys.stdout.isatty() else ""


def _stop(process: subprocess.Popen) -> None:
    """End Snakemake and what it started: asked first, forced after 20 seconds."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=20)
            return
        except ProcessLookupError:
            return
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            continue


def _close(status: int, log: Path, progress: Progress, dry_run: bool) -> int:
    """Say how the run ended."""
    folder = log.parent
    index = os.path.relpath(folder / "reports" / "index.html", paths.ROOT)
    for name in progress.failed:
        print(failure(folder, name))
    if progress.failed:
        report.index(folder.name)
        print(f"{len(progress.done)} of {len(progress.planned)} done; what waits for a failed notebook did not run.")
        print(f"Reports: {index}")
    if status and not progress.failed:
        print(_last_error(log))
    elif not status and not progress.planned:
        print(f"Nothing to do: everything is up to date. Reports: {index}")
    elif not dry_run and not status:
        print(f"Done in {duration(time.monotonic() - progress.started)}. Reports: {index}")
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
    reasons = re.findall(r"^fercore: (.+)$", log, re.MULTILINE) or ["stopped without an error (killed, out of memory?)"]
    return f"{job}: {reasons[-1]}; open {place}"


def _last_error(log: Path) -> str:
    lines = [line.strip() for line in log.read_text().splitlines() if line.strip()]
    marked = [k for k, line in enumerate(lines) if re.search(r"Error|Exception", line)]
    place = os.path.relpath(log, paths.ROOT)
    message = " ".join(lines[marked[-1]:marked[-1] + 3]) if marked else (lines or ["no output"])[-1]
    return f"Snakemake stopped: {message[:300]}; see {place}"
