"""The one exception by which any part of the service refuses a request."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):
    """A request that is answered with an error status. message: for the client, one line; headers: besides the usual ones."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


def busy(message: str) -> Refusal:
    """503: more than can be worked on now; the client may try again."""
    return Refusal(503, message, {"retry-after": "1"})
