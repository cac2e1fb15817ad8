"""A gunicorn worker for short computations: many connections, one request at a time.

gunicorn's sync worker reads from its client while everybody waits, so one slow client holds it;
it closes every connection; and its queue is the kernel's, which nobody sees. This one reads
all connections at once, without waiting, and computes only for requests that are here whole.

New connections wait in the kernel, where every worker takes them from, so the least busy one
does; one for each request answered. Requests and connections that wait are counted, and those
that are too many are told 503 and when to come again. So many are refused a second, and no more,
that refusing takes a small part of a worker's time: clients that come again at once
wait in the kernel instead.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import deque
from contextlib import suppress
from http import HTTPStatus
from io import BytesIO
from os import getppid, read
from typing import Any, Final

import orjson
from gunicorn.http import wsgi
from gunicorn.http.errors import ParseException
from gunicorn.workers.base import Worker

from connection import CHUNK_BYTES, Connection
from recsys import names

_POLL_SECONDS: Final = 1.0
# From the first byte of a request to its last.
_REQUEST_SECONDS: Final = 20.0
# Longer than clients keep a connection that they mean to use again: then they close it, and
# no request meets a closing one.
_IDLE_SECONDS: Final = 15.0
_LINGER_SECONDS: Final = 2.0
# When told to end: how long a client that keeps its connection may take to ask once more,
# and be told that it was the last time.
_FAREWELL_SECONDS: Final = 0.5
_CONNECTIONS: Final = 1_000
# Connections that stay are not shared between workers; new ones are. So where others wait for
# this worker a client is soon told to connect again, and comes to whichever has less to do.
_REQUESTS_A_CONNECTION: Final = 500
_REQUESTS_WHILE_OTHERS_WAIT: Final = 16
_REFUSALS_A_SECOND: Final = 2_000
_RETRY_AFTER_SECONDS: Final = 1
# Bodies of the largest size that may be held at once.
_LARGEST_BODIES: Final = 8
# Asked by whoever decides whether this process is well, which must not depend on its load.
_HEALTH: Final = "/health/"
_TCP_INFO_UNACKED: Final = 24  # offset in the kernel's struct tcp_info
_EVENTS: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_GONE: Final = select.EPOLLHUP | select.EPOLLERR
_FAILURE: Final = 1  # seldon.protos.Status.StatusFlag


class BufferingWorker(Worker):  # type: ignore[misc]
    """Run by gunicorn around an app with ``max_waiting``, ``max_body_bytes`` and ``access``."""

    def run(self) -> None:
        """Answer until told to end, then what has begun."""
        self._listener: socket.socket = self.sockets[0].sock
        self._listener.setblocking(False)
        self._address = self._listener.getsockname()
        self._connections: dict[int, Connection] = {}
        self._ready: deque[Connection] = deque()
        self._backlog = 0
        self._refused = 0
        self._refused_at = self._looked_at = time.monotonic()
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        self._poll.register(self.PIPE[0], select.EPOLLIN)  # a signal
        while self.alive:
            self._round()
        self._end()

    def _round(self) -> None:
        """Read whatever came, then answer one request."""
        new = False
        for number, event in self._poll.poll(0 if self._ready else _POLL_SECONDS):
            connection = self._connections.get(number)
            if connection is not None:
                self._get_on(connection, event)
            elif number == self.PIPE[0]:
                read(number, 1)
            else:
                new = number == self._listener.fileno()
        # Last, so that no event is taken for one of a connection that got a number anew.
        self._backlog = _waiting(self._listener) if new else 0
        if new:
            self._accept()
        if self._ready:
            self._answer(self._ready.popleft())
        if time.monotonic() - self._looked_at > _POLL_SECONDS:
            self._look()

    def _accept(self) -> None:
        """One connection, and of those that are too many as many as may be refused now."""
        now = time.monotonic()
        excess = len(self._ready) + self._backlog - self.app.max_waiting
        wanted = 1
        if excess > 0:
            wanted += min(excess, int((now - self._refused_at) * _REFUSALS_A_SECOND))
            self._refused_at = now
        for _ in range(wanted):
            try:
                sock, client = self._listener.accept()
            except OSError:  # another worker was faster, or the client went
                return
            self._backlog = max(0, self._backlog - 1)
            self._begin(sock, client, now)

    def _begin(self, sock: socket.socket, client: Any, now: float) -> None:
        sock.setblocking(False)
        connection = Connection(sock, client, now + _REQUEST_SECONDS)
        if len(self._connections) >= _CONNECTIONS:
            self._close_slowest()
        self._connections[sock.fileno()] = connection
        self._poll.register(sock, _EVENTS)
        self._read(connection)

    def _close_slowest(self) -> None:
        """Make room: of the connections that do not wait for us, the one due first goes."""
        slow = [item for item in self._connections.values() if not item.queued]
        if slow:
            self._close(min(slow, key=lambda item: item.deadline))

    def _get_on(self, connection: Connection, event: int) -> None:
        if event & _GONE:
            self._close(connection)
            return
        if event & select.EPOLLRDHUP:
            connection.ended = True
        if event & select.EPOLLOUT and connection.sending:
            self._send(connection, b"")
        if event & select.EPOLLIN and not connection.closed:
            self._read(connection)

    def _read(self, connection: Connection) -> None:
        if connection.queued or connection.sending:
            connection.more = True
            return
        if connection.idle:
            connection.deadline = time.monotonic() + _REQUEST_SECONDS
        connection.more = False
        came: int | None = CHUNK_BYTES
        # The end comes with the last bytes, and is not told of again.
        while came == CHUNK_BYTES or (came and connection.ended):
            came = connection.receive()
            if came is None or connection.lingers_long(self.app.max_body_bytes):
                self._close(connection)
                return
            if came and not connection.lingering:
                self._take(connection)
            if connection.queued or connection.closed:
                connection.more = True
                return

    def _take(self, connection: Connection) -> None:
        """Give a request that is whole its place in the queue, or say why not."""
        try:
            whole = connection.take(self.cfg, self.app.max_body_bytes, self._admits)
        except (ParseException, ValueError) as error:
            self._refuse(connection, HTTPStatus.BAD_REQUEST, "BAD_REQUEST", f"no HTTP: {error}")
            return
        if whole and connection.request.path.startswith(_HEALTH):
            connection.queued = True
            self._ready.appendleft(connection)
        elif whole and self._has_room():
            connection.queued = True
            self._ready.append(connection)
        elif whole or self._holds_too_much(connection):
            self._turn_away(connection)

    def _admits(self, request: Any) -> bool:
        """Whether its body is worth reading; the application says so to the client."""
        sent = dict(request.headers)
        own = sent.get(names.TOKEN_HEADER.upper())
        return bool(self.app.access.admits(request.path, sent.get("AUTHORIZATION"), own))

    def _has_room(self) -> bool:
        """Whether another request may wait; who comes while none does need not."""
        return not self._ready or len(self._ready) + self._backlog < self.app.max_waiting

    def _holds_too_much(self, connection: Connection) -> bool:
        """Whether bodies that are still on their way fill the memory that is theirs."""
        largest = int(self.app.max_body_bytes)
        if connection.held_bytes < largest // self.app.max_waiting:
            return False
        held = sum(item.held_bytes for item in self._connections.values())
        return held > _LARGEST_BODIES * largest

    def _answer(self, connection: Connection) -> None:
        if connection.closed:  # the client went while it waited
            return
        sink = _Sink()
        try:
            closes = self._call(connection, sink)
        except Exception:
            self.log.exception("Error handling request %s", connection.request.uri)
            self._close(connection)
            return
        connection.next_request()
        connection.closes = closes
        self._send(connection, b"".join(sink.parts))

    def _call(self, connection: Connection, sink: _Sink) -> bool:
        """Run the application on a whole request; whether the connection ends with it."""
        response, environ = wsgi.create(
            connection.request, sink, connection.client, self._address, self.cfg
        )
        environ["wsgi.input"] = BytesIO(connection.body())
        most = _REQUESTS_WHILE_OTHERS_WAIT if self._ready else _REQUESTS_A_CONNECTION
        last = connection.answered + 1 >= most
        if last or connection.unread or not self.alive:
            response.force_close()
        parts = self.wsgi(environ, response.start_response)
        try:
            for part in parts:
                response.write(part)
            response.close()
        finally:
            if hasattr(parts, "close"):
                parts.close()
        return bool(response.should_close())

    def _turn_away(self, connection: Connection) -> None:
        self._refused += 1
        if self._refused.bit_count() == 1:  # the 1st, 2nd, 4th …: told, without a flood
            self.log.warning("too many requests at once: %d told to come again", self._refused)
        info = f"{self.app.max_waiting} requests wait already; come again in a moment"
        self._refuse(connection, HTTPStatus.SERVICE_UNAVAILABLE, "BUSY", info)

    def _refuse(self, connection: Connection, code: HTTPStatus, reason: str, info: str) -> None:
        connection.closes = connection.unread = True
        self._send(connection, _refusal(code, reason, info))

    def _send(self, connection: Connection, data: bytes) -> None:
        if not connection.send(data):
            self._close(connection)
            return
        now = time.monotonic()
        if connection.sending:
            connection.deadline = now + _REQUEST_SECONDS
        elif connection.closes and connection.unread:
            connection.deadline = now + _LINGER_SECONDS
            with suppress(OSError):
                connection.linger()
        elif connection.closes:
            self._close(connection)
        elif connection.idle and not connection.more:
            connection.deadline = now + _IDLE_SECONDS
        else:
            self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        """What came while the last request was answered."""
        connection.deadline = time.monotonic() + _REQUEST_SECONDS
        if connection.pipelined:
            self._take(connection)
        if not (connection.queued or connection.closed):
            self._read(connection)

    def _close(self, connection: Connection) -> None:
        self._connections.pop(connection.sock.fileno(), None)
        connection.sock.close()

    def _look(self) -> None:
        """Once a second: tell gunicorn that we live, and close what does not get on."""
        self._looked_at = now = time.monotonic()
        self.notify()
        if self.ppid != getppid():
            self.log.info("Parent changed, shutting down: %s", self)
            self.alive = False
        for connection in [item for item in self._connections.values() if not item.queued]:
            if connection.deadline < now:
                self._close(connection)

    def _end(self) -> None:
        """Take no new connections; answer what was asked, and say that it is the last time."""
        self._poll.unregister(self._listener)
        with suppress(OSError):  # until there are none
            while True:
                self._begin(*self._listener.accept(), time.monotonic())
        self._listener.close()
        begun = time.monotonic()
        while self._connections and time.monotonic() < begun + self.cfg.graceful_timeout - 1:
            busy = [item for item in self._connections.values() if not item.idle]
            if not busy and time.monotonic() > begun + _FAREWELL_SECONDS:
                break
            self._round()
        for connection in list(self._connections.values()):
            self._close(connection)


class _Sink:
    """Stands in for the socket that gunicorn writes an answer to."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        """Keep it, to be sent as one."""
        self.parts.append(data)

    def send(self, data: bytes) -> None:
        """Nothing but "go on", which was said before the body came."""


def _waiting(listener: socket.socket) -> int:
    """Connections that no worker has taken yet."""
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_UNACKED + 4)
    (waiting,) = struct.unpack_from("I", info, _TCP_INFO_UNACKED)
    return int(waiting)


def _refusal(code: HTTPStatus, reason: str, info: str) -> bytes:
    """A whole answer in the shape of Seldon's status message."""
    status = {"status": _FAILURE, "code": int(code), "reason": reason, "info": info}
    body = orjson.dumps({"status": status})
    again = f"Retry-After: {_RETRY_AFTER_SECONDS}\r\n" if code.value // 100 == 5 else ""
    head = (
        f"HTTP/1.1 {code.value} {code.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{again}Connection: close\r\n\r\n"
    )
    return head.encode() + body
