"""Who may ask: whoever sends the service's token, and everybody where it has none."""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest

from recsys.serving.contract import OPEN_PATHS

_BEARER = "bearer "


class Access:
    """The service's token; an empty one lets everybody in.

    It comes as ``Authorization: Bearer …``, or in a header of its own where something in
    between takes ``Authorization`` for itself, as the proxy of a Kubernetes API server does.
    """

    def __init__(self, token: str) -> None:
        self._digest = _digest(token) if token else b""

    @property
    def open(self) -> bool:
        """Whether everybody may ask."""
        return not self._digest

    def admits(self, path: str, authorization: str | None, own_header: str | None) -> bool:
        """Whether a request for a path, with these two headers, may be answered."""
        if self.open or path in OPEN_PATHS:
            return True
        sent = own_header
        if authorization is not None and authorization[: len(_BEARER)].lower() == _BEARER:
            sent = authorization[len(_BEARER) :].strip()
        # Digests have one length, so the time tells nothing, not even how long the token is.
        return compare_digest(_digest(sent or ""), self._digest)


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
