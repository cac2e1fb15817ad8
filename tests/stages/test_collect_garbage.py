"""What `recsys store gc` keeps and frees, and what `recsys store verify` says."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from changes.changed import delist
from recsys import names
from recsys.artifacts.base import ARTIFACT_FILE
from recsys.artifacts.live import write_live
from recsys.artifacts.model import Mode, TrainingPlan
from recsys.artifacts.release import Release
from recsys.changes import Spool
from recsys.cli.main import command_line
from recsys.errors import BadInput, ContentRemoved
from recsys.release import pin, record_event, unpin
from recsys.settings import Settings, load_settings
from recsys.stages.collect_garbage import collect_garbage
from recsys.stages.night import Night
from recsys.stages.retire_releases import retire_releases
from recsys.stages.task import Task
from recsys.stages.trace import trace
from serving_release import make_release

YESTERYEAR = time.time() - 400 * 24 * 3600


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path, keep_nights=2, keep_releases=2)


def catalog_of(settings: Settings, date: str) -> str:
    """Commit one night's catalog; returns its ref."""
    night = Night(settings, date)
    night.store.ensure_repo(names.CATALOG)
    message = json.dumps({"night": date})
    with night.store.commit(names.CATALOG, message=message, replace=True) as writer:
        writer.put("/night", date.encode())
    return writer.ref


def release_of(settings: Settings, date: str, seed: int, catalog: str) -> tuple[Release, str]:
    """Commit one night's release, made of a catalog; returns it with its ref."""
    made = make_release(settings.releases_dir, seed=seed)
    parameters = {"seed": seed}
    task = Task(
        Night(settings, date), "assemble_release", [catalog], parameters, rooms=("release",)
    )
    return made, task.publish(made, [("/seed", b"seed %d" % seed)]).ref


def grow_old(path: Path) -> None:
    for part in (*path.rglob("*"), path):
        os.utime(part, (YESTERYEAR, YESTERYEAR))


def is_there(settings: Settings, ref: str, path: str) -> bool:
    try:
        Night(settings, "2026-01-01").read(ref, path)
    except ContentRemoved:
        return False
    return True


def collect(settings: Settings, *, dry_run: bool = False):
    return collect_garbage(Night(settings, "0001-01-01"), dry_run=dry_run)


def test_the_newest_nights_stay_and_older_ones_keep_their_lineage(settings: Settings) -> None:
    refs = [catalog_of(settings, f"2026-01-{day:02}") for day in range(1, 6)]
    assert collect(settings).store.blobs == 3
    assert [is_there(settings, ref, "/night") for ref in refs] == [False] * 3 + [True] * 2
    store = Night(settings, "2026-01-01").store
    assert [file.path for file in store.files(refs[0])] == ["/night"]


def test_what_people_decided_stays_whatever_its_age(settings: Settings) -> None:
    night = Night(settings, "2026-01-01")
    night.store.ensure_repo(names.OVERRIDES)
    refs = []
    for day in range(5):
        message = json.dumps({"night": f"2020-01-0{day + 1}"})
        with night.store.commit(names.OVERRIDES, message=message, replace=True) as writer:
            writer.put(ARTIFACT_FILE, b"%d" % day)
        refs.append(writer.ref)
    collect(settings)
    assert all(is_there(settings, ref, ARTIFACT_FILE) for ref in refs)


def test_releases_stay_with_all_they_were_made_of(settings: Settings) -> None:
    made = []
    for day in range(1, 7):
        catalog = catalog_of(settings, f"2026-01-{day:02}")
        made.append((*release_of(settings, f"2026-01-{day:02}", day, catalog), catalog))
    for day in range(7, 10):
        catalog_of(settings, f"2026-01-{day:02}")  # nights without a release
    live, before = made[2][0], made[1][0]
    write_live(settings.releases_dir, live.id)
    record_event(
        settings.releases_dir, event="rolled_back", release=live.id, previous=before.id, why="test"
    )
    pin(settings.releases_dir, made[0][0].id, "ada", "the first one")
    for release, _, _ in made:
        grow_old(settings.releases_dir / release.id)

    freed = collect(settings)

    kept = [True, True, True, False, True, True]  # pinned, before, live, and the two newest
    assert [is_there(settings, ref, "/seed") for _, ref, _ in made] == kept
    assert [is_there(settings, catalog, "/night") for _, _, catalog in made] == kept
    assert [(settings.releases_dir / release.id).is_dir() for release, _, _ in made] == kept
    assert freed.releases == (made[3][0].id,)
    assert freed.release_bytes > 0
    assert sorted(path.name for path in settings.releases_dir.iterdir() if path.is_dir()) == sorted(
        {*(release.id for (release, _, _), stays in zip(made, kept, strict=True) if stays), "live"}
    )

    unpin(settings.releases_dir, made[0][0].id, "ada", "")
    assert collect(settings).releases == (made[0][0].id,)
    assert not is_there(settings, made[0][2], "/night")


@pytest.mark.parametrize(("mode", "stays"), [("fine_tune", True), ("full", False)])
def test_a_model_that_a_kept_one_was_fine_tuned_from_stays(
    settings: Settings, mode: Mode, stays: bool
) -> None:
    old = model_of(settings, "2026-01-01", catalog_of(settings, "2026-01-01"))
    plan = TrainingPlan(
        validated="validated@" + "a" * 32,
        split="splits@" + "a" * 32,
        mode=mode,
        reasons=("test",),
        champion=old,
        learned=old,
        last_full=old,
        fine_tunings=0,
        figures={},
    )
    catalog = catalog_of(settings, "2026-01-02")
    task = Task(Night(settings, "2026-01-02"), "plan_training", [catalog], {}, rooms=("planning",))
    model = model_of(settings, "2026-01-02", task.publish(plan).ref)
    release_of(settings, "2026-01-02", 1, model)
    for day in range(3, 6):
        model_of(settings, f"2026-01-0{day}", catalog_of(settings, f"2026-01-0{day}"))
    collect(settings)
    assert is_there(settings, model, "/weights")
    assert is_there(settings, old, "/weights") is stays


def model_of(settings: Settings, date: str, made_of: str) -> str:
    """Commit one night's model, on a branch for what it was made of; returns its ref."""
    store = Night(settings, date).store
    store.ensure_repo(names.MODELS)
    branch = names.parse_ref(made_of)[0]
    message = json.dumps({"night": date})
    inputs = [made_of]
    with store.commit(
        names.MODELS, inputs=inputs, message=message, branch=branch, replace=True
    ) as writer:
        writer.put("/weights", date.encode())
    return writer.ref


def test_a_night_takes_old_releases_off_the_shelf_and_leaves_them_in_the_store(
    settings: Settings,
) -> None:
    made = [
        release_of(settings, date, seed, catalog_of(settings, date))
        for seed, date in enumerate(("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"))
    ]
    unknown = make_release(settings.releases_dir, seed=9)
    pin(settings.releases_dir, made[0][0].id, "ada", "the first one")
    for release in (unknown, *(release for release, _ in made[:3])):
        grow_old(settings.releases_dir / release.id)
    gone = made[1]
    assert retire_releases(Night(settings, "2026-01-04")) == (gone[0].id,)
    assert not (settings.releases_dir / gone[0].id).exists()
    assert is_there(settings, gone[1], "/seed")
    assert (settings.releases_dir / unknown.id).is_dir()
    assert retire_releases(Night(settings, "2026-01-04")) == ()


def test_a_release_whose_content_went_is_still_traced_to_its_catalog(settings: Settings) -> None:
    catalogs = [catalog_of(settings, f"2026-01-{day:02}") for day in range(1, 7)]
    made = [
        release_of(settings, f"2026-01-{day:02}", day, catalog)
        for day, catalog in enumerate(catalogs, start=1)
    ]
    collect(settings)
    oldest, ref = made[0]
    assert not is_there(settings, ref, ARTIFACT_FILE)
    found = trace(Night(settings, "0001-01-01"), oldest.id)
    assert found.subject.id == ref
    assert [node.id for node in found.graph.origins(ref)] == [catalogs[0]]


def test_a_young_release_folder_may_not_be_committed_yet(settings: Settings) -> None:
    catalog_of(settings, "2026-01-01")
    young = make_release(settings.releases_dir, seed=1)
    assert collect(settings).releases == ()
    assert (settings.releases_dir / young.id).is_dir()


def test_stale_scratch_files_go_and_young_ones_stay(settings: Settings) -> None:
    scratch = settings.scratch_dir
    for age in ("old", "new"):
        (scratch / f"task-{age}").mkdir(parents=True)
        for name in (f"pixels-{age}.npy", f"vectors-{age}.npy", f"task-{age}/x"):
            (scratch / name).write_bytes(b"12345")
    (scratch / "notes-old.txt").write_bytes(b"somebody's")
    for path in scratch.glob("*-old*"):
        grow_old(path)
    told = collect(settings, dry_run=True)
    assert set(told.scratch) == {"pixels-old.npy", "vectors-old.npy", "task-old"}
    assert told.scratch_bytes == 15
    assert collect(settings) == told
    assert {path.name for path in scratch.iterdir()} == {
        *("notes-old.txt", "pixels-new.npy", "vectors-new.npy", "task-new")
    }


def test_a_pachyderm_server_collects_by_itself(settings: Settings) -> None:
    class Elsewhere(Night):
        store = None  # type: ignore[assignment]

    with pytest.raises(BadInput, match="pachd collects by itself"):
        collect_garbage(Elsewhere(settings, "2026-01-01"))


# The command


@pytest.fixture
def recsys(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECSYS_STATE_DIR", str(settings.state_dir))
    monkeypatch.setenv("RECSYS_KEEP_NIGHTS", "2")
    return lambda *arguments: CliRunner().invoke(command_line(["store"]), ["store", *arguments])


def test_the_command_tells_what_it_freed(settings: Settings, recsys) -> None:
    refs = [catalog_of(settings, f"2026-01-{day:02}") for day in range(1, 6)]
    dry = recsys("gc", "--dry-run")
    assert dry.exit_code == 0
    assert "would free 30 bytes of 3 contents: the store 50 bytes → 20 bytes" in dry.stdout
    assert is_there(settings, refs[0], "/night")
    told = json.loads(recsys("gc", "--json").stdout)
    assert told["store"]["blobs"] == 3
    assert told["dry_run"] is False
    assert not is_there(settings, refs[0], "/night")


def test_a_sound_store_verifies(settings: Settings, recsys) -> None:
    catalog_of(settings, "2026-01-01")
    done = recsys("verify")
    assert (done.exit_code, done.stdout) == (0, "every content has its SHA-256\n")
    assert json.loads(recsys("verify", "--json").stdout) == {"sound": True, "damaged": []}


def test_damage_is_named_with_the_files_it_affects(settings: Settings, recsys) -> None:
    ref = catalog_of(settings, "2026-01-01")
    (pack,) = settings.store_dir.glob("packs/*")
    pack.write_bytes(b"2026-01-99")
    done = recsys("verify")
    assert done.exit_code == 3
    assert f"packs/{pack.name}: 1 of 1 blobs" in done.stdout
    assert f"{ref}:/night" in done.stdout
    told = json.loads(recsys("verify", "--json").stdout)
    assert told["sound"] is False
    assert told["damaged"][0]["affected"] == [f"{ref}:/night"]


def test_changes_stay_while_a_release_here_lacks_them(settings: Settings) -> None:
    spool = Spool(settings.changes_dir)
    spool.add([delist(name) for name in "abc"], "me", folded=0, most=10)
    for seed, through in enumerate((2, 1)):
        make_release(settings.releases_dir, seed=seed, changes_through=through)
    assert collect(settings, dry_run=True).changes == 0
    assert collect(settings).changes == 1
    assert [change.number for change in spool.after(0, spool.last())] == [2, 3]
