"""Make `fercore/data/fer2013_facts.npz` anew from the real FER2013 and the FER+ votes.

    python benchmarks/pack_facts.py fer2013.csv fer2013new.csv [target.npz]

Facts only, no pixels; sources and licences are named in `fercore.data.fer2013`. Which rows hold the
original pixels and which a JPEG stand-in cannot be seen in one copy: that is taken over from the
facts packed now.
"""

import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from fercore import artifacts
from fercore.data import fer2013
from fercore.data.faces import from_arrays, pixel_hashes


def pack(faces: Path, votes: Path, target: Path) -> Path:
    """Write the facts of all rows of fer2013.csv, with the votes of fer2013new.csv."""
    images, labels, codes = fer2013.read_csv(faces)
    voted = pd.read_csv(votes)
    if list(voted.Usage) != list(from_arrays(images, labels, codes, "").usage):
        raise SystemExit(f"{votes.name}: Usage differs from that of {faces.name}")
    hashes = pixel_hashes(images)
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    short = (hashes >> np.uint64(32)).astype(np.uint32)
    if len(np.unique(short)) < len(first):
        raise SystemExit("32 bits of the hash do not tell all pictures apart")
    return artifacts.write_arrays(
        target,
        zipfile.ZIP_LZMA,
        labels=labels,
        codes=codes,
        hashes=short,
        groups=first[group].astype(np.int32),
        constant=images.max((1, 2)) == images.min((1, 2)),
        exact=fer2013.facts().exact,
        votes=voted[list(fer2013.VOTE_NAMES)].to_numpy(np.int8),
    )


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    print(pack(*map(Path, [*sys.argv[1:], fer2013.FILE][:3])))
