"""Data in, a matplotlib `Figure` out: `style` has what all figures share and those of faces and
trainings, `result_figures` those of predictions and systems. The colours stand here, apart from
matplotlib: the recogniser draws in them and must start fast."""

from collections.abc import Sequence

__all__ = ["CLASS_COLOURS", "SERIES_COLOURS", "colours", "result_figures", "style"]

# Paul Tol's bright scheme (https://sronpersonalpages.nl/~pault/), safe for the colour-blind
CLASS_COLOURS = {
    "Angry": "#EE6677",
    "Disgust": "#228833",
    "Fear": "#AA3377",
    "Happy": "#CCBB44",
    "Sad": "#4477AA",
    "Surprise": "#66CCEE",
    "Neutral": "#9A9A9A",
    "Contempt": "#5C3A21",
}
SERIES_COLOURS = ("#4477AA", "#EE7733", "#228833", "#AA3377", "#66CCEE", "#CCBB44", "#777777")


def colours(class_names: Sequence[str]) -> list[str]:
    """The colour of each class; a class of a user's own takes the next series colour."""
    return [
        CLASS_COLOURS.get(name, SERIES_COLOURS[k % len(SERIES_COLOURS)])
        for k, name in enumerate(class_names)
    ]
