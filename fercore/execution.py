"""One notebook executed by papermill and exported as a page."""
import sys
from pathlib import Path

import papermill
from papermill.exceptions import PapermillExecutionError

from fercore import report


def execute(profile: str, notebook: str, executed: str, target: str, parameters: dict) -> int:
    """Execute `notebook` with `parameters` to `executed`, then export that to the page `target`.

    Returns 0; 1 when a cell fails: the error is printed, and stands in `executed`, which is kept.
    Raises `report.ReportError`.
    """
    try:
        papermill.execute_notebook(notebook, executed, parameters, kernel_name="python3", progress_bar=False)
    except PapermillExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    report.export(profile, Path(executed), Path(target))
    return 0
