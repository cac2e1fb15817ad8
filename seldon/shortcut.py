"""Predictions asked in plain JSON, which nearly all are, straight to the component.

Seldon's route for them takes the body, calls ``predict_raw`` and sends what it says; Flask's way
there and back costs as much as finding the neighbours. Whatever is not just that, Seldon's own
app answers: other routes, forms, queries in the address, other origins, who may not ask. An
error takes its form from the app's own handlers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from recsys import names
from recsys.serving.access import Access

_ROUTES: Final = ("/api/v1.0/predictions", "/api/v0.1/predictions", "/predict")
_ELSEWHERE: Final = ("HTTP_ORIGIN", "HTTP_TRANSFER_ENCODING")
_HEADERS: Final = (("Content-Type", "application/json"), ("Access-Control-Allow-Origin", "*"))

_TOKEN_KEY: Final = "HTTP_" + names.TOKEN_HEADER.upper().replace("-", "_")

Environ = dict[str, Any]
Start = Callable[..., Any]


class Shortcut:
    """A WSGI application around Seldon's.

    Parameters
    ----------
    app
        Seldon's Flask app.
    component
        What it serves; ``PAYLOAD_PASSTHROUGH`` is on.
    access
        Who may ask.
    max_body_bytes
        Larger bodies are the app's to refuse.
    """

    def __init__(self, app: Any, component: Any, access: Access, max_body_bytes: int) -> None:
        self._app = app
        self._component = component
        self._access = access
        self._max_body_bytes = max_body_bytes

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        """See PEP 3333."""
        length = self._body_bytes(environ)
        if length is None:
            answer: Iterable[bytes] = self._app(environ, start_response)
            return answer
        body = environ["wsgi.input"].read(length)
        try:
            said = self._component.predict_raw(body)
        except Exception as error:  # noqa: BLE001 - the app's handlers say what becomes of it
            return self._failed(error, environ, start_response)
        start_response("200 OK", [*_HEADERS, ("Content-Length", str(len(said)))])
        return [said]

    def _body_bytes(self, environ: Environ) -> int | None:
        """The length of a body that goes the short way; None for the long way."""
        length = environ.get("CONTENT_LENGTH", "")
        plain = (
            environ["REQUEST_METHOD"] == "POST"
            and environ["PATH_INFO"] in _ROUTES
            and environ.get("CONTENT_TYPE") == "application/json"
            and not environ.get("QUERY_STRING")
            and not any(name in environ for name in _ELSEWHERE)
            and length.isdigit()
        )
        if not plain or int(length) > self._max_body_bytes or not self._admits(environ):
            return None
        return int(length)

    def _admits(self, environ: Environ) -> bool:
        sent = environ.get("HTTP_AUTHORIZATION"), environ.get(_TOKEN_KEY)
        return self._access.admits(environ["PATH_INFO"], *sent)

    def _failed(self, error: Exception, environ: Environ, start_response: Start) -> Iterable[bytes]:
        with self._app.request_context(environ):
            response = self._app.make_response(self._app.handle_user_exception(error))
            answer: Iterable[bytes] = self._app.process_response(response)(environ, start_response)
            return answer
