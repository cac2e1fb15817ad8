"""The pages over a night's gates, and over all nights."""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gates.gate_builders import NIGHT, Bench, between, suite
from recsys.errors import ArtifactInvalid, GateRefused
from recsys.gates.night_page import update_pages

HOSTILE = "<script>alert(1)</script><img src=http://x.test/>&\"'\u202e\x00"


def failure(severity: str = "critical", **changes: str) -> dict[str, str]:
    return {
        "expectation": "expect_it",
        "column": "score",
        "severity": severity,
        "observed": "3 of 9 values",
        "reason": "Scores are shares.",
        **changes,
    }


def put(
    docs_dir: Path,
    name: str,
    *failures: dict[str, str],
    minute: int = 0,
    night: str = NIGHT,
    **changes: Any,
) -> Path:
    """Write one gate's result, as if judged in this minute of the night."""
    data = {
        "subject": "catalog@" + "0" * 32,
        "passed": all(item["severity"] != "critical" for item in failures),
        "results": [{}] * 5,
        "failures": failures,
        **changes,
    }
    path = docs_dir / night / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    path.with_suffix(".html").write_text("page")
    os.utime(path, (60 * minute, 60 * minute))
    return path


def words(page: Path) -> str:
    """What a reader sees of a page, blanks squeezed."""
    seen: list[str] = []
    parser = HTMLParser()
    parser.handle_data = seen.append  # type: ignore[method-assign]
    text = page.read_text().replace("<wbr>", "")
    parser.feed(re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL))
    return " ".join(" ".join(seen).split())


def night_words(docs_dir: Path, night: str = NIGHT) -> str:
    update_pages(docs_dir, night)
    return words(docs_dir / night / "index.html")


def test_a_night_shows_every_gate_in_the_order_in_which_they_judged(tmp_path: Path) -> None:
    put(tmp_path, "model-aaaaaaaaaaaa", minute=2)
    put(tmp_path, "delivery-bbbbbbbbbbbb", minute=1)
    put(tmp_path, "index-cccccccccccc", failure("warning"), minute=3)
    seen = night_words(tmp_path)
    rows = (
        "00:01:00 delivery ✓ passed 0 0 0 5 of 5",
        "00:02:00 model",
        "00:03:00 index ✓ passed 0 1",
    )
    assert [seen.find(row) for row in rows] == sorted(seen.find(row) for row in rows)
    assert all(row in seen for row in rows)
    assert "✓ Passed No gate of this night refused." in seen


def test_a_refusal_stands_above_everything_else_with_what_was_seen_and_why(tmp_path: Path) -> None:
    put(tmp_path, "delivery-aaaaaaaaaaaa", minute=1)
    put(tmp_path, "products-bbbbbbbbbbbb", failure("warning"), failure(), minute=2)
    seen = night_words(tmp_path)
    assert "✕ REFUSED by products" in seen
    assert seen.index("What did not pass ✕ REFUSED products") < seen.index("Every gate, in order")
    assert "✕ critical 3 of 9 values Scores are shares. expect_it score ! warning" in seen
    assert "1 ✕ critical failures 1 ! warnings 0 i infos" in seen


def test_a_warning_of_a_gate_that_passed_is_told(tmp_path: Path) -> None:
    put(tmp_path, "delivery-aaaaaaaaaaaa", failure("info", reason="Worth a look."))
    seen = night_words(tmp_path)
    assert "Passed, though something did not hold ✓ passed delivery" in seen
    assert "i info 3 of 9 values Worth a look." in seen


def test_a_gate_that_could_not_be_evaluated_is_no_pass(tmp_path: Path) -> None:
    put(tmp_path, "delivery-aaaaaaaaaaaa", failure("info"), passed=False)
    assert "✕ REFUSED by delivery (no verdict)" in night_words(tmp_path)


def test_a_refusal_that_a_later_verdict_made_good_is_still_told(tmp_path: Path) -> None:
    put(tmp_path, "delivery-aaaaaaaaaaaa", failure(), minute=1)
    put(tmp_path, "delivery-bbbbbbbbbbbb", minute=2)
    seen = night_words(tmp_path)
    assert "! Passed after a refusal" in seen
    assert "A later verdict of this gate passed." in seen
    assert f"{NIGHT} ✓ passed after a refusal" in words(tmp_path / "index.html")


def test_a_pass_before_a_refusal_does_not_make_it_good(tmp_path: Path) -> None:
    put(tmp_path, "delivery-aaaaaaaaaaaa", minute=1)
    put(tmp_path, "delivery-bbbbbbbbbbbb", failure(), minute=2)
    assert "✕ REFUSED by delivery" in night_words(tmp_path)


def test_the_nights_stand_newest_first_with_their_figures(tmp_path: Path) -> None:
    for night in ("2026-01-30", "2026-02-01", "2026-01-31"):
        refused = [failure(), failure("warning")] if night == "2026-01-31" else []
        put(tmp_path, "delivery-aaaaaaaaaaaa", *refused, night=night)
        update_pages(tmp_path, night)
    page = tmp_path / "index.html"
    assert re.findall(r'href="([^"]+)"', page.read_text()) == [
        "2026-02-01/index.html",
        "2026-01-31/index.html",
        "2026-01-30/index.html",
    ]
    assert "3 nights, the newest first; 1 refused." in words(page)
    assert "2026-01-31 ✕ REFUSED 1 1 1 0 delivery 2026-01-30 ✓ passed 1 0 0 0" in words(page)


def test_every_link_leads_to_a_file(tmp_path: Path) -> None:
    put(tmp_path, "delivery-aaaaaaaaaaaa", failure())
    put(tmp_path, "model-bbbbbbbbbbbb").with_suffix(".html").unlink()  # killed before its page
    update_pages(tmp_path, NIGHT)
    for page in (tmp_path / "index.html", tmp_path / NIGHT / "index.html"):
        links = re.findall(r'href="([^"]+)"', page.read_text())
        assert links
        assert all((page.parent / link).is_file() for link in links)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b"[]", "expected an object"),
        (b"{}", "not the result of a gate"),
        (b'{"subject": "s", "passed": true, "results": [], "failures": [1]}', "not the result"),
        (
            b'{"subject": "s", "passed": true, "results": [], "failures": [{"severity": "fatal"}]}',
            "not the result",
        ),
    ],
)
def test_a_result_that_cannot_be_read_is_shown_beside_the_others(
    tmp_path: Path, content: bytes, says: str
) -> None:
    put(tmp_path, "delivery-aaaaaaaaaaaa")
    put(tmp_path, "model-bbbbbbbbbbbb").write_bytes(content)
    seen = night_words(tmp_path)
    assert "✕ REFUSED by model (unreadable)" in seen
    assert f"model-bbbbbbbbbbbb.json: {says}" in seen
    assert "delivery ✓ passed" in seen


def test_a_result_of_a_gate_that_listed_no_failures_is_read_from_its_expectations(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    bench.write(suite(between()))
    with pytest.raises(GateRefused):
        bench.check(pd.DataFrame({"score": [0.5, 1.5]}))
    (path,) = (bench.docs_dir / NIGHT).glob("toy-*.json")
    data = json.loads(path.read_bytes())
    data.pop("failures", None)
    path.write_text(json.dumps(data))
    seen = night_words(bench.docs_dir)
    assert "✕ REFUSED by toy" in seen
    assert "1 of 2 values: 1.5 Scores are shares. expect_column_values_to_be_between score" in seen


def test_what_a_delivery_brought_is_text_and_nothing_more(tmp_path: Path) -> None:
    hostile = failure(observed=HOSTILE, column=HOSTILE, reason="\ud800")
    put(tmp_path, "delivery-aaaaaaaaaaaa", hostile, subject=HOSTILE)
    put(tmp_path, "model-bbbbbbbbbbbb").write_text(HOSTILE)
    seen = night_words(tmp_path)
    page = (tmp_path / NIGHT / "index.html").read_text()
    assert "<script>alert(1)</script><img src=http://x.test/>&\"'" in seen
    assert not re.search(r"<(script|img|link)|\u202e|\x00", page)


def test_a_page_may_load_nothing_and_run_nothing(tmp_path: Path) -> None:
    put(tmp_path, "delivery-aaaaaaaaaaaa", failure())
    update_pages(tmp_path, NIGHT)
    for page in (tmp_path / "index.html", tmp_path / NIGHT / "index.html"):
        content = page.read_text()
        assert "default-src 'none'; style-src 'sha256-" in content
        assert not re.search(
            r"<(script|img|link|iframe|object)|src=|url\(|style=|\son\w+=", content
        )


def test_gates_that_judge_at_the_same_time_are_all_on_the_page(tmp_path: Path) -> None:
    def judge(number: int) -> None:
        put(tmp_path, f"gate{number}-aaaaaaaaaaaa", night=f"2026-01-{10 + number % 2}")
        update_pages(tmp_path, f"2026-01-{10 + number % 2}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(judge, range(24)))
    for number in range(24):
        page = tmp_path / f"2026-01-{10 + number % 2}" / "index.html"
        assert f">gate{number}</a>" in page.read_text()
    assert (
        len(re.findall(r'<td class="number">12</td>', (tmp_path / "index.html").read_text())) == 2
    )
    leftovers = [path.name for path in tmp_path.rglob(".*") if path.name != ".pages.lock"]
    assert leftovers == []


def test_the_results_of_other_nights_are_not_read_again(tmp_path: Path) -> None:
    old = put(tmp_path, "delivery-aaaaaaaaaaaa", failure(), night="2026-01-30")
    update_pages(tmp_path, "2026-01-30")
    old.write_text("no longer JSON")
    put(tmp_path, "delivery-aaaaaaaaaaaa")
    update_pages(tmp_path, NIGHT)
    assert "2026-01-30 ✕ REFUSED 1 1 0 0 delivery" in words(tmp_path / "index.html")


@pytest.mark.parametrize("figures", [None, b"", b"{}", b'{"schema": 1, "files": 3}'])
def test_a_night_without_true_figures_is_written_anew(
    tmp_path: Path, figures: bytes | None
) -> None:
    put(tmp_path, "delivery-aaaaaaaaaaaa", failure(), night="2026-01-30")
    if figures is not None:
        (tmp_path / "2026-01-30" / "night.json").write_bytes(figures)
    put(tmp_path, "delivery-aaaaaaaaaaaa")
    update_pages(tmp_path, NIGHT)
    assert "2026-01-30 ✕ REFUSED 1 1 0 0 delivery" in words(tmp_path / "index.html")
    assert "✕ REFUSED by delivery" in words(tmp_path / "2026-01-30" / "index.html")


def test_a_gate_that_was_killed_before_it_wrote_the_pages_is_on_the_next_ones(
    tmp_path: Path,
) -> None:
    put(tmp_path, "delivery-aaaaaaaaaaaa", night="2026-01-30")
    update_pages(tmp_path, "2026-01-30")
    put(tmp_path, "model-bbbbbbbbbbbb", failure(), night="2026-01-30")
    put(tmp_path, "delivery-aaaaaaaaaaaa")
    update_pages(tmp_path, NIGHT)
    assert "2026-01-30 ✕ REFUSED 2 1 0 0 model" in words(tmp_path / "index.html")
    assert "✕ REFUSED by model" in words(tmp_path / "2026-01-30" / "index.html")


def test_what_is_no_result_is_left_alone(tmp_path: Path) -> None:
    put(tmp_path, "delivery-aaaaaaaaaaaa")
    (tmp_path / NIGHT / "notes.json").write_text("{}")
    (tmp_path / NIGHT / "model-bbbbbbbbbbbb.json").symlink_to("/etc/passwd")
    (tmp_path / "<b>").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "2026-01-29").symlink_to(tmp_path / NIGHT)
    assert "1 verdicts" in night_words(tmp_path)
    assert "1 night; 0 refused" in words(tmp_path / "index.html")
    assert sorted(path.name for path in (tmp_path / "empty").iterdir()) == []


def test_a_long_list_of_failures_is_cut(tmp_path: Path) -> None:
    put(tmp_path, "delivery-aaaaaaaaaaaa", *[failure()] * 60, results=[{}] * 60)
    assert "… and 10 more on the gate's page." in night_words(tmp_path)


@pytest.mark.parametrize("night", ["", "..", "a/b"])
def test_a_night_that_is_no_folder_name_is_refused(tmp_path: Path, night: str) -> None:
    with pytest.raises(ArtifactInvalid, match="cannot name a folder"):
        update_pages(tmp_path, night)
