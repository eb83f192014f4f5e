"""How much faster descriptors are than system A's way: both measured in one run, on the same faces,
in turns.

python benchmarks/descriptors.py [faces]      200 faces by default; FER2013 when it is found, else
synthetic faces

System A's way, transcribed: each face is read from a JPEG file, an extractor and keypoints are made
for it, dense SIFT values are collected one by one, the word of each keypoint is predicted by a call
of its own. 'in memory' is the same without the files. The vocabulary is there before the clock
starts, for all. Ratios are medians of three rounds; those of processor time leave out what the
second core brings, and what other programs take of the machine.

Then system E's features: HOG against calls of scikit-image, one for each window as system E makes
them, and how long both views of all of FER2013 take, landmarks included where dlib is installed.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from skimage import feature
from sklearn.cluster import MiniBatchKMeans

from fercore.data import datasets
from fercore.features import descriptors, hog, landmarks, sift

ROUNDS = 3


def dense_one_by_one(pictures: list[np.ndarray]) -> np.ndarray:
    """System A's dense SIFT: everything made anew for each picture, values collected one by one."""
    collected = []
    for picture in pictures:
        keypoints = []
        for x in range(6, picture.shape[0], 12):
            for y in range(6, picture.shape[1], 12):
                keypoints.append(cv2.KeyPoint(float(x), float(y), 12))
        descriptors = cv2.SIFT_create().compute(picture, keypoints)[1]
        values = []
        for descriptor in descriptors:
            for value in descriptor:
                values.append(value)
        collected.append(values)
    return np.array(collected)


def words_one_by_one(pictures: list[np.ndarray], clusters: MiniBatchKMeans) -> np.ndarray:
    """System A's histograms: one call of `predict` for each keypoint."""
    histograms = []
    for picture in pictures:
        keypoints, descriptors = cv2.SIFT_create().detectAndCompute(picture, None)
        histogram = np.zeros(clusters.n_clusters)
        for descriptor in [] if descriptors is None else descriptors:
            histogram[clusters.predict([descriptor])] += 1 / len(keypoints)
        histograms.append(histogram)
    return np.array(histograms)


def from_files(compute: Callable, files: list[str], *arguments) -> np.ndarray:
    """`compute` of the pictures in `files`, read as system A reads them: JPEG, in colour."""
    return compute([cv2.imread(file) for file in files], *arguments)


def seconds(call: Callable) -> tuple[np.ndarray, np.ndarray]:
    """Seconds that `call()` takes, wall and processor, and what it returns."""
    start = np.array([time.perf_counter(), time.process_time()])
    result = call()
    return np.array([time.perf_counter(), time.process_time()]) - start, result


def as_clusters(vocabulary: sift.VisualWords) -> MiniBatchKMeans:
    """The vocabulary as the k-means model that system A pickles."""
    centres = vocabulary.centres_.astype(float)
    clusters = MiniBatchKMeans(len(centres), init=centres, n_init=1, max_iter=1).fit(centres)
    clusters.cluster_centers_ = centres
    return clusters


def compare(name: str, theirs: Callable, in_memory: Callable, ours: Callable) -> None:
    """Measure three ways in turns and print their ratios."""
    rounds = []
    for _ in range(ROUNDS):
        (files, _), (memory, slow), (here, fast) = (
            seconds(theirs),
            seconds(in_memory),
            seconds(ours),
        )
        rounds.append((files, memory, here))
    totals = np.maximum(fast.sum(axis=1, keepdims=True, dtype=int), 1) if slow.max() <= 1 else 1
    print(f"\n{name}; the same values as in memory: {np.allclose(slow, fast / totals)}")
    files, memory, here = np.median(rounds, axis=0)
    for k, kind in enumerate(("wall", "processor")):
        ratios = [np.median([each[way][k] / each[2][k] for each in rounds]) for way in (0, 1)]
        print(
            f"  {kind:9} system A {files[k]:7.2f} s, in memory {memory[k]:7.2f} s, "
            f"here {here[k]:6.3f} s: {ratios[0]:5.1f} times as fast as system A, "
            f"{ratios[1]:5.1f} as in memory"
        )


def hog_one_by_one(images: np.ndarray) -> np.ndarray:
    """System E's sliding HOG: a call of scikit-image for each window that holds a cell."""
    starts = [(y, x) for y in range(0, 42, 6) for x in range(0, 42, 6)]
    windows = [[image[y : y + 24, x : x + 24] for y, x in starts] for image in images]
    return np.array(
        [
            np.concatenate([feature.hog(w, 8, (8, 8), (1, 1), "L2") for w in each])
            for each in windows
        ]
    )


def compare_hog(images: np.ndarray) -> None:
    """Measure sliding HOG both ways in turns and print the ratios."""
    rounds = []
    for _ in range(ROUNDS):
        slow, expected = seconds(lambda: hog_one_by_one(images))
        fast, found = seconds(lambda: hog.hog_windows(images))
        rounds.append((slow, fast))
    slow, fast = np.median(rounds, axis=0)
    print(f"\nsliding HOG; largest difference {np.abs(expected - found).max():.1e}")
    for k, kind in enumerate(("wall", "processor")):
        ratio = np.median([before[k] / after[k] for before, after in rounds])
        print(
            f"  {kind:9} scikit-image {slow[k]:7.2f} s, here {fast[k]:6.3f} s: "
            f"{ratio:5.1f} times as fast"
        )


def time_features(images: np.ndarray) -> None:
    """Seconds that both views of all of FER2013 take, computed from the faces at hand; the best of
    three rounds."""
    for name in ("landmarks", "hog", "hog_windows"):
        compute = partial(descriptors.DESCRIPTORS[name], images)
        try:
            rounds = [seconds(compute)[0] for _ in range(ROUNDS)]
        except landmarks.LandmarksMissing as error:
            print(error)
            continue
        wall, processor = 2 * np.min(rounds, axis=0) / len(images) * 35_887
        print(
            f"{name:12} {wall:6.0f} s wall, {processor:6.0f} s processor "
            "for both views of 35,887 faces"
        )


def main(n: int) -> None:
    faces = datasets.load()
    print(f"{faces.origin}, {n} faces, {ROUNDS} rounds, OpenCV {cv2.__version__}")
    sample = np.random.default_rng(0).permutation(len(faces))[:n]
    images = faces.images[sample]
    vocabulary = sift.VisualWords().fit(faces.images[:2000])
    clusters = as_clusters(vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / f"{row}.jpg") for row in sample]
        for file, image in zip(files, images, strict=True):
            cv2.imwrite(file, image)
        compare(
            "dense SIFT",
            lambda: from_files(dense_one_by_one, files),
            lambda: dense_one_by_one(images),
            lambda: sift.dense_sift(images),
        )
        compare(
            "visual words",
            lambda: from_files(words_one_by_one, files, clusters),
            lambda: words_one_by_one(images, clusters),
            lambda: vocabulary.transform(images),
        )
    compare_hog(images)
    print()
    time_features(images)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
