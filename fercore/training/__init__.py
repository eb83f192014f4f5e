"""The trainer, experiments (one network, split and seed), soft targets, short sweeps, search for
hyper-parameters, and the loader of trained models."""

__all__ = ["experiments", "lessons", "loading", "prediction", "search", "sweeps", "trainer"]
