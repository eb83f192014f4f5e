"""Descriptors of a face: SIFT words, dense SIFT, HOG and landmarks. `descriptors` computes them by
name and keeps them in the cache; `layers` computes dense SIFT and HOG inside a network."""

__all__ = ["descriptors", "hog", "landmarks", "layers", "sift"]
