"""The five DAGs, run by Airflow, from the delivery to a REST answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flow.nights import DAGS, Platform, run_night
from recsys.artifacts.products import ProductTable
from recsys.artifacts.release import verify_release
from recsys.catalog import planted_faults
from recsys.provenance import open_store
from recsys.stages import STAGES
from recsys.stages.record import commit_record


def some_product(platform: Platform) -> str:
    table = ProductTable.load(platform.settings.releases_dir / str(platform.live))
    return bytes(table.ids[len(table) // 2]).decode()


def test_every_task_of_the_five_dags_succeeds(platform: Platform) -> None:
    assert set(platform.dags) == set(DAGS)
    states = {
        task: item["state"] for tasks in platform.dags.values() for task, item in tasks.items()
    }
    assert states == dict.fromkeys(STAGES, "success")


def test_tasks_pass_receipts_and_nothing_else(platform: Platform) -> None:
    receipts = [item["receipt"] for tasks in platform.dags.values() for item in tasks.values()]
    assert all(receipt["kind"] == "receipt" for receipt in receipts)


def test_every_commit_names_the_airflow_run_that_made_it(platform: Platform) -> None:
    store = open_store(platform.settings)
    for dag_id, tasks in platform.dags.items():
        for task_id, item in tasks.items():
            run = commit_record(store.inspect(item["receipt"]["ref"]).message)["run"]
            run_id = run.pop("run_id")
            assert run_id.startswith("manual__"), task_id
            assert run == {
                "orchestrator": "airflow",
                "dag_id": dag_id,
                "task_id": task_id,
                "try_number": "1",
            }


def test_the_release_is_whole_and_names_where_it_came_from(platform: Platform) -> None:
    release = verify_release(platform.settings.releases_dir / str(platform.live))
    assert {verdict.suite for verdict in release.verdicts} == {
        "product_rows",
        "delivery",
        "products",
        "labels",
        "model_probes",
        "model",
        "model_slices",
        "index",
    }
    assert set(release.inputs) == {
        "catalog",
        "validated",
        "models",
        "champions",
        "embeddings",
        "indexes",
    }


def test_the_service_answers_with_other_products_and_names_the_release(platform: Platform) -> None:
    product = some_product(platform)
    answer = platform.answer(product, k=5)
    assert answer["release"] == platform.live
    assert len(answer["results"]) == 5
    assert product not in [result["product_id"] for result in answer["results"]]
    scores = [result["score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)


def test_the_neighbours_look_alike(platform: Platform) -> None:
    table = ProductTable.load(platform.settings.releases_dir / str(platform.live))
    column = table.fields.index("articleType")
    same = total = 0
    for row in range(0, len(table), 12):
        shown = table.describe(row)
        for result in platform.answer(shown["product_id"])["results"]:
            same += result["attributes"]["articleType"] == shown["attributes"]["articleType"]
            total += 1
    assert len(table.vocabulary["articleType"]) >= 10
    assert table.codes[:, column].max() >= 9
    assert same / total > 0.5  # one in twelve would be chance


def test_a_filter_is_kept_to(platform: Platform) -> None:
    query = {"product_id": some_product(platform), "k": 8, "where": {"gender": "Women"}}
    answer = platform.post({"jsonData": query}).json()
    genders = {item["attributes"]["gender"] for item in answer["jsonData"]["results"]}
    assert genders == {"Women"}


def test_of_products_that_show_one_picture_one_is_shown(platform: Platform) -> None:
    table = ProductTable.load(platform.settings.releases_dir / str(platform.live))
    one, other = planted_faults(platform.settings.drawn_products).duplicates
    assert table.groups is not None
    assert table.groups[table.row(one)] == table.groups[table.row(other)]

    def shown(**options: object) -> set[str]:
        query = {"product_id": some_product(platform), "k": 100, "only": [one, other], **options}
        answer = platform.post({"jsonData": query}).json()["jsonData"]
        return {item["product_id"] for item in answer["results"]}

    assert len(shown()) == 1
    assert shown(collapse=False) == {one, other}


def test_an_unchanged_night_does_no_work_and_redeploys_nothing(platform: Platform) -> None:
    live = platform.live
    receipts = run_night(platform.settings)
    assert not any(receipt.fresh for receipt in receipts.values())
    assert platform.live == live


def test_the_command_line_asks_the_service_and_draws_a_sheet(
    platform: Platform, recsys: Any, tmp_path: Path
) -> None:
    sheet = tmp_path / "answers.png"
    done = recsys("similar", some_product(platform), "-k", "4", "--sheet", str(sheet))
    assert done.returncode == 0, done.stderr
    assert str(platform.live) in done.stdout
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 100


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["similar", "no-such-product"], 2, "no-such-product"),
        (["similar", "10010", "-k", "100000"], 2, "k"),
        (["similar", "10010", "--where", "colour"], 2, "field=value"),
        (["nightly", "--catalog", "/no/such/folder"], 2, "/no/such/folder"),
        (["nightly", "--date", "tonight"], 2, "YYYY-MM-DD"),
    ],
)
def test_bad_input_ends_with_exit_code_2_and_says_what_was_found(
    recsys: Any, arguments: list[str], code: int, said: str
) -> None:
    done = recsys(*arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_releases_and_status_report_the_live_release(platform: Platform, recsys: Any) -> None:
    for command in ("releases", "status"):
        done = recsys(command, "--json")
        assert done.returncode == 0, done.stderr
        assert str(platform.live) in done.stdout


@pytest.mark.parametrize("command", ["labels", "duplicates"])
def test_what_the_night_found_in_the_catalog_can_be_listed(recsys: Any, command: str) -> None:
    done = recsys(command, "--json")
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), list)


def test_the_drawn_duplicates_are_found(platform: Platform, recsys: Any) -> None:
    pair = planted_faults(platform.settings.drawn_products).duplicates
    groups = json.loads(recsys("duplicates", "--json").stdout)
    assert " ".join(sorted(pair)) in [group["products"] for group in groups]
