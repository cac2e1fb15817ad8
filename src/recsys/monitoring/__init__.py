"""What the service did, from its own log."""

from recsys.monitoring.figures import service_figures

__all__ = ["service_figures"]
