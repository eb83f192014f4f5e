"""What Snakemake does, in lines with the time left: its logger plugin, and the process it runs in.

`python -m fercore.workflow.progress PROFILE CORES ...` runs Snakemake with the options that follow.
Its own text goes to standard error, which `run` sends to run.log.
"""

import json
import logging
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.workflow import plan

BROKEN = 3  # exit status when the lines about the run cannot be written


@dataclass
class Progress:
    """Where a run stands. `expected` maps each job to seconds; the pace of what is done corrects
    it. `out` is where its lines go."""

    expected: dict[str, float]
    cores: int
    out: TextIO
    dry_run: bool = False
    started: float = field(default_factory=time.monotonic)
    planned: list[str] = field(default_factory=list)
    running: dict[str, float] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    interrupted: bool = False  # what fails from then on was stopped

    def __post_init__(self) -> None:
        self._rules = {plan.rule_name(name): name for name in self.expected}
        self._ids: dict[int, str] = {}
        self._lock = threading.Lock()
        self.live = self.out.isatty()

    def take(self, record: logging.LogRecord) -> None:
        """One event of Snakemake's: its plan, a job begun, finished or failed."""
        event, told = str(getattr(record, "event", None)), vars(record)
        with self._lock:
            if event == "run_info" and not self.planned:
                self._tell_plan(told["stats"])
            elif self.dry_run or self.interrupted:
                return
            elif event == "job_info" and told["rule_name"] in self._rules:
                name = self._ids[told["jobid"]] = self._rules[told["rule_name"]]
                self.running[name] = time.monotonic()
            elif event == "job_finished":
                self._tell_end(self._ids.get(told["job_id"]), failed=False)
            elif event == "job_error":
                self._tell_end(self._rules.get(told["rule_name"]), failed=True)

    def seconds_left(self) -> float:
        """Expected seconds until the last planned job is done."""
        now = time.monotonic()
        ended = [*self.done, *self.failed]
        waiting = [name for name in self.planned if name not in ended]
        spent = sum(
            min(now - self.running[name], self.expected[name])
            for name in waiting
            if name in self.running
        )
        left = sum(self.expected[name] for name in waiting) - spent
        gone = sum(self.expected[name] for name in ended) + spent
        pace = (now - self.started) / gone if gone > 30 else 1
        return left * min(max(pace, 0.2), 5)

    @contextmanager
    def status_lines(self) -> Iterator[None]:
        """While the block runs, say what runs: each second in a terminal, every five minutes in a
        file."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(1 if self.live else 300):
                with self._lock:
                    if self.running:
                        self.say(self.status(), end="" if self.live else "\n")

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def status(self) -> str:
        """What runs now and how long it will still take."""
        now = time.monotonic()
        names = ", ".join(
            f"{name} ({artifacts.duration(now - since)})" for name, since in self.running.items()
        )
        left = artifacts.duration(self.seconds_left())
        return f"{len(self.done)} of {len(self.planned)} done, about {left} left; {names}"

    def _tell_plan(self, stats: dict[str, int]) -> None:
        self.planned = [name for rule, name in self._rules.items() if rule in stats]
        if not self.planned:
            return
        again = len(self.expected) - len(self.planned)
        kept = f" ({again} up to date)" if again else ""
        count, cores = _counted(len(self.planned), "notebook"), _counted(self.cores, "core")
        left = artifacts.duration(self.seconds_left())
        self.say(f"To do:   {count}{kept}, about {left} on {cores}")
        for name in self.planned if self.dry_run else ():
            self.say(f"  {name}  {artifacts.duration(self.expected[name])}")

    def _tell_end(self, name: str | None, *, failed: bool) -> None:
        if name is None or name not in self.running:
            return
        seconds = time.monotonic() - self.running.pop(name)
        if failed:
            self.failed.append(name)
        else:
            self.done[name] = seconds
            self.failed = [other for other in self.failed if other != name]  # tried again
        count, total = len(self.done) + len(self.failed), len(self.planned)
        left = f"about {artifacts.duration(self.seconds_left())} left" if count < total else ""
        mark = "FAILED" if failed else artifacts.duration(seconds)
        width = max(map(len, self.planned))
        number = f"{count:>{len(str(total))}}/{total}"
        self.say(f"[{number}] {name:<{width}} {mark:>7}   {left}".rstrip())

    def say(self, line: str, end: str = "\n") -> None:
        """Print a line over the status line."""
        columns = 1000 if end else shutil.get_terminal_size().columns - 1
        clear = "\r\033[K" if self.live else ""
        print(f"{clear}{artifacts.printable(line, columns)}", end=end, file=self.out, flush=True)


def expected_seconds(profile: parameters.Profile, data: dict, jobs: list[plan.Job]) -> dict:
    """Seconds of each job: as measured in this folder on this data, else as the profile says."""
    fer2013 = data["origin"].startswith("FER2013")
    minutes = profile.minutes.get("FER2013" if fer2013 else "synthetic", {})
    measured = _measured(paths.outputs(profile.name)).get(data["fingerprint"], {})
    return {
        job.name: measured.get(
            job.name,
            60 * minutes.get(job.parameters.get("network", ""), minutes.get(job.notebook, 0.3)),
        )
        for job in jobs
    }


def main(name: str, cores: str, *options: str) -> int:
    """Run Snakemake for a profile; exit status 0 done, 1 something failed, `BROKEN`."""
    from snakemake import cli
    from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Snakemake and its jobs print goes to the log
    folder, profile = paths.outputs(name), parameters.profile(name)
    run = json.loads((folder / "run.json").read_text())
    expected = expected_seconds(profile, run["data"], plan.jobs(profile, run.get("left_out", ())))
    progress = Progress(expected, int(cores), out, "--dry-run" in options)
    registry, plugin = LoggerPluginRegistry(), _plugin(progress)
    registry.register_plugin("snakemake_logger_plugin_fercore", plugin)  # type: ignore[arg-type]

    def interrupt(*_) -> None:
        progress.interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    with progress.status_lines():
        try:
            cli.main([*options, "--logger", "fercore"])
        except (SystemExit, KeyboardInterrupt) as end:
            status = getattr(end, "code", 1) or 0
    if plugin.broken or progress.interrupted:
        return BROKEN if plugin.broken else 1
    try:
        status = _close(status, folder, run["data"], progress)
        if profile.predictions and not (status or progress.dry_run):
            from fercore.workflow import publish

            equal, said = publish.compare(profile.predictions, name)
            progress.say(said)
            status = int(not equal)
        return status
    except OSError as error:
        progress.say(f"outputs/{name}: {error.strerror}; then the same command goes on")
        return 1


def _plugin(progress: Progress) -> SimpleNamespace:
    """A logger plugin that hands Snakemake's events to `progress`. Should that fail, the whole run
    stops, rather than to go on unseen."""
    from snakemake_interface_logger_plugins.base import LogHandlerBase

    plugin = SimpleNamespace(broken=False)

    class LogHandler(LogHandlerBase):
        writes_to_stream = writes_to_file = needs_rulegraph = False
        has_filter = has_formatter = True

        def emit(self, record: logging.LogRecord) -> None:
            try:
                progress.take(record)
            except Exception:
                logging.Handler.handleError(self, record)
                plugin.broken = True
                os.killpg(os.getpgrp(), signal.SIGINT)

    plugin.LogHandler = LogHandler
    return plugin


def _close(status: int, folder: Path, data: dict, progress: Progress) -> int:
    """Say how the run ended, keep what each job took."""
    say = progress.say
    if progress.done:
        known, seconds = _measured(folder), {n: round(s, 1) for n, s in progress.done.items()}
        known[data["fingerprint"]] = known.get(data["fingerprint"], {}) | seconds
        artifacts.write_json(folder / "seconds.json", known)
    index = os.path.relpath(folder / "reports" / "index.html", paths.ROOT)
    for name in progress.failed:
        say(failure(folder, name))
    if progress.failed:
        from fercore.workflow import pages  # not above: it takes seconds to import

        pages.index(folder.name)
        waiting = "what waits for a failed notebook did not run"
        say(f"{len(progress.done)} of {len(progress.planned)} done; {waiting}.")
        say(f"Reports: {index}")
    elif status:
        say(_last_error(folder / "run.log"))
    elif not progress.planned:
        say(f"Nothing to do: everything is up to date. Reports: {index}")
    elif not progress.dry_run:
        took = artifacts.duration(time.monotonic() - progress.started)
        say(f"Done in {took}. Reports: {index}")
    return 1 if status or progress.failed else 0


def failure(folder: Path, job: str) -> str:
    """One line: the job, the cell, the error, and the executed copy to open."""
    path = folder / "notebooks" / f"{job}.ipynb"
    place, log = (os.path.relpath(one, paths.ROOT) for one in (path, folder / "run.log"))
    try:
        cells = json.loads(path.read_text())["cells"]
    except (OSError, ValueError):
        return f"{job}: could not be started; see {log}"
    for cell in cells:
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                first = "".join(cell["source"]).strip().split("\n")[0]
                error = f"{output['ename']}: {output['evalue']}".strip().split("\n")[0]
                return f"{job}: cell [{cell['execution_count']}] `{first}`: {error}; open {place}"
    lines = (folder / "run.log").read_text(errors="replace").splitlines()
    for start in (f"fercore: {job}: ", "fercore: "):
        if said := [line.removeprefix(start) for line in lines if line.startswith(start)]:
            return f"{job}: {said[-1]}; open {place}"
    return f"{job}: stopped without an error (killed, out of memory?); open {place}"


def _last_error(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    marked = [k for k, line in enumerate(lines) if re.search(r"Error|Exception|error:", line)]
    message = " ".join(lines[marked[-1] :][:3]) if marked else "its log breaks off (disk full?)"
    return f"Snakemake stopped: {message[:300]}; see {os.path.relpath(log, paths.ROOT)}"


def _measured(folder: Path) -> dict:
    path = folder / "seconds.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
