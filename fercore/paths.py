"""Where things lie. Nothing is created here."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
PARAMS = ROOT / "params"
OUTPUTS = ROOT / "outputs"
DATA = ROOT / "data"
CACHE = Path(os.environ.get("FERCORE_CACHE", ROOT / ".cache"))


def outputs(profile: str) -> Path:
    """The folder in which the run named `profile` writes."""
    return OUTPUTS / profile
