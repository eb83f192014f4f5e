"""Faces and what is known of them: FER2013 and its readers, fingerprints, FER+ votes, splits, augmentation.

Also folders of one"s own pictures and the embedded synthetic faces."""

__all__ = [
    "augmentation",
    "datasets",
    "faces",
    "ferplus",
    "fingerprints",
    "image_folders",
    "pictures",
    "splits",
    "synthetic",
]
