"""Put a release into service, and take it back."""

from recsys.deploy.local import LocalSeldon
from recsys.deploy.port import Deployment, DeploymentTarget, ProbeRow

__all__ = ["Deployment", "DeploymentTarget", "LocalSeldon", "ProbeRow"]
