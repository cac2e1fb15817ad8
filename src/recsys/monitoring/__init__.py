"""What the service did, from its own log."""

from recsys.monitoring.figures import service_figures
from recsys.monitoring.search import LoggedRequest, Reach, find_request, requests_with

__all__ = ["LoggedRequest", "Reach", "find_request", "requests_with", "service_figures"]
