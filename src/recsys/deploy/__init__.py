"""Put a release into service, and take it back."""

from recsys.deploy.local import LocalSeldon, local_seldon
from recsys.deploy.lock import one_at_a_time
from recsys.deploy.port import Deployment, DeploymentTarget, ProbeRow
from recsys.deploy.targets import open_target

__all__ = [
    "Deployment",
    "DeploymentTarget",
    "LocalSeldon",
    "ProbeRow",
    "local_seldon",
    "one_at_a_time",
    "open_target",
]
