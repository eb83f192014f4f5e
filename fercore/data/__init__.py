"""Faces and what is known of them: FER2013 and its packed facts, splits, duplicates, augmentation;
the reader of pictures, folders of a user's own, and the embedded synthetic faces."""

__all__ = ["augmentation", "datasets", "fer2013", "pictures", "splits", "synthetic"]
