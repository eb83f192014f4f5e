"""Data in, a matplotlib `Figure` out; one style and one palette."""

__all__ = ["palette", "result_figures", "style", "system_figures"]
