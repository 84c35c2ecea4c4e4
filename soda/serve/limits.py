"""What the service allows a client and how long it waits: one frozen dataclass, checked where it is made."""

from __future__ import annotations

import dataclasses
import ipaddress
from dataclasses import dataclass

from soda.common.errors import InputError

MIB = 1 << 20
LOOPBACK_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, pixels or pictures; times in seconds. Raises ValueError for a value that is not possible.

    max_body: of one request, as received. max_json: of the JSON in it, which takes up to twenty times its size when read.
    max_received: of all requests that are being received or worked on.
    max_pictures: in one request. max_pixels: of one picture, read from its header before it is decoded, or of one tensor row.
    max_queue: pictures accepted and not yet answered; more are refused with 503. max_batch: pictures of one run of the session.
    batch_delay: how long a batch waits to fill while requests come together; `batching` says why 0 is best on a CPU.
    max_connections: open at once.
    header_timeout, body_timeout: for a request's head and for its body to arrive. answer_timeout: from there to the answer.
    keep_alive: how long an idle connection stays open. drain: from SIGTERM until no new connection is taken, for balancers
    to look elsewhere. stop_timeout: then, for what was accepted to be answered.
    """

    max_body: int = 32 * MIB
    max_json: int = 8 * MIB
    max_received: int = 256 * MIB
    max_pictures: int = 256
    max_pixels: int = 32_000_000
    max_queue: int = 1024
    max_batch: int = 64
    batch_delay: float = 0.0
    max_connections: int = 1024
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    answer_timeout: float = 30.0
    keep_alive: float = 30.0
    drain: float = 1.0
    stop_timeout: float = 75.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least = 1 if field.type == "int" else 0
            if not least <= value < float("inf"):
                raise InputError(f"--{field.name.replace('_', '-')}: {value!r} is not possible; it must be {least} or more")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    if host.lower() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, token: str | None) -> None:
    """Raises ValueError for an address that others reach without a token, and for a token that anybody could guess."""
    if token is not None and (len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token):
        raise InputError("the token wants at least 16 printable ASCII characters without a blank, e.g. of `openssl rand -hex 32`")
    if token is None and not is_loopback(host):
        raise InputError(
            f"--host {host}: others can reach this address, so clients must show a token: put one into a file and name it with "
            "--token-file, or set SODA_SERVE_TOKEN"
        )
