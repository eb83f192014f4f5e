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
WEIGHTS = Path(__file__).parent / "recognition" / "weights"  # of the network that is shipped
_CACHE = ROOT / ".cache" if IN_CLONE else platformdirs.user_cache_path("fercore", appauthor=False)
CACHE = Path(os.environ.get("FERCORE_CACHE", _CACHE)).expanduser()


def outputs(profile: str) -> Path:
    """The folder of a profile's run. Raises `ValueError` for a name that leads out of outputs/."""
    if not re.fullmatch(r"\w[\w-]*", profile):
        raise ValueError(f"profile {profile[:80]!r}: a name of letters, digits, - and _ expected")
    return OUTPUTS / profile


def place(path: Path) -> str:
    """A path as messages name it: from the project's folder."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
