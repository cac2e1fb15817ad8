"""Give every distinct image a side (train, validation or test) that it keeps for ever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import pandas as pd

from recsys.errors import ArtifactInvalid, BadInput

SIDES = ("train", "validation", "test")
# The side of an image that resembles one of another side: neither trained on nor asked.
RETIRED: Final = "retired"
_PIXELS = "pixels_sha256"
# Below this many new images a share of them says nothing: they all go to train.
_FEWEST_TO_SPLIT = 5


def assign_sides(
    products: pd.DataFrame,
    previous: pd.DataFrame | None,
    *,
    label: str,
    test_share: float,
    validation_share: float,
    seed: int,
    groups: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Extend the ledger of sides by the images it does not hold yet.

    The unit is the distinct image, or the group of duplicates where ``groups`` are given,
    so products that share a photo never straddle sides. Only units that are new as a whole
    are split, stratified by label (a unit's label is that of its first product by id);
    labels too rare to stratify are pooled. Row order does not matter.

    A new image of a group that has a side inherits it. A link found later may join images
    of different sides: then those of the train side stay, all others are `RETIRED` for
    ever, so that of every group at most one side is used. That is the one way in which an
    image's side changes.

    Parameters
    ----------
    products
        One row a product, with ``id``, ``sha256_pixels`` and the column ``label``.
    previous
        The ledger so far (``pixels_sha256``, ``side``), or None at the first split. Its
        rows are kept as they are, also when no product shows the image any more.
    label
        The column to stratify by.
    test_share, validation_share
        Shares of the new images, each in (0, 1) and below 1 together.
    seed
        Seed of the split.
    groups
        [products] the group of duplicates of each product (one alone is a group too), or
        None: each image is a group of its own. Products with the same pixels must have
        the same group.

    Returns
    -------
    DataFrame
        ``pixels_sha256`` (unique, sorted) and ``side``. No side is empty but `RETIRED`.

    Raises
    ------
    BadInput
        The shares leave nothing to train on; fewer than three units exist; the groups are
        not one for each product, part products with the same pixels, or retire a side as
        a whole.
    ArtifactInvalid
        The previous ledger has a repeated image, an unknown side or an empty side.
    """
    if min(test_share, validation_share) <= 0 or test_share + validation_share >= 1:
        raise BadInput(
            f"test share {test_share} and validation share {validation_share}: each must be"
            " above 0 and their sum below 1"
        )
    ledger = _checked(previous)
    images = _images(products, label, groups)
    images["side"] = _looked_up(images[_PIXELS], ledger[_PIXELS], ledger["side"])
    of_group = _sides_of_groups(images)
    images["inherited"] = _looked_up(images["group"], list(of_group), list(of_group.values()))
    # By pixels, not by group: the split without groups must not depend on the ids.
    fresh = images[images["inherited"].isna()].drop_duplicates("group").sort_values(_PIXELS)
    drawn = _split(
        fresh["label"].to_list(), test_share, validation_share, seed, first=len(ledger) == 0
    )
    images["drawn"] = _looked_up(images["group"], fresh["group"], drawn)
    return _grown(ledger, images)


def _images(products: pd.DataFrame, label: str, groups: Sequence[str] | None) -> pd.DataFrame:
    """One row a distinct image in the order of their first products: pixels, label, group."""
    digests = products["sha256_pixels"].astype(str).to_list()
    if groups is not None and len(groups) != len(digests):
        raise BadInput(f"split: {len(groups)} duplicate groups for {len(digests)} products")
    table = pd.DataFrame(
        {
            "id": products["id"].astype(str).to_list(),
            _PIXELS: digests,
            "label": [str(value) for value in products[label]],
            "group": digests if groups is None else [str(group) for group in groups],
        }
    ).sort_values("id", kind="stable")
    images = table.drop_duplicates(_PIXELS)
    if len(table.drop_duplicates([_PIXELS, "group"])) > len(images):
        raise BadInput(
            "split: products with the same pixels are in different duplicate groups; group"
            " them by sha256_pixels first"
        )
    return images.drop(columns="id").reset_index(drop=True)


def _looked_up(names: pd.Series, known: Iterable[str], values: Iterable[str]) -> pd.Series:
    """The value of each name, missing where it is not known; text also when none is."""
    return names.map(dict(zip(known, values, strict=True))).astype("str")


def _sides_of_groups(images: pd.DataFrame) -> dict[str, str]:
    """The side that the new images of each group inherit; groups without any are left out."""
    held = images[images["side"].notna()]
    found: dict[str, set[str]] = {}
    for group, side in zip(held["group"], held["side"], strict=True):
        found.setdefault(group, set()).add(side)
    return {group: _side_of_group(sides) for group, sides in found.items()}


def _side_of_group(sides: set[str]) -> str:
    used = sides - {RETIRED}
    if len(used) > 1:
        return "train" if "train" in used else RETIRED
    return next(iter(used or sides))


def _grown(ledger: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """The ledger with the new images' sides, and without those that groups retire."""
    new = images[images["side"].isna()]
    sides = new["inherited"].fillna(new["drawn"])
    added = pd.DataFrame({_PIXELS: new[_PIXELS], "side": sides}, dtype=str)
    straying = images["side"].notna() & (images["side"] != images["inherited"])
    kept = ledger.assign(
        side=ledger["side"].mask(ledger[_PIXELS].isin(images[_PIXELS][straying]), RETIRED)
    )
    grown = pd.concat([kept, added]) if len(ledger) else added
    if missing := set(SIDES) - set(grown["side"]):
        raise BadInput(
            f"the duplicate groups leave no image on the side {', '.join(sorted(missing))};"
            " they join too much: check the thresholds they were found with"
        )
    return grown.sort_values(_PIXELS).reset_index(drop=True)


def _checked(previous: pd.DataFrame | None) -> pd.DataFrame:
    if previous is None or len(previous) == 0:
        return pd.DataFrame({_PIXELS: [], "side": []}, dtype=str)
    ledger = previous[[_PIXELS, "side"]].astype(str)
    if ledger[_PIXELS].duplicated().any():
        raise ArtifactInvalid("the previous split holds an image twice; its commit is damaged")
    if set(ledger["side"]) - {RETIRED} != set(SIDES):
        raise ArtifactInvalid(
            f"the previous split has the sides {', '.join(sorted(set(ledger['side'])))};"
            f" expected all of {', '.join(SIDES)}, perhaps {RETIRED}, and no other"
        )
    return ledger


def _split(
    labels: Sequence[str], test_share: float, validation_share: float, seed: int, *, first: bool
) -> list[str]:
    """One side for each label, in order."""
    count = len(labels)
    if first and count < len(SIDES):
        raise BadInput(f"{count} distinct images cannot be split; at least {len(SIDES)} are needed")
    if not first and count < _FEWEST_TO_SPLIT:
        return ["train"] * count
    fewest = 1 if first else 0
    sides = ["train"] * count
    rest = list(range(count))
    for side, share in (("test", test_share), ("validation", validation_share)):
        # The first split must leave one image for each side that is still to come.
        held = min(max(fewest, round(count * share)), len(rest) - 1 - (side == "test"))
        rest, taken = _draw(rest, labels, held, seed)
        for position in taken:
            sides[position] = side
    return sides


def _draw(
    rest: list[int], labels: Sequence[str], held: int, seed: int
) -> tuple[list[int], list[int]]:
    """Split positions into (kept, ``held`` drawn ones)."""
    from sklearn.model_selection import train_test_split

    if held <= 0:
        return rest, []
    strata = _strata([labels[position] for position in rest], min(held, len(rest) - held))
    kept, taken = train_test_split(rest, test_size=held, random_state=seed, stratify=strata)
    return sorted(kept), sorted(taken)


def _strata(labels: list[str], most: int) -> list[str] | None:
    """Strata that scikit-learn accepts: at least 2 of each, at most ``most``; None if not two.

    The commonest labels keep a stratum of their own, all others share one.
    """
    counts = Counter(labels)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    own = [name for name in ranked if counts[name] >= 2]
    if len(own) < len(ranked) or len(own) > most:
        own = own[: max(most - 1, 0)]
        if sum(counts[name] for name in ranked[len(own) :]) < 2:
            own = own[:-1]
    if len(own) < 2:
        return None
    alone = {name: f"own:{name}" for name in own}
    return [alone.get(name, "pooled") for name in labels]
