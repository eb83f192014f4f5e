"""Expressions in pictures and video (extra [video]), and an app (extra [study]). Imports neither
Keras nor pandas nor matplotlib; `Recogniser` and `table` come by first use."""

__all__ = ["Recogniser", "annotation", "detection", "inference", "recogniser", "table", "video"]


def __getattr__(name: str):
    if name in ("Recogniser", "table"):
        from fercore.recognition import recogniser

        return getattr(recogniser, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
