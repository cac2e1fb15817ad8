"""Which target the settings ask for; only that one's libraries are loaded."""

from __future__ import annotations

from recsys.deploy.local import local_seldon
from recsys.deploy.port import DeploymentTarget
from recsys.errors import SettingsInvalid
from recsys.settings import Settings


def open_target(settings: Settings) -> DeploymentTarget:
    """Where releases are served.

    Raises
    ------
    SettingsInvalid
        Kubernetes is asked for, and its client is not installed or finds no cluster.
    """
    if settings.deploy_target == "local":
        return local_seldon(settings)
    try:
        from recsys.deploy.kubernetes import seldon_on_kubernetes
    except ModuleNotFoundError as error:
        raise SettingsInvalid(
            f"RECSYS_DEPLOY_TARGET is kubernetes, and {error.name} is not installed: install"
            " locks/cluster.txt, or the extra `cluster`"
        ) from error
    return seldon_on_kubernetes(settings)
