"""Try tonight's release beside the live one, on recent real queries, before shoppers see it."""

from __future__ import annotations

import base64
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from recsys import names
from recsys.artifacts.catalog import LABEL_COLUMN, ValidatedCatalog
from recsys.artifacts.live import read_live
from recsys.artifacts.products import ProductTable
from recsys.artifacts.receipt import Receipt
from recsys.artifacts.release import Release, read_manifest
from recsys.artifacts.trial import ShadowedRelease
from recsys.deploy.probing import token_headers
from recsys.errors import DeployFailed, GateRefused
from recsys.release import record_event
from recsys.services.apart import served_apart
from recsys.serving.sample import forget_old, recent_requests
from recsys.stages.assemble_release import restore
from recsys.stages.judge import judge
from recsys.stages.night import Night, Opened
from recsys.stages.pixels import products_of
from recsys.stages.task import Task, suite_digest
from recsys.trial.asking import Pair, Question, ask_both, recent_questions
from recsys.trial.figures import shadow_figures

_DELIVERED: Final = "/images/"
_KEPT: Final = "/kept/"


def run(night: Night) -> Receipt:
    """Commit that the release may be deployed, or refuse it; the live one goes on answering.

    What passed once passes again: neither the release nor its suite has changed.
    """
    settings = night.settings
    bundle = night.result_of("assemble_release", Release)
    restore(night, bundle.ref)
    live = read_live(settings.releases_dir)
    beside = None if live == bundle.artifact.id else live
    task = Task(
        night,
        "shadow_release",
        [bundle.ref],
        {
            "seed": settings.seed,
            "shadow": settings.shadow,
            "questions": settings.shadow_questions,
            "most_slowdown": settings.shadow_slowdown,
            **suite_digest(night, names.SUITE_SHADOW),
        },
        rooms=("trial", "services/apart.py", "gates"),
        context={"beside": beside},
    )
    if (receipt := task.remembered()) is not None:
        return receipt
    if not settings.shadow:
        return task.publish(ShadowedRelease(bundle.ref, bundle.artifact.id, beside, {}, None))
    forget_old(settings.serving_dir, settings.sample_days)
    try:
        return task.publish(_tried(night, bundle, beside))
    except (GateRefused, DeployFailed) as refusal:
        record_event(
            settings.releases_dir,
            event="refused",
            release=bundle.artifact.id,
            previous=live,
            why=str(refusal),
        )
        raise


def _tried(night: Night, bundle: Opened[Release], beside: str | None) -> ShadowedRelease:
    tonight = _Catalog.of(night, bundle.artifact)
    held = _held(night, bundle.artifact.id)
    before = frozenset[str]() if beside is None else _held(night, beside)
    questions = [
        *recent_questions(
            recent_requests(night.settings.serving_dir), night.settings.shadow_questions
        ),
        *tonight.questions(night, before),
    ]
    pairs = _asked(night, questions, bundle.artifact.id, beside)
    figures = shadow_figures(
        pairs,
        tonight.types,
        held,
        before,
        same_model=beside is not None
        and read_manifest(night.settings.releases_dir / beside).model_digest
        == bundle.artifact.model_digest,
    )
    verdict = judge(
        night,
        names.SUITE_SHADOW,
        pd.DataFrame([figures]),
        subject=bundle.ref,
        replacements={"shadow_slowdown": night.settings.shadow_slowdown},
    )
    return ShadowedRelease(bundle.ref, bundle.artifact.id, beside, figures, verdict)


def _asked(
    night: Night, questions: list[Question], candidate: str, beside: str | None
) -> list[Pair]:
    releases = [candidate] if beside is None else [candidate, beside]
    with served_apart(night.settings, releases) as urls:
        # Both ask for the token that the live one asks for.
        headers = token_headers(night.settings)
        return ask_both(questions, urls[0], urls[1] if beside else None, headers)


def _held(night: Night, release_id: str) -> frozenset[str]:
    table = ProductTable.load(night.settings.releases_dir / release_id)
    return frozenset(bytes(item).decode() for item in table.ids)


def _among(product: str, others: list[str], max_k: int) -> dict[str, object]:
    """A query that is answered by as many of the others as there are, whatever their scores."""
    k = min(len(others), max_k)
    return {"product_id": product, "only": others, "k": k, "collapse": False, "min_score": -1}


@dataclass(frozen=True)
class _Catalog:
    """The catalog that a release was made of."""

    validated: Opened[ValidatedCatalog]
    products: pd.DataFrame

    @classmethod
    def of(cls, night: Night, release: Release) -> _Catalog:
        validated = night.open(release.inputs[names.VALIDATED], ValidatedCatalog)
        return cls(validated, products_of(night, validated))

    @property
    def types(self) -> dict[str, str]:
        """Article type by product."""
        return dict(zip(self.products["id"], self.products[LABEL_COLUMN], strict=True))

    def questions(self, night: Night, before: frozenset[str]) -> list[Question]:
        """About products drawn from tonight's catalog, of those that are live if there are any.

        Each is asked about by its id, by its picture, and among others drawn at random.
        """
        still = self.products[self.products["id"].isin(before)]
        known = still if len(still) else self.products
        rng = np.random.default_rng(night.settings.seed)
        most = min(len(known), max(1, night.settings.shadow_questions // 2))
        drawn = known.iloc[np.sort(rng.choice(len(known), size=most, replace=False))]
        others = sorted(drawn["id"])
        asked = []
        for row in drawn.to_dict("records"):
            product = str(row["id"])
            among = [item for item in others if item != product]
            asked.append(Question({"product_id": product}, "product", product))
            asked.append(Question({"image": self._picture(night, row)}, "picture", product))
            if among:
                asked.append(
                    Question(_among(product, among, night.settings.max_k), "among", product)
                )
        return asked

    def _picture(self, night: Night, row: Mapping[Hashable, Any]) -> str:
        """The file as it was delivered, in base64."""
        if row["kept"]:
            content = night.read(self.validated.ref, f"{_KEPT}{row['image']}")
        else:
            content = night.read(self.validated.artifact.catalog, f"{_DELIVERED}{row['image']}")
        return base64.b64encode(content).decode()
