"""Notebooks executed by forked workers: as by any other process, and none outlives who waits for
it."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from fercore.config import parameters
from fercore.workflow import run, workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")


@pytest.fixture(scope="module")
def served():
    """The environment of a run with a server that listens, on synthetic faces: who calls sooner
    does without it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FER2013", "synthetic")
        run.prepare(parameters.profile("smoke"))
        with workers.server(training=False, environment=run.QUIET) as variables:
            until = time.monotonic() + 60
            while not os.path.exists(variables[workers.ADDRESS]) and time.monotonic() < until:
                time.sleep(0.01)
            yield os.environ | run.QUIET | variables


def start(folder, environment, *lines):
    """A process that executes a notebook whose cell has these lines."""
    new = nbformat.v4
    tagged = new.new_code_cell("place: str = ''", metadata={"tags": ["parameters"]})
    cells = [new.new_markdown_cell("# Try"), tagged, new.new_code_cell("\n".join(lines))]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new.new_notebook(cells=cells, metadata=kernel), folder / "try.ipynb")
    command = [
        sys.executable,
        "-m",
        "fercore",
        "execute",
        "smoke",
        "try.ipynb",
        "done.ipynb",
        "page.html",
    ]
    return subprocess.Popen(
        [*command, json.dumps({"place": str(folder)})],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


TELL = (
    "import os, sys",
    "import matplotlib.pyplot as plt",
    "from pathlib import Path",
    "Path(place, 'kernel').write_text(str(os.getpid()))",
    "print('ran', 'fercore.tables' in sys.modules)",
)


@pytest.mark.parametrize("forked", [True, False])
def test_a_notebook_is_executed_and_exported(forked, served, tmp_path):
    environment = served if forked else {k: v for k, v in served.items() if k != workers.ADDRESS}
    process = start(
        tmp_path,
        environment,
        *TELL,
        "figure, axes = plt.subplots()",
        "import ipykernel",
        "print('by', ipykernel.get_connection_info(unpack=True)['transport'])",
    )
    assert process.wait(timeout=120) == 0, process.stderr.read()
    page = (tmp_path / "page.html").read_text()
    assert "by ipc" in page  # no port that may be taken before the kernel listens
    assert (
        f"ran {forked}" in page and "data:image/png;base64," in page
    )  # the libraries were there, or not


def test_a_failing_cell_is_told_and_kept(served, tmp_path):
    process = start(tmp_path, served, "1 / 0")
    assert process.wait(timeout=120) == 1
    assert "ZeroDivisionError" in process.stderr.read()
    assert "ZeroDivisionError" in (tmp_path / "done.ipynb").read_text()
    assert not (tmp_path / "page.html").exists()


def test_a_kernel_ends_with_who_waits_for_it(served, tmp_path):
    process = start(tmp_path, served, *TELL, "import time", "time.sleep(600)")
    kernel = awaited(tmp_path / "kernel")
    process.kill()
    until(lambda: not Path("/proc", kernel).exists())


def test_a_killed_kernel_fails_its_notebook(served, tmp_path):
    process = start(tmp_path, served, *TELL, "import time", "time.sleep(600)")
    os.kill(int(awaited(tmp_path / "kernel")), 9)
    assert process.wait(timeout=60) == 1
    assert (
        "fercore: done: DeadKernelError: Kernel died (killed, out of memory?)"
        in process.stderr.read()
    )


def test_without_its_server_a_notebook_is_executed_all_the_same(served, tmp_path):
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(tmp_path / "socket"))
    process = start(tmp_path, served | {workers.ADDRESS: str(tmp_path / "socket")}, *TELL)
    assert process.wait(timeout=120) == 0, process.stderr.read()
    assert "ran False" in (tmp_path / "page.html").read_text()


def awaited(path):
    """The text of a file, once it is there."""
    until(lambda: path.exists() and path.read_text())
    return path.read_text()


def until(condition, seconds=60):
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
