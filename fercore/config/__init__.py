"""What stands in `params/`: profiles, networks, recipes and aggregates, read and checked before
anything runs."""

__all__ = ["parameters", "recipes"]
