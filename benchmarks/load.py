"""A load client for `soda serve`: closed-loop clients on keep-alive connections, as cheap as asyncio allows. Loopback only."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Tally:
    """What came of the requests. seconds: of each answered one; lost: sent in full on an open connection, never answered;
    refused: clients that were not let in any more."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lost: int = 0
    refused: int = 0
    wrong: int = 0
    wall: float = 0.0

    @property
    def answered(self) -> int:
        return sum(self.statuses.values())


@dataclass(frozen=True)
class Plan:
    """request: its bytes, sent over and over. expected: how a 200's body ends, where that is known. count and seconds: whichever
    comes first ends the load."""

    host: str
    port: int
    request: bytes
    clients: int
    count: int
    seconds: float
    expected: bytes | None = None


def infer_request(images: np.ndarray, model: str, *, binary: bool = True) -> bytes:
    """A v2 inference request for uint8 (N, H, W, 3) as it goes over the wire: binary tensors, or JSON."""
    tensor = {"name": "images", "shape": list(images.shape), "datatype": "UINT8"}
    if binary:
        tensor["parameters"] = {"binary_data_size": images.nbytes}
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
        body = head + images.tobytes()
        kind = f"content-type: application/octet-stream\r\ninference-header-content-length: {len(head)}\r\n"
    else:
        body = json.dumps({"inputs": [tensor | {"data": images.reshape(-1).tolist()}]}).encode()
        kind = "content-type: application/json\r\n"
    lines = f"POST /v2/models/{model}/infer HTTP/1.1\r\nhost: localhost\r\n{kind}content-length: {len(body)}\r\n\r\n"
    return lines.encode() + body


class _Client(asyncio.Protocol):
    """One connection: sends the request, takes the whole answer, and again."""

    def __init__(self, plan: Plan, tally: Tally, end: float) -> None:
        self._plan, self._tally, self._end = plan, tally, end
        self._buffer = bytearray()
        self._waiting, self._sent = False, 0.0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._next()

    def _next(self) -> None:
        self._sent, self._waiting = time.perf_counter(), True
        self._transport.write(self._plan.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._buffer[:head_end]).lower()
        at = head.index(b"content-length: ") + 16
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(self._buffer) < head_end + 4 + length:
            return
        self._take(int(head[9:12]), bytes(self._buffer[head_end + 4 :]))
        self._buffer.clear()
        self._waiting = False
        done = time.perf_counter() >= self._end or self._tally.answered >= self._plan.count
        if done or b"\r\nconnection: close" in head:
            self._transport.close()
        else:
            self._next()

    def _take(self, status: int, body: bytes) -> None:
        self._tally.statuses[status] += 1
        self._tally.seconds.append(time.perf_counter() - self._sent)
        if status == 200 and self._plan.expected is not None and not body.endswith(self._plan.expected):
            self._tally.wrong += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.lost += self._waiting
        self.closed.set_result(None)


async def _client(plan: Plan, tally: Tally, end: float) -> None:
    loop = asyncio.get_running_loop()
    while time.perf_counter() < end and tally.answered < plan.count:
        try:
            _, client = await loop.create_connection(lambda: _Client(plan, tally, end), plan.host, plan.port)
        except (ConnectionRefusedError, ConnectionResetError):
            tally.refused += 1
            return
        await client.closed


async def load(plan: Plan) -> Tally:
    """Carry out the plan. Raises ValueError for an address that is not this machine's own."""
    if not ipaddress.ip_address(plan.host).is_loopback:
        raise ValueError(f"{plan.host}: the load goes to loopback addresses only")
    tally, start = Tally(), time.perf_counter()
    await asyncio.gather(*(_client(plan, tally, start + plan.seconds) for _ in range(plan.clients)))
    tally.wall = time.perf_counter() - start
    return tally
