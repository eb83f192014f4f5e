"""Many short trainings in one table: each row is written as it ends, and a sweep that was stopped
goes on."""

import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from fercore import artifacts
from fercore.data.faces import Faces


def sweep(
    path: Path, wanted: Sequence[dict], train: Callable[..., dict], description: str
) -> pd.DataFrame:
    """The rows `wanted`, by the values that name them, each with what `train(**row)` returns: read
    from the file `path` where they are in it, else trained and written there at once. A row that
    differs in `recipe` alone, or is from before rows had one, gives way."""
    done = _read(path)
    for key in artifacts.progress([key for key in wanted if not _found(done, key)], description):
        row = key | train(**key)
        former = _found(done, {name: value for name, value in key.items() if name != "recipe"})
        done = [one for one in done if one not in former] + [row]
        artifacts.write_atomically(path, pd.DataFrame(done).to_csv(index=False))
    return pd.DataFrame([_found(done, key)[0] for key in wanted])


def stored(path: Path, **key: str | int) -> pd.DataFrame:
    """The rows of the file `path` that have the values `key`; none where there is no such file."""
    return pd.DataFrame(_found(_read(path), key))


def data_of(faces: Faces) -> str:
    """What a row says of its faces, so that rows of other data in the file stay apart."""
    return f"{faces.origin}, {faces.fingerprint}"


def recipe_of(name: str, *values: dict | list) -> str:
    """What a row says of how it was trained: the recipe's `name` and a check sum of the plain
    `values` that training follows, so that a row from before they were edited is not taken."""
    return f"{name} {zlib.crc32(json.dumps(values, sort_keys=True).encode()):08x}"


def _read(path: Path) -> list[dict]:
    return pd.read_csv(path).to_dict("records") if path.exists() else []


def _found(done: list[dict], key: dict) -> list[dict]:
    return [row for row in done if all(row.get(name) == value for name, value in key.items())]
