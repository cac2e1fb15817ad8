"""Give every distinct image a side (train, validation or test) that it keeps for ever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from recsys.errors import ArtifactInvalid, BadInput

SIDES = ("train", "validation", "test")
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
) -> pd.DataFrame:
    """Extend the ledger of sides by the images it does not hold yet.

    The unit is the distinct image, so products that share a photo never straddle sides.
    Only new images are split, stratified by label (an image's label is that of its first
    product by id); labels too rare to stratify are pooled. Row order does not matter.

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

    Returns
    -------
    DataFrame
        ``pixels_sha256`` (unique, sorted) and ``side``. No side is empty.

    Raises
    ------
    BadInput
        The shares leave nothing to train on, or fewer than three distinct images exist.
    ArtifactInvalid
        The previous ledger has a repeated image, an unknown side or an empty side.
    """
    if min(test_share, validation_share) <= 0 or test_share + validation_share >= 1:
        raise BadInput(
            f"test share {test_share} and validation share {validation_share}: each must be"
            " above 0 and their sum below 1"
        )
    ledger = _checked(previous)
    images = (
        products.sort_values("id", key=lambda ids: ids.astype(str))
        .drop_duplicates("sha256_pixels")
        .sort_values("sha256_pixels")
    )
    new = images[~images["sha256_pixels"].isin(ledger[_PIXELS])]
    sides = _split(
        [str(value) for value in new[label]],
        test_share,
        validation_share,
        seed,
        first=len(ledger) == 0,
    )
    added = pd.DataFrame(
        {_PIXELS: new["sha256_pixels"].astype(str).to_list(), "side": sides}, dtype=str
    )
    grown = pd.concat([ledger, added]) if len(ledger) else added
    return grown.sort_values(_PIXELS).reset_index(drop=True)


def _checked(previous: pd.DataFrame | None) -> pd.DataFrame:
    if previous is None or len(previous) == 0:
        return pd.DataFrame({_PIXELS: [], "side": []}, dtype=str)
    ledger = previous[[_PIXELS, "side"]].astype(str)
    if ledger[_PIXELS].duplicated().any():
        raise ArtifactInvalid("the previous split holds an image twice; its commit is damaged")
    if set(ledger["side"]) != set(SIDES):
        raise ArtifactInvalid(
            f"the previous split has the sides {', '.join(sorted(set(ledger['side'])))};"
            f" expected all of {', '.join(SIDES)} and no other"
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
