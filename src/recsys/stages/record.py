"""How a commit was made, as JSON in its message: by what, from what, with what outcome.

The record is for people and for `recsys trace`, `reproduce` and `diff`; only ``key`` decides
anything (`recsys.stages.task`).
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from recsys.artifacts.base import Artifact
from recsys.artifacts.digests import sha256_file
from recsys.artifacts.index import EmbeddingSet, SearchIndex
from recsys.artifacts.model import ApprovedModel, TrainedModel
from recsys.artifacts.release import Release
from recsys.artifacts.verdict import Verdict
from recsys.settings import PROJECT_ROOT, Settings

# Libraries whose version can change what a stage computes.
_LIBRARIES = (
    "ai-edge-litert",
    "apache-airflow",
    "cleanlab",
    "faiss-cpu",
    "great-expectations",
    "keras",
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "pyarrow",
    "scikit-learn",
    "simplejpeg",
    "tensorflow",
)
# Where things are and who may come in says nothing about what was computed.
_NOT_RECORDED = frozenset(
    name
    for name in Settings.model_fields
    if name.endswith(("_dir", "_port", "_url", "_seconds"))
    or name.startswith(("pachd_", "serving_token"))
)


def commit_record(message: str) -> dict[str, Any]:
    """The record in a commit's message; empty for any other message."""
    try:
        record = json.loads(message)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def outcome_of(artifact: Artifact) -> dict[str, Any]:
    """What the commit holds: kind, digest, the names people know it by, its gates, its run."""
    return {
        "artifact": artifact.kind,
        "artifact_digest": artifact.digest,
        "names": _names(artifact),
        "gates": [_gate(verdict) for verdict in _verdicts(artifact)],
        "mlflow_run_id": artifact.run_id if isinstance(artifact, TrainedModel) else "",
    }


def recorded_settings(settings: Settings) -> dict[str, Any]:
    """The settings that were in force, without places, ports and secrets."""
    return settings.model_dump(mode="json", exclude=set(_NOT_RECORDED))


@lru_cache
def code_facts() -> dict[str, object]:
    """Git commit and dirty flag, lock digest, Python version and machine."""
    lock = PROJECT_ROOT / "locks" / "platform.txt"
    return {
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain")),
        "lock_digest": sha256_file(lock) if lock.is_file() else "",
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


@lru_cache
def library_versions() -> dict[str, str]:
    """Version of each library that can change a result; those not installed are left out."""
    return {name: found for name in _LIBRARIES if (found := _version(name))}


def made_with() -> dict[str, str]:
    """Code, lock, Python and libraries as tags for the model registry."""
    return registry_tags(code_facts(), library_versions())


def registry_tags(code: Mapping[str, object], libraries: Mapping[str, str]) -> dict[str, str]:
    """Facts of code and libraries by the names that the model registry has for them."""
    return {
        **{name: str(fact) for name, fact in code.items()},
        **{f"library.{name}": number for name, number in libraries.items()},
    }


@lru_cache
def host_facts() -> dict[str, object]:
    """The machine: its name, system, processor, cores and memory in bytes."""
    return {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 0,
        "memory_bytes": psutil.virtual_memory().total,
    }


def _names(artifact: Artifact) -> dict[str, str]:
    match artifact:
        case Release():
            return {
                "release": artifact.id,
                "model": artifact.model_version,
                "index": artifact.index_version,
            }
        case TrainedModel() | ApprovedModel() | EmbeddingSet():
            return {"model": artifact.version}
        case SearchIndex():
            return {"index": artifact.version}
        case _:
            return {}


def _verdicts(artifact: Artifact) -> list[Verdict]:
    found: list[Verdict] = []
    for field in dataclasses.fields(artifact):
        value = getattr(artifact, field.name)
        several = value if isinstance(value, tuple) else (value,)
        found += [item for item in several if isinstance(item, Verdict)]
    return found


def _gate(verdict: Verdict) -> dict[str, object]:
    return {
        "suite": verdict.suite,
        "suite_digest": verdict.suite_digest,
        "passed": verdict.passed,
        "expectations": verdict.evaluated,
        "warnings": len(verdict.failures),
        "docs": verdict.docs,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor())


def _git(*arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run(
        [git, "-C", str(PROJECT_ROOT), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
