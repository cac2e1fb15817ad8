"""What people let through by hand: a source of the night, like the delivery itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from recsys import names
from recsys.artifacts.base import ARTIFACT_FILE
from recsys.artifacts.catalog import MeasuredCatalog
from recsys.errors import BadInput
from recsys.quarantine import Override, Overrides
from recsys.stages import frames
from recsys.stages.night import Night, Opened


def current_overrides(night: Night) -> Opened[Overrides]:
    """The newest overrides; an empty first commit is made when there is none."""
    night.store.ensure_repo(names.OVERRIDES)
    head = night.store.head(names.OVERRIDES)
    if head is not None:
        return night.open(head.ref, Overrides)
    return _commit(night, Overrides(), "nobody has let anything through yet")


def release_product(night: Night, product: str, note: str, who: str) -> list[Override]:
    """Let a quarantined product through from the next night on; returns what was let through.

    Raises
    ------
    BadInput
        No note; the product is not in quarantine; or it is there for a reason that leaves
        nothing to show.
    """
    if not note.strip():
        raise BadInput("a release by hand needs a note that says why (--note)")
    measured = night.newest("measure_catalog", MeasuredCatalog)
    if measured is None:
        raise BadInput("nothing was measured yet: run a night first")
    ledger = frames.read_frame(night, measured.ref, frames.QUARANTINE)
    cases = ledger[ledger["id"] == product]
    if cases.empty:
        raise BadInput(
            f"product {product!r} is not in quarantine; `recsys quarantine list` shows what is"
        )
    allowed = releasable_reasons(night)
    for reason in sorted(set(cases["reason"]) - allowed):
        raise BadInput(
            f"product {product}: {reason} cannot be released by hand, since nothing could be"
            f" shown; mend the delivery. Releasable are {', '.join(sorted(allowed))}"
        )
    when = datetime.now(UTC).isoformat(timespec="seconds")
    picture = _picture_digest(night, measured, product)
    released = [Override(product, reason, picture, note, who, when) for reason in cases["reason"]]
    overrides = current_overrides(night).artifact
    for item in released:
        overrides = overrides.adding(item)
    _commit(night, overrides, f"{who} released {product}: {note}")
    return released


def releasable_reasons(night: Night) -> set[str]:
    """The codes of the row suite; what stands in no suite (no picture, say) is final."""
    suite = night.settings.expectations_dir / f"{names.SUITE_PRODUCT_ROWS}.json"
    return {entry["code"] for entry in json.loads(suite.read_bytes())["expectations"]}


def _picture_digest(night: Night, measured: Opened[MeasuredCatalog], product: str) -> str:
    measures = frames.read_frame(night, measured.ref, frames.MEASURES)
    return str(measures.loc[measures["id"] == product, "sha256_bytes"].iloc[0])


def _commit(night: Night, overrides: Overrides, message: str) -> Opened[Overrides]:
    with night.store.commit(names.OVERRIDES, message=message, replace=True) as writer:
        writer.put(ARTIFACT_FILE, overrides.to_json())
    return Opened(overrides, writer.ref)
