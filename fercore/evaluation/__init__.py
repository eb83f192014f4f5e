"""What predictions are worth: scores and metrics, averages of networks and the study's ensemble,
comparisons, tables. Never trains; imports neither Keras nor matplotlib."""

__all__ = ["aggregates", "comparison", "metrics", "scoring", "tables"]
