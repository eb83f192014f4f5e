"""Where things lie. Nothing is created here."""

import os
import re
from pathlib import Path

import platformdirs

ROOT = Path(__file__).resolve().parents[1]
IN_CLONE = (ROOT / "Snakefile").is_file()  # not where a wheel was installed
NOTEBOOKS = ROOT / "notebooks"
PARAMS = ROOT / "params"
OUTPUTS = ROOT / "outputs"
DATA = ROOT / "data"
_CACHE = ROOT / ".cache" if IN_CLONE else platformdirs.user_cache_path("fercore", appauthor=False)
CACHE = Path(os.environ.get("FERCORE_CACHE", _CACHE)).expanduser()


def outputs(profile: str) -> Path:
    """The folder in which the run named `profile` writes. Raises `ValueError` for a name that leads
    out of outputs/."""
    if not re.fullmatch(r"\w[\w-]*", profile):
        raise ValueError(
            f"profile {profile[:80]!r}: a name of letters, digits, - and _ expected, no path"
        )
    return OUTPUTS / profile


def check_clone() -> None:
    """Raises `ValueError` outside a clone of the study: a wheel brings neither notebooks nor
    parameters."""
    if not IN_CLONE:
        raise ValueError(
            "this command belongs to the study: clone its repository and use ./run_all.sh there; "
            "pip brings the recogniser alone"
        )
