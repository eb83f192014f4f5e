"""The machine and the code behind a result."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from fercore import paths

PACKAGES = ("keras", "tensorflow", "jax", "numpy", "opencv-python-headless", "scikit-learn")


def provenance() -> dict:
    """Code, versions and machine behind a result: git commit, whether it was dirty, packages,
    processor."""
    return {
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "versions": {"python": platform.python_version()} | {p: _version(p) for p in PACKAGES},
        "processor": _processor(),
        "cores": cores(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _git(*arguments: str) -> str | None:
    try:
        call = subprocess.run(
            ["git", "-C", paths.ROOT, *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return call.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )
