"""The trainer and its callbacks, experiments (one network, split and seed), lessons (the steps that
notebooks share), fine-tuning, short sweeps, loading trained models."""

__all__ = [
    *("callbacks", "experiments", "fine_tuning", "lessons", "loading", "prediction", "sweeps"),
    "trainer",
]
