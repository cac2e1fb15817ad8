"""Requests are found again in the log, by puid and by what they were about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recsys.monitoring import find_request, requests_with
from recsys.serving.request_log import RequestLine, RequestLog

RELEASE, OTHER = "r-0123456789abcdef", "r-fedcba9876543210"
LINE = RequestLine(
    time="2026-01-01T03:00:00.000+00:00",
    puid="first",
    release=RELEASE,
    changes=0,
    kind="id",
    queries=1,
    k=10,
    filtered=False,
    asked=("10",),
    results=(2,),
    underfilled=0,
    answers=(("11", "12"),),
    status_code=200,
    milliseconds=1.5,
)


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    log = RequestLog(tmp_path)
    log.write(LINE)
    log.write(replace(LINE, puid="second", time="2026-01-02T03:00:00.000+00:00", asked=("12",)))
    log.write(replace(LINE, puid="other", release=OTHER, asked=("10",)))
    log.write(replace(LINE, puid="failed", status_code=404, release=None))
    log.write(replace(LINE, puid="probe-1", asked=("10",)))
    log.close()
    (tmp_path / "requests" / "2026-01-03-1.jsonl").write_bytes(b'{"puid": "first", "torn')
    return tmp_path / "requests"


def test_a_request_is_found_by_its_puid(requests: Path) -> None:
    found = find_request(requests, "first")
    assert found is not None
    assert (found.release, found.asked, found.answers) == (RELEASE, ("10",), (("11", "12"),))
    assert found.products == {"10", "11", "12"}


@pytest.mark.parametrize("puid", ["failed", "fir", "10"])
def test_a_request_that_was_not_answered_or_has_another_puid_is_not(
    requests: Path, puid: str
) -> None:
    assert find_request(requests, puid) is None


def test_requests_are_counted_by_release_without_probes(requests: Path) -> None:
    reach = requests_with(requests, [RELEASE])
    assert (reach.requests, reach.samples) == (2, ("second", "first"))
    assert (reach.first[:10], reach.last[:10]) == ("2026-01-01", "2026-01-02")
    assert requests_with(requests, [RELEASE, OTHER]).requests == 3


def test_requests_are_counted_by_product_asked_about_or_recommended(requests: Path) -> None:
    assert requests_with(requests, [RELEASE, OTHER], "10").requests == 2
    assert requests_with(requests, [RELEASE], "12").requests == 2
    assert requests_with(requests, [RELEASE], "1").requests == 0


def test_a_service_that_never_ran_reached_nobody(tmp_path: Path) -> None:
    assert requests_with(tmp_path / "requests", [RELEASE]).requests == 0
    assert find_request(tmp_path / "requests", "first") is None
