"""Expressions in pictures and video: detector, recogniser, annotation, app, each
a module of its own; the last needs the extra [study], videos need [video].

Imports neither Keras nor pandas nor matplotlib; `Recogniser` and `table` come by first use."""

__all__ = ["Recogniser", "annotation", "app", "detection", "recogniser", "table", "video"]


def __getattr__(name: str):
    if name in ("Recogniser", "table"):
        from fercore.recognition import recogniser

        return getattr(recogniser, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
