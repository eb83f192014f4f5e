"""Follow Snakemake as it runs: what is planned, running, done or failed, and how long it will still
take."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fercore import artifacts, paths
from fercore.workflow.plan import Job


@dataclass
class Progress:
    """Where a run stands. `expected` maps a job to seconds; the pace of what is done corrects
    it."""

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
        spent = {
            name: min(now - self.running[name], self.expected[name])
            for name in waiting
            if name in self.running
        }
        left = sum(self.expected[name] for name in waiting) - sum(spent.values())
        gone = sum(self.expected[name] for name in ended) + sum(spent.values())
        pace = (now - self.started) / gone if gone > 30 else 1
        return left * min(max(pace, 0.2), 5)

    def line(self) -> str:
        """What runs now and how long it will still take."""
        names = ", ".join(
            f"{name} ({artifacts.duration(time.monotonic() - since)})"
            for name, since in self.running.items()
        )
        return f"{len(self.done)} of {len(self.planned)} done, about {artifacts.duration(self.seconds_left())} left; {names}"


def rule_name(job: str) -> str:
    """The Snakemake rule of a job."""
    return "job_" + re.sub(r"\W", "_", job)


def follow(
    command: list[str],
    environment: Mapping[str, str],
    log: Path,
    progress: Progress,
    lock: int,
    dry_run: bool,
) -> int:
    """Run Snakemake, its output into `log`; print what it means. Returns its exit status, 130 when
    interrupted.

    `lock`: descriptor of a locked file; the lock lives as long as Snakemake does.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with (
        open(log, "wb") as file,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            pass_fds=(lock,),
            cwd=paths.ROOT,
        ) as process,
    ):
        try:
            _read(process, file, progress, dry_run)
        except KeyboardInterrupt:
            _stop(process)
            print("\nStopped. The same command goes on where it was.")
            return 130
    return process.returncode


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
    print(f"To do:   {count}{kept}, about {artifacts.duration(progress.seconds_left())} on {cores}")
    if dry_run:
        print(
            "\n".join(
                f"  {name}  {artifacts.duration(progress.expected[name])}" for name in progress.planned
            )
        )
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
    mark = "FAILED" if failed else artifacts.duration(seconds)
    left = (
        f"about {artifacts.duration(progress.seconds_left())} left"
        if count < len(progress.planned)
        else ""
    )
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
