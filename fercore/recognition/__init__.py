"""Expressions in pictures and video: detector, recogniser, annotation, app.

Imports neither Keras nor pandas nor matplotlib."""

__all__ = ["annotation", "recogniser"]
