"""Where things lie. Nothing is created here."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
PARAMS = ROOT / "params"
OUTPUTS = ROOT / "outputs"
DATA = ROOT / "data"
CACHE = Path(os.environ.get("FERCORE_CACHE", ROOT / ".cache"))


def outputs(profile: str) -> Path:
    """The folder in which the run named `profile` writes. Raises `ValueError` for a name that leads
    out of outputs/."""
    if not re.fullmatch(r"\w[\w-]*", profile):
        raise ValueError(
            f"profile {profile[:80]!r}: a name of letters, digits, - and _ expected, no path"
        )
    return OUTPUTS / profile
