"""What predictions are worth: metrics, aggregates, the ensemble, comparisons, costs, tables. Never
trains."""

__all__ = [
    "aggregation",
    "changes",
    "comparison",
    "costs",
    "ensemble",
    "learning_curve",
    "metrics",
    "scoring",
    "tables",
]
