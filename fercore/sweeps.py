"""Many short trainings in one table: each row is written as it ends, and a sweep that was stopped goes on."""
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from fercore import runs
from fercore.faces import Faces


def sweep(path: Path, wanted: Sequence[dict], train: Callable[..., dict], description: str) -> pd.DataFrame:
    """The rows `wanted`, by the values that name them, each with what `train(**row)` returns: read from the file
    `path` where they are in it, else trained and written there at once."""
    done = pd.read_csv(path).to_dict("records") if path.exists() else []
    for key in runs.progress([key for key in wanted if not _found(done, key)], description):
        done.append(key | train(**key))
        runs.write_atomically(path, pd.DataFrame(done).to_csv(index=False))
    return pd.DataFrame([_found(done, key)[0] for key in wanted])


def data_of(faces: Faces) -> str:
    """What a row says of its faces, so that rows of other data in the file stay apart."""
    return f"{faces.origin}, {faces.fingerprint}"


def _found(done: list[dict], key: dict) -> list[dict]:
    return [row for row in done if all(row.get(name) == value for name, value in key.items())]
