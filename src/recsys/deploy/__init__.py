"""Put a release into service, and take it back."""

from recsys.deploy.local import PROBE_PUID, LocalSeldon
from recsys.deploy.port import Deployment, DeploymentTarget, ProbeRow

__all__ = ["PROBE_PUID", "Deployment", "DeploymentTarget", "LocalSeldon", "ProbeRow"]
