"""Descriptors of a face: SIFT words, dense SIFT, HOG, landmarks; cached arrays and Keras layers."""

__all__ = ["descriptors", "hog", "landmarks", "sift"]
