"""ASGI middleware that holds every client to the limits: token, sizes, times, and a status for whoever breaks them.

A refusal goes out at once, but many clients read only after they have sent everything, and a connection closed on unread bytes
takes the answer with it. So the rest of a refused upload is read and thrown away, for a while, before the connection ends.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
from starlette.requests import ClientDisconnect

from soda.serve.counters import Metrics
from soda.serve.limits import Limits
from soda.serve.refusal import Refusal, busy

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset({"/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json"})
"""Answered without the token: what a balancer asks, and what the service is."""
LINGER_SECONDS, LINGER_IDLE, LINGER_BYTES = 10.0, 0.5, 512 << 20


class State:
    """What all requests share. draining: asked to stop; received: bytes of the bodies that are held now."""

    def __init__(self) -> None:
        self.draining = False
        self.received = 0
        self.in_flight = 0


class Guard:
    """The outermost layer of the service."""

    def __init__(self, app: App, *, limits: Limits, token: str | None, state: State, metrics: Metrics) -> None:
        self._app, self._limits, self._state, self._metrics = app, limits, state, metrics
        self._bearer = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        exchange = _Exchange(scope, receive, send, self._limits, self._state)
        self._state.in_flight += 1
        try:
            try:
                self._check(scope, exchange)
                await self._app(scope, exchange.receive, exchange.send)
            except Refusal as refusal:
                await exchange.refuse(refusal)
            except MemoryError:
                await exchange.refuse(Refusal(413, "this machine has not the memory for this request"))
            except ClientDisconnect:  # it sent half of its body and went away
                exchange.status = 499
        finally:
            self._state.in_flight -= 1
            self._state.received -= exchange.received
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.request(route, exchange.status, time.perf_counter() - start)

    def _check(self, scope: Scope, exchange: _Exchange) -> None:
        if self._bearer is not None and scope["path"] not in OPEN_PATHS:
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not hmac.compare_digest(given, self._bearer):
                raise Refusal(401, "this service wants its token: Authorization: Bearer ...", {"www-authenticate": "Bearer"})
        encoding = next((value for name, value in scope["headers"] if name == b"content-encoding"), b"identity")
        if encoding.lower() != b"identity":
            raise Refusal(
                415, f"content encoding {encoding[:30].decode('latin-1')!r} is not possible here; send the body as it is"
            )
        if exchange.announced > self._limits.max_body:
            raise exchange.too_large()


class _Exchange:
    """One request and its answer: counts what is received, watches the clock, remembers what was sent."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits, state: State) -> None:
        self._receive, self._send, self._limits, self._state = receive, send, limits, state
        headers = {name: value for name, value in scope["headers"] if name in (b"content-length", b"transfer-encoding")}
        self.announced = int(headers.get(b"content-length", 0))
        self._complete = not self.announced and b"transfer-encoding" not in headers
        self._deadline = asyncio.get_running_loop().time() + limits.body_timeout
        self._started = self._lingering = False
        self.received, self.status = 0, 500

    def too_large(self) -> Refusal:
        return Refusal(413, f"the body is larger than the {self._limits.max_body:,} bytes that one request may have")

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise Refusal(408, f"the body did not arrive within {self._limits.body_timeout:g} seconds") from None
        if message["type"] != "http.request":
            return message
        size = len(message.get("body", b""))
        self.received += size
        self._state.received += size
        self._complete = not message.get("more_body", False)
        if self.received > self._limits.max_body:
            raise self.too_large()
        if self._state.received > self._limits.max_received:
            raise busy("other requests fill the memory that bodies may take; try again in a moment")
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started, self.status = True, message["status"]
            self._lingering = not self._complete
            if self._state.draining or self._lingering:
                message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
        elif self._lingering and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._discard()
            message = {"type": "http.response.body"}
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        if self._started:  # too late to say it; the connection ends without the rest of the answer
            raise refusal
        body = orjson.dumps({"error": refusal.message})
        headers = {"content-type": "application/json", "content-length": str(len(body))} | refusal.headers
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": encoded})
        await self.send({"type": "http.response.body", "body": body})

    async def _discard(self) -> None:
        left, end = LINGER_BYTES, asyncio.get_running_loop().time() + LINGER_SECONDS
        try:
            while left > 0:
                async with asyncio.timeout_at(min(end, asyncio.get_running_loop().time() + LINGER_IDLE)):
                    message = await self._receive()
                left -= len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
        except TimeoutError:
            return
