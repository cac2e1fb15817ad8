"""`recsys batch`: the neighbours of every product of the live release, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recsys.artifacts.live import read_live
from recsys.cli.console import Json, console, print_json, progress_bars
from recsys.errors import ReleaseUnknown
from recsys.settings import load_settings
from recsys.stages.night import Night
from recsys.stages.score_catalog import score_catalog


def batch(
    out: Annotated[Path, typer.Option(help="The folder to write; it must not be there yet.")],
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Neighbours of each product.")] = 10,
    json: Json = False,
) -> None:
    """Write the nearest products of every product of the live release to Parquet files.

    For shops that answer from a cache. The folder appears when all is done, with a manifest.

    Example: recsys batch --k 10 --out neighbours
    """
    settings = load_settings()
    live = read_live(settings.releases_dir)
    if live is None:
        raise ReleaseUnknown("no release is live yet: run a night first (`recsys nightly`)")
    night = Night(settings, "0001-01-01", progress=progress_bars)
    scores = score_catalog(night, live, k, out.absolute())
    if json:
        print_json(scores.to_data())
    else:
        console.print(
            f"{scores.rows} neighbours of {scores.products} products of {live}"
            f" in {len(scores.files)} files: {out}"
        )
