"""What is taken for what."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from recsys.drawing.paper import INK, WORSE, plain, save, sheet, short, whole_numbers


def draw_confused_pairs(confusion: pd.DataFrame, out: Path, *, most: int = 20) -> None:
    """Draw the pairs of labels that are mixed up most often.

    ``confusion`` has label, predicted and count, one row a pair. A bar is a count; beside it
    stands the share of all queries of that label.
    """
    sizes = confusion.groupby("label")["count"].sum()
    wrong = confusion[confusion["label"] != confusion["predicted"]]
    wrong = wrong[wrong["count"] > 0]
    ordered = wrong.sort_values(["count", "label", "predicted"], ascending=[False, True, True])
    worst = ordered.head(most)
    figure = sheet(f"The {len(worst)} pairs mixed up most", 8.5, 1.4 + 0.28 * max(len(worst), 2))
    axes = figure.subplots()
    plain(axes, grid="x")
    names = [
        f"{short(str(label))} → {short(str(predicted))}"
        for label, predicted in zip(worst["label"], worst["predicted"], strict=True)
    ]
    bars = axes.barh(range(len(worst)), worst["count"], color=WORSE, height=0.7)
    shares = [
        f"{count} of {sizes[label]} ({count / sizes[label]:.0%})"
        for label, count in zip(worst["label"], worst["count"], strict=True)
    ]
    axes.bar_label(bars, shares, fontsize=7, padding=3, color=INK)
    axes.set_yticks(range(len(worst)), names)
    axes.invert_yaxis()
    axes.margins(x=0.25, y=0.02)
    whole_numbers(axes)
    axes.set_xlabel("queries", fontsize=8)
    if worst.empty:
        axes.text(0.5, 0.5, "nothing is mixed up", transform=axes.transAxes, ha="center")
    save(figure, out)


def draw_confusion_matrix(confusion: pd.DataFrame, out: Path, *, most: int = 16) -> None:
    """Draw the matrix of the labels with the most queries, each row as shares of its label.

    ``confusion`` as in `draw_confused_pairs`. What goes to a label that is not drawn is
    counted in the column "others", so that every row adds up to one.
    """
    table = confusion.pivot_table(
        index="label", columns="predicted", values="count", aggfunc="sum", fill_value=0
    )
    sizes = table.sum(axis=1)
    largest = sorted(sizes.index, key=lambda label: (-sizes[label], label))[:most]
    drawn = table.reindex(index=largest, columns=largest, fill_value=0)
    drawn = drawn.assign(others=sizes[largest] - drawn.sum(axis=1))
    shares = drawn.div(sizes[largest], axis=0).to_numpy()
    side = 3.0 + 0.42 * len(largest)
    figure = sheet(f"What the {len(largest)} largest types are taken for", side + 1, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in zip(*shares.nonzero(), strict=True):
        share = shares[row, column]
        if share >= 0.005:
            axes.text(
                *(column, row, f"{share * 100:.0f}"),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if share > 0.5 else INK,
            )
    labels = [f"{short(str(label))} ({sizes[label]})" for label in largest]
    axes.set_yticks(range(len(largest)), labels, fontsize=7)
    columns = [*(short(str(label)) for label in largest), "others"]
    axes.set_xticks(range(len(columns)), columns, fontsize=7, rotation=60, ha="right")
    axes.set_xlabel("taken for", fontsize=8)
    axes.set_ylabel("is (queries)", fontsize=8)
    bar = figure.colorbar(image, ax=axes, shrink=0.6)
    bar.set_label("% of the row", fontsize=8)
    bar.set_ticks([0, 0.5, 1], labels=["0", "50", "100"])
    bar.ax.tick_params(labelsize=7)
    save(figure, out)
