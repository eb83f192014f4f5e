"""A whole run: which notebooks, in which order, executed, exported as pages, published."""

__all__ = ["plan", "publish", "run"]
