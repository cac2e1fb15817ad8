"""One client's connection: the bytes that came, the request in them, the bytes still to go.

A request counts only when it is here whole, so a client that sends slowly, or never, costs a
few bytes and holds nobody up. Where a request ends is gunicorn's own reading of its head.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any, Final

from gunicorn.http.body import LengthReader
from gunicorn.http.errors import InvalidHeader, InvalidHTTPVersion, LimitRequestHeaders
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader

# The most that one look takes in: fewer bytes mean that no more are there.
CHUNK_BYTES: Final = 1 << 16
_MAX_HEAD_BYTES: Final = 1 << 16
_LINGERING_BODIES: Final = 4
_HEAD_END: Final = b"\r\n\r\n"
_VERSIONS: Final = ((1, 0), (1, 1))
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection:
    """Reads without waiting, writes without waiting.

    Attributes
    ----------
    request
        What gunicorn made of the head, None while the head is not whole.
    deadline
        Monotonic seconds at which it is closed if it has not got on.
    answered
        Requests so far.
    queued
        Whether a whole request waits for its turn; nothing is read meanwhile.
    more
        Whether bytes came meanwhile.
    ended
        Whether the client sends no more; it may still wait for its answer.
    lingering
        Whether all is said, and what still comes is only thrown away: to close at once could
        take the answer from a client that is still sending.
    """

    def __init__(self, sock: socket.socket, client: Any, deadline: float) -> None:
        self.request: Any = None
        self.deadline = deadline
        self.answered = 0
        self.queued = False
        self.more = False
        self.ended = False
        self.lingering = False
        self.closes = False
        self.unread = False
        self.sock = sock
        self.client = client
        self._received = bytearray()
        self._unsent = b""
        self._length = 0
        self._thrown_away = 0

    @property
    def idle(self) -> bool:
        """Whether nothing of a request came since the last answer."""
        return not (self.queued or self._received or self.request or self._unsent)

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self.sock.fileno() < 0

    @property
    def pipelined(self) -> bool:
        """Whether something of a next request is here already."""
        return bool(self._received)

    @property
    def sending(self) -> bool:
        """Whether an answer is still on its way."""
        return bool(self._unsent)

    @property
    def held_bytes(self) -> int:
        """What it takes of the worker's memory, apart from what it takes anyway."""
        return len(self._received) + len(self._unsent)

    def receive(self) -> int | None:
        """Take what came, a chunk at most: its bytes, 0 for none now, None from who is gone."""
        try:
            data = self.sock.recv(CHUNK_BYTES)
        except BlockingIOError:
            return 0
        except OSError:
            return None
        if self.lingering:
            self._thrown_away += len(data)
        else:
            self._received += data
        return len(data) or None

    def take(self, config: Any, max_body_bytes: int, admits: Callable[[Any], bool]) -> bool:
        """Whether a whole request is here.

        One that is not admitted, or whose body is too large, or of no known length, counts as
        whole without it: it is refused anyway, and the connection with it.

        Raises
        ------
        gunicorn.http.errors.ParseException
            It is no HTTP.
        """
        if self.request is None:
            end = self._received.find(_HEAD_END)
            if end < 0:
                if len(self._received) > _MAX_HEAD_BYTES:
                    raise LimitRequestHeaders("they do not end")
                return False
            head = bytes(self._received[: end + len(_HEAD_END)])
            del self._received[: len(head)]
            _check_lines(head)
            self.request = Request(config, IterUnreader([head]), self.client)
            if self.request.version not in _VERSIONS:
                raise InvalidHTTPVersion("{}.{}".format(*self.request.version))
            length = _body_length(self.request)
            too_long = length is None or length > max_body_bytes
            self.unread = too_long or not admits(self.request)
            self._length = 0 if self.unread or length is None else length
            self._let_go_on()
        return self._whole

    def body(self) -> bytes:
        """Take the whole request's body out of what was received."""
        body = bytes(self._received[: self._length])
        del self._received[: self._length]
        return body

    def send(self, data: bytes) -> bool:
        """Send as much as the client takes now, the rest later; False when it is gone."""
        self._unsent = self._unsent + data if self._unsent else data
        try:
            sent = self.sock.send(self._unsent)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._unsent = self._unsent[sent:]
        return True

    def next_request(self) -> None:
        """Forget the request that was answered."""
        self.request = None
        self.queued = False
        self.answered += 1

    def lingers_long(self, most_bytes: int) -> bool:
        """Whether more was thrown away than the client may still send."""
        return self._thrown_away > _LINGERING_BODIES * most_bytes

    def linger(self) -> None:
        """Say no more, and keep nothing of what still comes."""
        self.lingering = True
        self._received.clear()
        self.sock.shutdown(socket.SHUT_WR)

    @property
    def _whole(self) -> bool:
        return len(self._received) >= self._length

    def _let_go_on(self) -> None:
        """Answer a client that asks before it sends its body."""
        asks = any(name == "EXPECT" for name, _ in self.request.headers)
        if asks and not self.unread and not self._whole:
            self.send(_CONTINUE)


def _check_lines(head: bytes) -> None:
    """Refuse what gunicorn passes over and a proxy in front may read otherwise.

    A line that goes on the one before, a line break that is none, a name that is empty.
    """
    for place, line in enumerate(head.removesuffix(_HEAD_END).split(b"\r\n")):
        if (place and line[:1] in b" \t:") or _CONTROL.search(line):
            raise InvalidHeader(line[:40].decode("latin-1"))


def _body_length(request: Any) -> int | None:
    """Bytes of a request's body; None when the head does not say, as of one in chunks."""
    for name, value in request.headers:
        if name == "TRANSFER-ENCODING":
            return None
        # Python reads more as a number than a proxy in front of us does.
        if name == "CONTENT-LENGTH" and not (value.isascii() and value.isdigit()):
            raise InvalidHeader(name)
    reader = request.body.reader
    return int(reader.length) if isinstance(reader, LengthReader) else None
