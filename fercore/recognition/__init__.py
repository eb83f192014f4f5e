"""Expressions in pictures and video: detector, recogniser, annotation, app, each
a module of its own; the last needs the extra [study], videos need [video].

Imports neither Keras nor pandas nor matplotlib."""

__all__ = ["annotation", "app", "detection", "recogniser", "video"]
