import json
from datetime import UTC, datetime, timedelta

import pytest

from recsys.monitoring import service_figures

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def write(folder, *lines, pid=7):
    folder.mkdir(exist_ok=True)
    by_day = {}
    for line in lines:
        by_day.setdefault(line["time"][:10], []).append(json.dumps(line))
    for day, texts in by_day.items():
        (folder / f"{day}-{pid}.jsonl").write_text("\n".join(texts) + "\n")


def line(at=NOON, status_code=200, milliseconds=1.0, results=(10,), release="r-1", puid="p"):
    return {
        "time": at.isoformat(),
        "puid": puid,
        "release": release,
        "status_code": status_code,
        "milliseconds": milliseconds,
        "results": list(results),
    }


def test_the_logs_of_pods_count_with_those_of_this_machine(tmp_path):
    write(tmp_path, line())
    write(tmp_path / "recommender-live-a", line(), line(status_code=503))
    write(tmp_path / "recommender-live-b", line())
    figures = service_figures(tmp_path, NOON, NOON + HOUR)
    assert (figures["requests"], figures["error_share"]) == (4, 0.25)


def test_shares_and_percentiles_are_those_counted_by_hand(tmp_path):
    write(
        tmp_path,
        *[line(milliseconds=ms) for ms in (1, 2, 3, 4)],
        line(milliseconds=5, results=(0, 5, 5, 0), release="r-2"),
        line(status_code=400, results=(), milliseconds=900),
        line(status_code=404, results=(), milliseconds=900),
        line(status_code=503, results=(), milliseconds=900, release=None),
    )
    figures = service_figures(tmp_path, NOON, NOON + HOUR)
    assert figures == {
        "requests": 8,
        "error_share": 1 / 8,
        "rejected_share": 2 / 8,
        "empty_share": 2 / 8,  # two of the eight answers
        "p50_ms": 3.0,  # of 1, 2, 3, 4, 5
        "p99_ms": 4.96,  # 0.99 x 4 = 3.96: between the fourth and the fifth
        "releases": 2,
        "torn_lines": 0,
    }


def test_the_window_holds_its_beginning_but_not_its_end_and_may_cross_midnight(tmp_path):
    until = datetime(2024, 5, 2, 0, 30, tzinfo=UTC)
    since = until - HOUR
    inside = [since, since + HOUR / 2, until - timedelta(microseconds=1)]
    outside = [since - timedelta(microseconds=1), until]
    write(tmp_path, *[line(at) for at in [*inside, *outside]])
    assert service_figures(tmp_path, since, until)["requests"] == 3


def test_the_files_of_all_workers_count(tmp_path):
    write(tmp_path, line(), pid=7)
    write(tmp_path, line(), pid=8)
    assert service_figures(tmp_path, NOON, NOON + HOUR)["requests"] == 2


def test_a_torn_line_is_counted_and_passed_over(tmp_path):
    write(tmp_path, line())
    path = next(tmp_path.iterdir())
    path.write_text(path.read_text() + '{"time": "2024-05-01T12:0\n\n' + json.dumps(line())[:50])
    figures = service_figures(tmp_path, NOON, NOON + HOUR)
    assert (figures["requests"], figures["torn_lines"]) == (1, 2)


def test_deployment_probes_are_no_shoppers(tmp_path):
    write(tmp_path, line(puid="probe-1"), line())
    assert service_figures(tmp_path, NOON, NOON + HOUR)["requests"] == 1


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_nothing_logged_is_all_zero(tmp_path, folder):
    figures = service_figures(tmp_path / folder, NOON, NOON + HOUR)
    assert set(figures.values()) == {0}
