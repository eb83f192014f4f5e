"""What a kernel shows where a person looks on."""

import nbformat
from nbclient import NotebookClient

IMPORTS = "from fercore import artifacts\nfrom fercore.training import trainer"
WORK = """\
for _ in artifacts.progress(range(3), "three steps"):
    pass
import os
os.write(2, b"what compiled code says later")
print("done")"""


def executed(monkeypatch, *cells):
    """The outputs of each cell, by a kernel of its own that is not told to be quiet, nor that this
    is a test."""
    for name in ("PAPERMILL", "NBCONVERT", "PYTEST_CURRENT_TEST"):
        monkeypatch.delenv(name, raising=False)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells]
    )
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return [cell.outputs for cell in notebook.cells]


def test_tensorflows_greetings_stay_out_and_progress_is_text(monkeypatch):
    imports, work = executed(monkeypatch, IMPORTS, WORK)
    assert imports == []
    assert {output.output_type for output in work} == {"stream"}  # no widget
    said = {output.name: output.text for output in work}
    assert said["stdout"].strip() == "done" and said["stderr"] == "what compiled code says later"
