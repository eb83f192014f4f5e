"""One notebook executed by papermill and exported as a page."""

import os
import sys
import tempfile
import traceback
from pathlib import Path

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from fercore import artifacts, paths
from fercore.workflow import pages


def execute(profile: str, notebook: str, executed: str, target: str, parameters: dict) -> int:
    """Execute `notebook` with `parameters` to `executed`, then export that to the page `target`.
    Returns 0; 1 when a cell fails, the kernel is killed or silent, or the page cannot be made: the
    error is printed and its line kept for `failure`. The executed copy stays."""
    line = Path(executed).with_suffix(".error")
    line.unlink(missing_ok=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            # sockets in a folder: a TCP port, once chosen, may be taken before the kernel listens
            kernel = {"transport": "ipc", "connection_file": f"{folder}/kernel.json"}
            how: dict = {"kernel_name": "python3", "config": Config(KernelManager=kernel)}
            how["iopub_timeout"] = 120  # s for the last outputs: 4 are few on a busy machine
            papermill.execute_notebook(notebook, executed, parameters, progress_bar=False, **how)
        pages.export(profile, Path(executed), Path(target))
        return 0
    except PapermillExecutionError as error:
        cell = f"cell [{error.exec_count}] `{_first_line(error.source)}`"
        reason = f"{cell}: {_first_line(f'{error.ename}: {error.evalue}')}"
        print(error, file=sys.stderr)
    except Exception as error:  # of the kernel: killed, or silent; or of the page
        killed = " (killed, out of memory?)" if isinstance(error, DeadKernelError) else ""
        reason = f"{type(error).__name__}: {_first_line(str(error))}{killed}"
        traceback.print_exc()
    artifacts.write_atomically(line, reason)
    return 1


def failure(folder: Path, job: str) -> str:
    """Why a job of the run in `folder` failed, in a line that names what to open."""
    copy = folder / "notebooks" / f"{job}.ipynb"
    line = copy.with_suffix(".error")
    if line.exists():
        return f"{job}: {line.read_text()}; open {os.path.relpath(copy, paths.ROOT)}"
    log = os.path.relpath(folder / "run.log", paths.ROOT)
    return f"{job}: ended without an error of its own (killed, out of memory?); see {log}"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
