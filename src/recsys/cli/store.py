"""`recsys store`: check every stored byte, and free what nothing needs."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer
from rich.filesize import decimal

from recsys.cli.console import Json, console, print_json, progress_bars
from recsys.errors import StoreDamaged
from recsys.provenance import Damage
from recsys.provenance.embedded import EmbeddedStore
from recsys.settings import load_settings
from recsys.stages.collect_garbage import Freed, collect_garbage
from recsys.stages.night import Night

app = typer.Typer(
    name="store",
    no_args_is_help=True,
    help="The data store: check every byte, free what nothing needs.",
)

_NAMED = 5


@app.command()
def verify(json: Json = False) -> None:
    """Read everything again, compare it with its SHA-256 and name what is damaged.

    Exit code 3 when something is. Restore the named file from a copy of the store; commits
    that do not use it are sound.

    Example: recsys store verify --json > verified.json
    """
    store = _night().store
    if isinstance(store, EmbeddedStore):
        with progress_bars("re-hashing contents", _blobs_of(store)) as advance:
            damages = store.verify(advance)
    else:
        damages = store.verify()
    if json:
        print_json({"sound": not damages, "damaged": [dataclasses.asdict(one) for one in damages]})
    else:
        for damage in damages:
            console.print(_line(damage))
        if not damages:
            console.print("every content has its SHA-256")
    if damages:
        raise typer.Exit(StoreDamaged.exit_code)


@app.command()
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    json: Json = False,
) -> None:
    """Free the content, release folders and scratch files that nothing needs any more.

    What stays: the newest commit of everything; the newest RECSYS_KEEP_NIGHTS nights; the
    newest RECSYS_KEEP_RELEASES releases, the live one, the one before it and those that
    `recsys releases --pin` named, with all that they were made of. Commits themselves always
    stay, so traces do too; opening a file whose content went says when it was collected. Safe
    while nights run. Pin a release that is tried on a cluster beside the live one.

    Example: recsys store gc --dry-run
    Example: RECSYS_KEEP_NIGHTS=30 recsys store gc
    """
    freed = collect_garbage(_night(), dry_run=dry_run)
    if json:
        print_json({"dry_run": dry_run, **_data(freed)})
        return
    for line in _lines(freed, "would free" if dry_run else "freed"):
        console.print(line)


def _night() -> Night:
    return Night(load_settings(), "0001-01-01")


def _blobs_of(store: EmbeddedStore) -> int:
    try:
        return store.blob_count()
    except StoreDamaged:
        return 0  # `verify` says what is wrong with the catalogue


def _line(damage: Damage) -> str:
    files = ", ".join(damage.affected) or "every commit"
    return f"{damage.file}: {damage.problem}; affects {files}"


def _data(freed: Freed) -> dict[str, Any]:
    return dataclasses.asdict(freed)


def _lines(freed: Freed, verb: str) -> list[str]:
    store = freed.store
    return [
        f"{verb} {decimal(store.bytes_before - store.bytes_after)} of {store.blobs} contents:"
        f" the store {decimal(store.bytes_before)} → {decimal(store.bytes_after)},"
        f" {store.files_before} → {store.files_after} files",
        f"{verb} {decimal(freed.release_bytes)} of {len(freed.releases)} release folders"
        f"{_some(freed.releases)}",
        f"{verb} {decimal(freed.scratch_bytes)} of {len(freed.scratch)} scratch files"
        f"{_some(freed.scratch)}",
        *([f"{verb} {freed.changes} changes that every release has"] if freed.changes else []),
    ]


def _some(found: tuple[str, ...]) -> str:
    shown = ", ".join(found[:_NAMED])
    return f": {shown}{' …' if len(found) > _NAMED else ''}" if found else ""
