"""The embedded data set: faces drawn by code, so that everything runs without FER2013."""
import cv2
import numpy as np

SIDE = 48


def arrays(train: int = 2100, validation: int = 420, test: int = 420, seed: int = 0):
    """Images uint8 [n, 48, 48], labels int8 [n], usage codes int8 [n]."""
    rng = np.random.default_rng(seed)
    usage = np.repeat(np.arange(3, dtype=np.int8), (train, validation, test))
    labels = (np.arange(len(usage)) % 7).astype(np.int8)
    images = np.empty((len(usage), SIDE, SIDE), np.uint8)
    for i, label in enumerate(labels.tolist()):
        image = np.full((SIDE, SIDE), 90, np.uint8)
        cv2.ellipse(image, (24, 25), (16, 20), 0, 0, 360, 180, -1, cv2.LINE_AA)
        for x in (17, 31):
            cv2.circle(image, (x, 20), 2 + label % 3, 40, -1, cv2.LINE_AA)
        cv2.ellipse(image, (24, 34), (7, 2 + label), 0, 180 * (label % 2), 180 + 180 * (label % 2), 60, 2, cv2.LINE_AA)
        image = np.roll(image, rng.integers(-3, 4, 2), (0, 1))
        images[i] = np.clip(image + rng.normal(0, 12, image.shape), 0, 255)
    return images, labels, usage


def faces(train: int = 2100, validation: int = 420, test: int = 420, seed: int = 0):
    """Synthetic `Faces`: `train` Training, `validation` PublicTest and `test` PrivateTest faces."""
    from fercore import datasets

    return datasets.from_arrays(*arrays(train, validation, test, seed), origin=datasets.SYNTHETIC_ORIGIN)
