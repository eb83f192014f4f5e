"""What two networks in turn would bring: `compact_small` for all faces, `compact` once more for
those of which it is unsure.

python benchmarks/two_networks.py [--rounds 5] [--data PATH]; about three minutes

Unsure are the given share of PublicTest's faces with the smallest difference between the two
largest probabilities of `compact_small` (margin sampling, Scheffer et al. 2001). Printed: accuracy
on PublicTest, int8, prior `uniform`, and the best of the rounds of faces a second by 64 over all of
them. The threshold is chosen on the faces that are scored: one number, which hardly flatters.
"""

import argparse
import time

import numpy as np

from fercore.data import datasets
from fercore.recognition import inference

SHARES = (0.1, 0.2, 0.3, 0.35, 0.4, 0.5)


def margin(probabilities: np.ndarray) -> np.ndarray:
    """Difference between the two largest probabilities, [n] of [n, c]."""
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    return first - second


def in_turn(
    small: inference.Network, large: inference.Network, threshold: float, crops: np.ndarray
) -> np.ndarray:
    """Probabilities by `small`, and by `large` where the margin is at most `threshold`."""
    predicted = small.probabilities(crops)
    unsure = np.flatnonzero(margin(predicted) <= threshold)
    predicted[unsure] = large.probabilities(crops[unsure])
    return predicted


def main() -> None:
    """Measure the networks alone and in turn, and print a line for each."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--data", default=None)
    options = arguments.parse_args()
    faces = datasets.load(options.data)
    faces = faces.select(np.flatnonzero(faces.usage == "PublicTest"))
    small = inference.load("compact_small")
    margins = margin(small.probabilities(faces.images))
    sides = {"compact_small": small.probabilities}
    for views in (1, 2):
        large = inference.load("compact", views=views)
        sides[f"compact, views {views}"] = large.probabilities
        for share in SHARES:
            threshold = float(np.quantile(margins, share))
            sides[f"in turn, {share:.0%} by compact, views {views}"] = (
                lambda crops, large=large, threshold=threshold: in_turn(
                    small, large, threshold, crops
                )
            )
    rates, right = dict.fromkeys(sides, 0.0), {}
    for _ in range(options.rounds):
        for name, predict in sides.items():
            start = time.perf_counter()
            labels = [predict(faces.images[k : k + 64]).argmax(1) for k in range(0, len(faces), 64)]
            rates[name] = max(rates[name], len(faces) / (time.perf_counter() - start))
            right[name] = np.mean(np.concatenate(labels) == faces.labels)
    for name, rate in rates.items():
        print(f"{name:35} {right[name]:6.1%} {rate:7,.0f} faces/s")


if __name__ == "__main__":
    main()
