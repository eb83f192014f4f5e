"""A wing's first lines name what is inside and what notebooks call."""

import importlib
import importlib.util
import json
import re

import pytest

from fercore import paths

WINGS = sorted(path.parent.name for path in paths.ROOT.glob("fercore/*/__init__.py"))


def called(wing: str) -> set[str]:
    """What notebooks import from a wing."""
    found = set()
    for path in paths.NOTEBOOKS.glob("*.ipynb"):
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["source"]]
        code = "\n".join("".join(one["source"]) for one in cells if one["cell_type"] == "code")
        for names in re.findall(rf"^ *from fercore\.{wing} import (.+)", code, re.MULTILINE):
            found |= {name.split()[0] for name in names.split("#")[0].split(",")}
    return found


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_names_what_notebooks_call(wing):
    module = importlib.import_module(f"fercore.{wing}")
    assert called(wing) <= set(module.__all__) and 1 <= module.__doc__.count("\n") + 1 <= 4
    for name in module.__all__:
        spec = f"fercore.{wing}.{name}"
        assert name in vars(module) or importlib.util.find_spec(spec) or hasattr(module, name)
