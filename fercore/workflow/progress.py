"""What Snakemake does, in lines with the time left: its logger plugin, and the process it runs in,
`python -m fercore.workflow.progress PROFILE CORES OPTIONS`, whose standard error is run.log."""

import json
import logging
import os
import re
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

from fercore import artifacts, paths
from fercore.config import parameters
from fercore.data import synthetic
from fercore.workflow import plan


@dataclass
class Progress:
    """Where a run stands. `expected`: seconds of each job, which the pace of what is done corrects;
    `out`: where its lines go."""

    expected: dict[str, float]
    cores: int
    out: TextIO
    dry_run: bool = False
    started: float = field(default_factory=time.monotonic)
    planned: list[str] = field(default_factory=list)
    running: dict[str, float] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    interrupted: bool = False  # what fails from then on was stopped

    def __post_init__(self) -> None:
        self._rules = {plan.rule_name(name): name for name in self.expected}
        self._ids: dict[int, str] = {}
        self._lock = threading.Lock()
        self.live = self.out.isatty()

    def take(self, record: logging.LogRecord) -> None:
        """One event of Snakemake's: its plan, a job begun, finished or failed."""
        event, values = str(getattr(record, "event", None)), vars(record)
        with self._lock:
            if event == "run_info" and not self.planned:
                self._say_plan(values["stats"])
            elif self.dry_run or self.interrupted:
                return
            elif event == "job_info" and values["rule_name"] in self._rules:
                name = self._ids[values["jobid"]] = self._rules[values["rule_name"]]
                self.running[name] = time.monotonic()
            elif event == "job_finished":
                self._say_end(self._ids.get(values["job_id"]), failed=False)
            elif event == "job_error":
                self._say_end(self._rules.get(values["rule_name"]), failed=True)

    def seconds_left(self) -> float:
        """Expected seconds until the last planned job is done, at the pace of what is done."""
        now = time.monotonic()
        ended = [self.expected[name] for name in (*self.done, *self.failed)]
        running = [min(now - since, self.expected[n]) for n, since in self.running.items()]
        gone = sum(ended) + sum(running)
        left = sum(self.expected[name] for name in self.planned) - gone
        pace = (now - self.started) / gone if gone > 30 else 1
        return left * min(max(pace, 0.2), 5)

    def watch(self) -> None:
        """Say for ever what runs: each second in a terminal, every five minutes in a file."""
        while True:
            time.sleep(1 if self.live else 300)
            with self._lock:
                if self.running:
                    self.say(self.status(), end="" if self.live else "\n")

    def status(self) -> str:
        """What runs now and how long it will still take."""
        now, left = time.monotonic(), artifacts.duration(self.seconds_left())
        times = {name: artifacts.duration(now - since) for name, since in self.running.items()}
        names = ", ".join(f"{name} ({took})" for name, took in times.items())
        return f"{len(self.done)} of {len(self.planned)} done, about {left} left; {names}"

    def _say_plan(self, stats: dict[str, int]) -> None:
        self.planned = [name for rule, name in self._rules.items() if rule in stats]
        if count := len(self.planned):
            again = len(self.expected) - count
            kept = f" ({again} up to date)" if again else ""
            to_do = f"{count} notebook{'s' if count > 1 else ''}{kept}"
            left, ending = artifacts.duration(self.seconds_left()), "s" if self.cores > 1 else ""
            self.say(f"To do:   {to_do}, about {left} on {self.cores} core{ending}")
        for name in self.planned if self.dry_run else ():
            self.say(f"  {name}  {artifacts.duration(self.expected[name])}")

    def _say_end(self, name: str | None, *, failed: bool) -> None:
        if name is None or name not in self.running:
            return
        took = artifacts.duration(time.monotonic() - self.running.pop(name))
        self.failed = [other for other in self.failed if other != name]  # it was tried again
        (self.failed if failed else self.done).append(name)
        count, total = len(self.done) + len(self.failed), len(self.planned)
        left = f"about {artifacts.duration(self.seconds_left())} left" if count < total else ""
        width = max(map(len, self.planned))
        mark = "FAILED" if failed else took
        number = f"{count:>{len(str(total))}}/{total}"
        self.say(f"[{number}] {name:<{width}} {mark:>7}   {left}".rstrip())

    def say(self, line: str, end: str = "\n") -> None:
        """Print a line over the status line."""
        columns = 1000 if end else shutil.get_terminal_size().columns - 1
        clear = "\r\033[K" if self.live else ""
        print(f"{clear}{artifacts.printable(line, columns)}", end=end, file=self.out, flush=True)


def expected_seconds(profile: parameters.Profile, data: dict, jobs: list[plan.Job]) -> dict:
    """Seconds of each job, as the profile says of its network or its notebook."""
    fer2013 = data["origin"].startswith("FER2013")
    known = profile.minutes.get("FER2013" if fer2013 else "synthetic", {})
    return {
        job.name: 60 * known.get(job.parameters.get("network", ""), known.get(job.notebook, 0.3))
        for job in jobs
    }


def main(name: str, cores: str, *options: str) -> int:
    """Run Snakemake for a profile; exit status 0 done, 1 something failed."""
    from snakemake import cli
    from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Snakemake and its jobs print goes to the log
    profile = parameters.profile(name)
    run = json.loads((paths.outputs(name) / "run.json").read_text())
    expected = expected_seconds(profile, run["data"], plan.jobs(profile, run.get("left_out", ())))
    progress = Progress(expected, int(cores), out, "--dry-run" in options)
    LoggerPluginRegistry().register_plugin("snakemake_logger_plugin_fercore", _plugin(progress))

    def interrupt(*_) -> None:
        progress.interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    threading.Thread(target=progress.watch, daemon=True).start()
    status = 0
    try:
        cli.main([*options, "--logger", "fercore"])
    except (SystemExit, KeyboardInterrupt) as end:
        status = getattr(end, "code", 1) or 0
    if progress.interrupted:
        return 1
    try:
        return _close(status, profile, run["data"], progress)
    except OSError as error:
        progress.say(f"outputs/{name}: {error.strerror}; then the same command goes on")
        return 1


def _plugin(progress: Progress) -> Any:
    """A logger plugin that hands Snakemake's events to `progress`. If it fails, the run ends."""
    from snakemake_interface_logger_plugins.base import LogHandlerBase

    class LogHandler(LogHandlerBase):
        writes_to_stream = writes_to_file = needs_rulegraph = False
        has_filter = has_formatter = True

        def emit(self, record: logging.LogRecord) -> None:
            try:
                progress.take(record)
            except Exception:
                logging.Handler.handleError(self, record)
                os.killpg(os.getpgrp(), signal.SIGKILL)

    return SimpleNamespace(LogHandler=LogHandler)


def _close(status: int, profile: parameters.Profile, data: dict, progress: Progress) -> int:
    """Say how the run ended and which page to open."""
    folder, say = paths.outputs(profile.name), progress.say
    if progress.failed:
        from fercore.workflow import execute, index  # not above: they take seconds to import

        for name in progress.failed:
            say(execute.failure(folder, name))
        index.index(profile.name)
        waiting = "what waits for a failed notebook did not run"
        say(f"{len(progress.done)} of {len(progress.planned)} done; {waiting}.")
    elif status:
        say(_last_error(folder / "run.log"))
        return 1
    elif not progress.planned:
        say("Nothing to do: everything is up to date.")
    elif progress.dry_run:
        return 0
    else:
        say(f"Done in {artifacts.duration(time.monotonic() - progress.started)}.")
    if profile.predictions and not progress.failed:
        from fercore.workflow import publish

        equal, said = publish.compare(profile.predictions, profile.name)
        say(said)
        status = int(not equal)
    other = "Live on synthetic faces" if data["origin"] == synthetic.ORIGIN else "Reports"
    shown = "Real tables" if profile.predictions else other
    say(f"{shown}: {os.path.relpath(folder / 'reports' / 'index.html', paths.ROOT)}")
    return int(bool(status or progress.failed))


def _last_error(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    marked = [k for k, line in enumerate(lines) if re.search(r"Error|Exception|error:", line)]
    message = " ".join(lines[marked[-1] :][:3]) if marked else "its log breaks off (disk full?)"
    return f"Snakemake stopped: {message[:300]}; see {os.path.relpath(log, paths.ROOT)}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
