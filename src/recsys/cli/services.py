"""`recsys up`, `down` and `status`: the local services, and the first night through Airflow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from recsys import deploy, names, services
from recsys.artifacts.files import write_atomically
from recsys.artifacts.live import read_live
from recsys.artifacts.products import ProductTable
from recsys.changes import Spool
from recsys.cli.console import Json, console, print_json
from recsys.cli.nightly import live_release, verdict_line, verdicts_of
from recsys.cli.similar import ask, draw_sheet, print_answer
from recsys.errors import BadInput, DeliveryUnreadable, GateRefused, OutsideFailed
from recsys.settings import DRAWN, Settings, load_settings
from recsys.stages.snapshot_catalog import catalog_note

_MEBIBYTE = 1 << 20
_FIRST_K = 5


def up(
    catalog: Annotated[
        str, typer.Option(help="Where deliveries come from: a folder, or 'drawn'; it is noted.")
    ] = "",
) -> None:
    """Start Airflow, MLflow and Seldon on 127.0.0.1, and run the first night through Airflow.

    What runs already is left alone. A night is run when no release is live yet, or when
    --catalog names where deliveries come from; afterwards the DAGs run nightly.

    Example: recsys up --catalog ~/fashion-product-images
    """
    settings = load_settings()
    if catalog:
        _note_catalog(settings, catalog)
    with console.status("starting") as spinner:
        services.start_all(settings, on_progress=lambda news: _tell(news, spinner.update))
    with services.AirflowClient(settings) as airflow:
        try:
            if catalog or read_live(settings.releases_dir) is None:
                _first_night(airflow)
        finally:
            # Also when no night was needed: Airflow may be newer than the live release.
            airflow.unpause((*names.NIGHT_DAGS, names.DAG_WATCH_RELEASE, names.DAG_WATCH))
    _introduce(settings)


def down() -> None:
    """Stop exactly what `recsys up` started.

    Example: recsys down
    """
    settings = load_settings()
    with console.status("stopping") as spinner:
        stopped = services.stop_all(settings, on_progress=lambda news: _tell(news, spinner.update))
    if not stopped:
        console.print("nothing was running")


def swap(json: Json = False) -> None:
    """Bring another code, environment or serving setting into service without a pause.

    A second Seldon microservice starts beside the first; once it answers with the live
    release, requests go to it, and the first ends when it has answered all that it took. One
    that does not come up changes nothing. Needs RECSYS_SERVING_FRONT=haproxy. (Another release
    needs no swap.)

    Example: recsys swap
    """
    settings = load_settings()
    # No night may deploy meanwhile: it would wait for workers that come and go.
    with deploy.one_at_a_time(settings.releases_dir), console.status("swapping") as spinner:
        done = services.swap(settings, on_progress=lambda news: _tell(news, spinner.update))
    if json:
        print_json(vars(done))
        return
    console.print(
        f"{done.colour} serves, not {done.before}: up in {done.start_seconds:.1f} s,"
        f" over in {done.drain_seconds:.1f} s"
    )


def status(json: Json = False) -> None:
    """Tell what runs and which release is live.

    Example: recsys status --json
    """
    settings = load_settings()
    live = read_live(settings.releases_dir)
    found = services.status(settings)
    if json:
        print_json({"live_release": live, "services": [_service_data(item) for item in found]})
        return
    table = Table("service", "state", "pid", "processes", "memory", "address")
    for item in found:
        state = "healthy" if item.healthy else "running, not healthy" if item.running else "down"
        memory = f"{item.memory_bytes // _MEBIBYTE} MiB" if item.running else ""
        table.add_row(
            item.name, state, str(item.pid or ""), str(item.processes or ""), memory, item.url
        )
    console.print(table)
    for item in found:
        if item.trouble:
            console.print(f"{item.name}: {_restarted(item)}{item.trouble}", markup=False)
    console.print(f"live release: {live or 'none yet; `make up` runs the first night'}")


def _restarted(item: services.ServiceStatus) -> str:
    times = "once" if item.restarts == 1 else f"{item.restarts} times"
    return f"started again {times}; " if item.restarts else ""


def _note_catalog(settings: Settings, catalog: str) -> None:
    if catalog != DRAWN:
        folder = Path(catalog).expanduser().absolute()
        if not folder.is_dir():
            raise DeliveryUnreadable(f"{folder} is not a folder; name one, or '{DRAWN}'")
        catalog = str(folder)
    if settings.catalog not in ("", catalog):
        raise BadInput(
            f"RECSYS_CATALOG says {settings.catalog!r} and wins over --catalog; unset it first"
        )
    write_atomically(catalog_note(settings), catalog.encode())


def _tell(news: services.Progress, update: Any) -> None:
    if console.is_terminal:
        update(f"{news.service}: {news.state} {news.detail}")
    if not console.is_terminal or news.state in ("healthy", "already running", "stopped"):
        console.print(f"  {news.service:<22} {news.state:<16} {news.seconds:6.1f} s")


def _first_night(airflow: services.AirflowClient) -> None:
    console.print("the night, through Airflow:")
    with console.status("waiting for the scheduler") as spinner:
        night = airflow.follow_night(lambda task: _tell_task(task, spinner.update))
    if night.succeeded:
        return
    where = f"{night.failed.dag}.{night.failed.task}" if night.failed else "the night"
    message = f"{where} ended the night:\n{night.reason or night.log_tail}"
    if night.error_type == GateRefused.__name__:
        raise GateRefused(message, {})
    raise OutsideFailed(message)


def _tell_task(task: services.TaskRun, update: Any) -> None:
    if task.state == "success":
        receipt = task.receipt
        done = "" if receipt is None else receipt.ref + ("" if receipt.fresh else "  (unchanged)")
        console.print(f"✓ {task.dag:<17} {task.task:<17} {task.seconds:7.1f} s  {done}")
    elif task.state in ("failed", "up_for_retry"):
        console.print(f"✗ {task.dag:<17} {task.task:<17} {task.seconds:7.1f} s  {task.state}")
    else:
        update(f"{task.dag}.{task.task}: {task.state}")


def _introduce(settings: Settings) -> None:
    """The live release, its gates, one answer, and where to look."""
    release = live_release(settings)
    for verdict in verdicts_of(settings, release):
        console.print(verdict_line(verdict))
    console.print(f"release {release.id} is live: {release.products} products")
    _show_one_answer(settings, settings.releases_dir / release.id)
    user, password = services.airflow_login(settings)
    console.print(
        f"Airflow  http://127.0.0.1:{settings.airflow_port}  (user {user}, password {password})"
    )
    console.print(f"MLflow   http://127.0.0.1:{settings.mlflow_port}")
    console.print(f"Seldon   {settings.predictions_url}")
    console.print(f"next night: {settings.night_cron} ({settings.timezone}); stop with `make down`")


def _show_one_answer(settings: Settings, folder: Path) -> None:
    table = ProductTable.load(folder)
    shown = Spool(settings.changes_dir).products_shown(folder)
    product_id = shown[len(shown) // 2]
    answer = ask(settings, product_id, _FIRST_K, {})
    print_answer(f"{product_id}, {table.describe(table.row(product_id))['name']}", answer)
    sheet = settings.sheets_dir / f"{folder.name}-{product_id}.png"
    sheet.parent.mkdir(parents=True, exist_ok=True)
    draw_sheet(settings, product_id, answer, sheet)
    console.print(f"contact sheet: {sheet}")


def _service_data(item: services.ServiceStatus) -> dict[str, Any]:
    return {**vars(item), "log": str(item.log)}
