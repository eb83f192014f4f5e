"""A run to make pages of."""

import json

import pytest
from made_up_run import FIRST, start

from fercore import paths


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """The folder of the run `try` of two notebooks, in a project of its own."""
    for name in ("notebooks", "params/profiles", "docs"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("notebooks", "params", "outputs"):
        monkeypatch.setattr(paths, name.upper(), tmp_path / name)
    for name, text in (("01_look", FIRST), ("02_next", "# 02 · Next\n\n**Question.** And?")):
        source = {"cells": [{"cell_type": "markdown", "metadata": {}, "source": [text]}]}
        (tmp_path / f"notebooks/{name}.ipynb").write_text(json.dumps(source))
    (tmp_path / "params/profiles/try.yaml").write_text("description: a test")
    (tmp_path / "docs/methods.md").write_text("## Seeds")
    return start(tmp_path / "outputs", "embedded synthetic faces")
