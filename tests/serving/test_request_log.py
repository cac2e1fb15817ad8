import json
import os
from dataclasses import replace

from recsys.serving.request_log import RequestLine, RequestLog

LINE = RequestLine(
    time="2024-05-01T23:59:59.999+00:00",
    puid="p",
    release="r-0123456789abcdef",
    changes=0,
    kind="id",
    queries=1,
    k=10,
    filtered=False,
    asked=("3",),
    results=(2,),
    underfilled=0,
    answers=(("1", "2"),),
    status_code=200,
    milliseconds=1.5,
)


def logged(folder):
    return [
        json.loads(line)
        for path in sorted((folder / "requests").iterdir())
        for line in path.read_text().splitlines()
        if line
    ]


def test_every_request_is_one_line_at_once_in_the_file_of_its_day(tmp_path):
    log = RequestLog(tmp_path)
    log.write(LINE)
    assert len(logged(tmp_path)) == 1
    log.write(replace(LINE, time="2024-05-02T00:00:00.000+00:00", puid="q"))
    files = [path.name for path in sorted((tmp_path / "requests").iterdir())]
    assert files == [f"2024-05-0{day}-{os.getpid()}.jsonl" for day in (1, 2)]
    assert [line["puid"] for line in logged(tmp_path)] == ["p", "q"]
    log.close()


def test_a_line_is_bounded(tmp_path):
    log = RequestLog(tmp_path)
    log.write(
        replace(
            LINE,
            asked=("y" * 1000,) * 1000,
            results=(1,) * 1000,
            answers=(("x" * 1000,) * 50,) * 1000,
        )
    )
    (line,) = logged(tmp_path)
    assert len(line["results"]) == 32
    assert line["asked"] == ["y" * 80] * 32
    assert line["answers"] == [["x" * 80] * 10] * 32
    log.close()


def test_a_full_disk_costs_lines_but_no_request(tmp_path, caplog):
    folder = tmp_path / "requests"
    folder.mkdir()
    (folder / f"2024-05-01-{os.getpid()}.jsonl").symlink_to("/dev/full")
    log = RequestLog(tmp_path)
    for _ in range(4):
        log.write(LINE)
    assert log.lost == 4
    assert caplog.text.count("lost") == 3  # the 1st, the 2nd and the 4th
    log.close()


def test_a_line_after_a_torn_one_stands_alone(tmp_path, monkeypatch):
    log = RequestLog(tmp_path)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda handle, data: write(handle, data[:20]))
        log.write(LINE)
    log.write(LINE)
    first, second = (next((tmp_path / "requests").iterdir())).read_text().splitlines()
    assert len(first) == 20
    assert json.loads(second)["puid"] == "p"
    assert log.lost == 1
    log.close()


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "requests").write_text("in the way")
    log = RequestLog(tmp_path)
    log.write(LINE)
    assert log.lost == 1


def test_no_text_can_break_the_log(tmp_path):
    log = RequestLog(tmp_path)
    log.write(replace(LINE, puid="é"))
    log.write(replace(LINE, puid="\ud800"))  # half a character: no UTF-8 has it
    log.close()
    assert [line["puid"] for line in logged(tmp_path)] == ["é"]
    assert log.lost == 1
