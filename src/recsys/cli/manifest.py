"""`recsys manifest`: a release as Kubernetes would get it, as YAML."""

from __future__ import annotations

from typing import Annotated

import typer
import yaml

from recsys.artifacts.live import read_live
from recsys.cli.console import console
from recsys.deploy.manifest import predictor, seldon_deployment
from recsys.errors import ReleaseUnknown
from recsys.settings import load_settings


def manifest(
    release: Annotated[str, typer.Argument(help="The release; by default the live one.")] = "",
) -> None:
    """Print the SeldonDeployment of a release; nothing is deployed.

    Example: recsys manifest | kubectl diff --server-side --field-manager=recsys -f -
    """
    settings = load_settings()
    found = release or read_live(settings.releases_dir)
    if found is None:
        raise ReleaseUnknown("no release is live; name one of those that `recsys releases` lists")
    rendered = seldon_deployment(settings, predictor(settings, found, "live"))
    console.out(yaml.safe_dump(rendered, sort_keys=False, width=100), end="", highlight=False)
