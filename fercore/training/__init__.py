"""The trainer, experiments (one network, split and seed), soft targets, sweeps, hyper-parameter
search."""

__all__ = [
    "ablation",
    "batch_normalisation",
    "experiments",
    "one_budget",
    "prediction",
    "search",
    "trainer",
]
