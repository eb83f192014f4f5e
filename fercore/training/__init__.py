"""The trainer and its callbacks, experiments (one network, split and seed), lessons (the steps that
notebooks share), fine-tuning, short sweeps, search for hyper-parameters, loading trained models."""

__all__ = [
    *("callbacks", "experiments", "fine_tuning", "lessons", "loading", "prediction", "search"),
    *("sweeps", "trainer"),
]
