"""What stands in `params/` and in the parameters cells of notebooks: read and checked before
anything runs. The constants here are valid values that other wings share; they cost no import."""

__all__ = ["parameters", "reading", "recipes"]

SIDE = 48  # pixels of a face of FER2013 along each side
NORMALISATIONS = ("standardise", "unit", "raw")  # of light, as `augmentation.normalise` takes them
VIEWS = (1, 2, 10)  # the face; with its mirror image; both as they are, smaller, larger and turned
DEFAULT_VIEWS = 2  # that the recogniser averages
