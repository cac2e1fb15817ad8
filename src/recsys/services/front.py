"""HAProxy before the Seldon microservice: its configuration, and what it is told while it runs.

Two colours stand behind it, one of which serves; `recsys.services.swap` changes them. What the
front adds beside: a worker that dies in mid-request costs a second try and no failure, and
requests that are too many or too slow to arrive end here.
"""

from __future__ import annotations

import csv
import os
import shutil
import socket
from pathlib import Path
from typing import Final, Literal, get_args

from recsys.artifacts.files import write_atomically
from recsys.errors import ServiceUnavailable, SettingsInvalid
from recsys.services.health import HOST
from recsys.settings import Settings

Colour = Literal["blue", "green"]
COLOURS: Final[tuple[Colour, ...]] = get_args(Colour)
# Answered by HAProxy itself.
PING: Final = "/front/ping"
_BACKEND: Final = "recommender"
_ANSWER_SECONDS: Final = 5.0
# Debian has it where only root looks.
_PLACES: Final = ("/usr/sbin", "/usr/local/sbin")
# What the kernel allows for a socket's path, less what HAProxy appends while it binds.
_LONGEST_SOCKET: Final = 90

_CONFIGURATION: Final = """\
global
    maxconn 2000
    nbthread 1
    hard-stop-after 20s
    stats socket {socket} mode 600 level admin
    log stdout format raw local0 notice

defaults
    mode http
    log global
    option http-buffer-request
    option redispatch 1
    retries 3
    retry-on conn-failure empty-response
    timeout http-request 20s
    timeout http-keep-alive 15s
    timeout client 20s
    timeout connect 2s
    timeout server 120s
    timeout queue 2s
    timeout check 5s
    http-error status 503 content-type application/json string '{busy}' hdr Retry-After 1

frontend seldon
    bind {host}:{port}
    monitor-uri {ping}
    http-request deny deny_status 503 if {{ queue({backend}) gt {waiting} }}
    default_backend {backend}

backend {backend}
    balance leastconn
    http-reuse safe
    option httpchk
    http-check send meth GET uri /health/ping
    default-server inter 1s fastinter 200ms fall 3 rise 1 maxconn {connections}
{servers}
"""
_BUSY: Final = (
    '{"status": {"status": 1, "code": 503, "reason": "BUSY",'
    ' "info": "no worker is free; come again in a moment"}}'
)


def haproxy() -> str:
    """The program; its bare name when it is not here."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_PLACES))
    return shutil.which("haproxy", path=path) or "haproxy"


def require(settings: Settings) -> None:
    """Refuse to go on without HAProxy, or where it could not work.

    Raises
    ------
    SettingsInvalid
        It is not on this machine, or the state folder's path is too long for its socket.
    """
    if not Path(haproxy()).is_file():
        raise SettingsInvalid(
            "RECSYS_SERVING_FRONT is haproxy, which is not on this machine: install it (on"
            " Debian: apt-get install haproxy), or set RECSYS_SERVING_FRONT=none"
        )
    path = _socket(settings)
    if len(os.fsencode(path)) > _LONGEST_SOCKET:
        raise SettingsInvalid(
            f"HAProxy's socket {path} has a path of over {_LONGEST_SOCKET} bytes:"
            " choose a shorter RECSYS_STATE_DIR"
        )


def port_of(settings: Settings, colour: Colour) -> int:
    """Where a colour listens."""
    return settings.seldon_blue_port if colour == "blue" else settings.seldon_green_port


def other(colour: Colour) -> Colour:
    """The one beside it."""
    return "green" if colour == "blue" else "blue"


def serving_colour(settings: Settings) -> Colour:
    """The colour that serves, or would; blue at first."""
    try:
        found = _note(settings).read_text()
    except FileNotFoundError:
        return "blue"
    return "green" if found == "green" else "blue"


def note_serving(settings: Settings, colour: Colour) -> None:
    """From now on this colour serves, also after HAProxy starts anew."""
    make_folder(settings)
    write_atomically(_note(settings), colour.encode())
    write_atomically(configuration_file(settings), configuration(settings, colour).encode())


def configuration_file(settings: Settings) -> Path:
    """What HAProxy reads when it starts."""
    return _folder(settings) / "haproxy.cfg"


def configuration(settings: Settings, serving: Colour) -> str:
    """HAProxy's configuration while this colour serves."""
    waiting = settings.max_waiting * settings.serving_workers
    lines = (
        f"    server {colour} {HOST}:{port_of(settings, colour)} check"
        + ("" if colour == serving else " disabled")
        for colour in COLOURS
    )
    return _CONFIGURATION.format(
        socket=_socket(settings),
        host=HOST,
        port=settings.seldon_port,
        ping=PING,
        backend=_BACKEND,
        busy=_BUSY,
        waiting=waiting,
        connections=waiting + settings.serving_workers,
        servers="\n".join(lines),
    )


def let_serve(settings: Settings, colour: Colour) -> None:
    """Send it requests from now on."""
    _tell(settings, f"set server {_BACKEND}/{colour} state ready")


def drain(settings: Settings, colour: Colour) -> None:
    """Send it no more requests; those that it has may end."""
    _tell(settings, f"set server {_BACKEND}/{colour} state drain")


def leave_alone(settings: Settings, colour: Colour) -> None:
    """Neither send it requests nor ask whether it is well."""
    _tell(settings, f"set server {_BACKEND}/{colour} state maint")


def requests_at(settings: Settings, colour: Colour) -> int:
    """How many requests it has not answered yet, those that wait for it included."""
    row = _row(settings, colour)
    return int(row["scur"]) + int(row["qcur"])


def is_up(settings: Settings, colour: Colour) -> bool:
    """Whether HAProxy sends it requests."""
    return _row(settings, colour)["status"].startswith("UP")


def _row(settings: Settings, colour: Colour) -> dict[str, str]:
    table = _ask(settings, "show stat").removeprefix("# ")
    for row in csv.DictReader(table.splitlines()):
        if (row["pxname"], row["svname"]) == (_BACKEND, colour):
            return row
    raise ServiceUnavailable(f"HAProxy knows no server {colour}; `recsys up` starts it anew")


def _tell(settings: Settings, command: str) -> None:
    complaint = _ask(settings, command).strip()
    if complaint:
        raise ServiceUnavailable(f"HAProxy did not take {command!r}: {complaint[:200]}")


def _ask(settings: Settings, command: str) -> str:
    """One command over HAProxy's socket."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(_ANSWER_SECONDS)
            line.connect(str(_socket(settings)))
            line.sendall(command.encode() + b"\n")
            parts = iter(lambda: line.recv(1 << 16), b"")
            return b"".join(parts).decode()
    except OSError as error:
        raise ServiceUnavailable(
            f"HAProxy does not answer ({error}); see `recsys status`"
        ) from None


def make_folder(settings: Settings) -> None:
    """Nobody else may look in, and so nobody else may give HAProxy orders."""
    _folder(settings).mkdir(parents=True, exist_ok=True, mode=0o700)


def _socket(settings: Settings) -> Path:
    return _folder(settings) / "admin"


def _note(settings: Settings) -> Path:
    return _folder(settings) / "serving"


def _folder(settings: Settings) -> Path:
    return settings.run_dir / "front"
