"""Skip, fine-tune or train in full: by data change, drift and age, with the reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from recsys.artifacts.model import Mode

# The figures of drift that are changes of a mean in standard deviations.
_SHIFTS: Final = ("brightness_shift", "contrast_shift", "sharpness_shift")


@dataclass(frozen=True)
class Limits:
    """From where a night may not be skipped, and from where fine-tuning does not do.

    ``forced`` is a mode that a person chose, or auto. Shares are of the products that the
    champion learned from, shifts in standard deviations, days between nights.
    """

    forced: Mode | Literal["auto"]
    skip_below_change: float
    fine_tune_below_change: float
    full_after_days: int
    full_after_fine_tunings: int
    full_above_shift: float
    full_above_label_change: float


@dataclass(frozen=True)
class Champion:
    """What is known of the reigning model beside its data.

    ``obstacles`` are sentences, each of which forbids to go on from its weights.
    ``trained_in_full`` is when its line of fine-tunings began.
    """

    trained_in_full: date
    fine_tunings: int
    obstacles: tuple[str, ...]


@dataclass(frozen=True)
class Decision:
    """What to do tonight and the sentences that say why."""

    mode: Mode
    reasons: tuple[str, ...]


def decide(
    champion: Champion | None, figures: Mapping[str, float], limits: Limits, tonight: date
) -> Decision:
    """The mode of tonight's training.

    Parameters
    ----------
    figures
        Those of `catalog_change` and the drift figures ``label_share_change`` and
        ``…_shift``, against the catalog that the champion learned from. Not read when there
        is no champion, and empty when that catalog is gone, which is an obstacle.
    tonight
        The night; the age of the champion is counted from it.
    """
    if champion is None:
        return Decision("full", ("there is no champion to go on from",))
    if limits.forced != "auto":
        return Decision(limits.forced, (f"the setting retrain says {limits.forced}",))
    too_much = (
        *champion.obstacles,
        *_drift(figures, limits),
        *_age(champion, limits, tonight),
    )
    if too_much:
        return Decision("full", too_much)
    enough = tuple(_enough_to_learn(figures, limits))
    if enough:
        return Decision("fine_tune", enough)
    change = figures["changed_share"]
    return Decision(
        "skip",
        (
            f"{change:.2%} of the products are others than the champion learned from"
            f" (below {limits.skip_below_change:.2%}), and no label is new",
        ),
    )


def _drift(figures: Mapping[str, float], limits: Limits) -> Iterator[str]:
    change = figures.get("changed_share", 0.0)
    if change >= limits.fine_tune_below_change:
        yield (
            f"{change:.2%} of the products are others than the champion learned from;"
            f" fine-tuning is for less than {limits.fine_tune_below_change:.2%}"
        )
    for name in _SHIFTS:
        if figures.get(name, 0.0) > limits.full_above_shift:
            yield (
                f"{name.removesuffix('_shift')} of the pictures has shifted by"
                f" {figures[name]:.2f} standard deviations since the champion learned"
                f" (at most {limits.full_above_shift:g})"
            )
    labels = figures.get("label_share_change", 0.0)
    if labels > limits.full_above_label_change:
        yield (
            f"an article type's share of the catalog has changed by {labels:.2%} since the"
            f" champion learned (at most {limits.full_above_label_change:.2%})"
        )


def _age(champion: Champion, limits: Limits, tonight: date) -> Iterator[str]:
    if (tonight - champion.trained_in_full).days >= limits.full_after_days:
        yield (
            f"the last training in full was on {champion.trained_in_full},"
            f" {limits.full_after_days} days ago or more"
        )
    if champion.fine_tunings >= limits.full_after_fine_tunings:
        yield f"the champion was fine-tuned {champion.fine_tunings} times since it was trained"


def _enough_to_learn(figures: Mapping[str, float], limits: Limits) -> Iterator[str]:
    change = figures["changed_share"]
    if change > 0 and change >= limits.skip_below_change:
        yield (
            f"{change:.2%} of the products are others than the champion learned from:"
            f" {figures['added_share']:.2%} new, {figures['removed_share']:.2%} gone,"
            f" {figures['pictures_share']:.2%} with another picture,"
            f" {figures['labels_share']:.2%} with another label"
        )
    if figures["new_labels"]:
        yield f"{figures['new_labels']:.0f} labels are new to the champion"
