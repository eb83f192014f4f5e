"""One notebook executed by papermill and exported as a page."""

import sys
import tempfile
import traceback
from pathlib import Path

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from fercore.workflow import pages

# seconds to wait for a cell's last outputs once it has run: nbclient's 4 are few on a busy machine
SILENCE = 120


def execute(profile: str, notebook: str, executed: str, target: str, parameters: dict) -> int:
    """Execute `notebook` with `parameters` to `executed`, then export that to the page `target`.

    Returns 0; 1 when a cell fails: the error is printed, and stands in `executed`, which is kept; 1
    too, with a line that names the job, when its kernel is killed or does not answer. Raises
    `pages.ReportError`.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            papermill.execute_notebook(
                notebook,
                executed,
                parameters,
                kernel_name="python3",
                progress_bar=False,
                config=_kernel(Path(folder)),
                iopub_timeout=SILENCE,
            )
    except PapermillExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    except Exception as error:  # of the kernel: killed, or silent; papermill's own is above
        traceback.print_exc()
        killed = " (killed, out of memory?)" if isinstance(error, DeadKernelError) else ""
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}{killed}"
        print(f"fercore: {Path(executed).stem}: {reason}", file=sys.stderr)
        return 1
    pages.export(profile, Path(executed), Path(target))
    return 0


def _kernel(folder: Path) -> Config:
    """How to speak to the kernel: by sockets in `folder`; a TCP port, once chosen, may be taken
    before it listens."""
    connection = {} if sys.platform == "win32" else {"transport": "ipc"}
    return Config(KernelManager={"connection_file": str(folder / "kernel.json"), **connection})
