"""A whole run: which notebooks, in which order, executed, exported as pages, published; the tables
of the documents, and the verdict on each system."""

__all__ = ["documents", "plan", "publish", "run"]
