"""uvicorn, bounded: slow heads and slow readers are cut off, and SIGTERM ends it without losing a request.

How it stops. From the signal on the service is not ready, and every answer says `Connection: close`, but for `drain` seconds
requests are taken as before, so that balancers and clients with open connections can go elsewhere. Then no more connections are
made, what already waits in the listening socket is accepted, the socket closes, and everything that was accepted is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from soda.common.errors import FileError
from soda.serve.app import Service
from soda.serve.limits import Limits

MAX_HEAD = 1 << 16
LINGER = 1.0
"""Seconds for a client that was cut off to read why: closing at once, on bytes unread, would take the answer from it."""
LAST_CALL = 1.0
"""Seconds that a connection without a request gets once the socket is closed."""

SO_ATTACH_FILTER = 26  # Linux, asm-generic/socket.h; the socket module does not have it
NO_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
"""A classic BPF program on TCP segments: load the flags, drop what has SYN set, keep the rest."""


def _plain(status: str, message: str, headers: str = "") -> bytes:
    body = f'{{"error":"{message}"}}'
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n{headers}"
    return f"{head}\r\n{body}".encode()


class BoundedProtocol(HttpToolsProtocol):
    """One connection: its head arrives in time and is small, and its answers are read in time, or it is closed."""

    def __init__(self, *args: Any, limits: Limits, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._limits = limits
        self._in_head, self._begun, self._ended, self._head_bytes = True, False, False, 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.max_connections:
            self.connections.discard(self)
            self._end(_plain("503 Service Unavailable", "too many connections", "retry-after: 1\r\n"))
        else:
            self._head_timer = self.loop.call_later(self._limits.header_timeout, self._head_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear(head=True, write=True)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ended or self.transport.is_closing():
            return
        super().data_received(data)
        if not self._in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD:
            self._end(_plain("431 Request Header Fields Too Large", "the head of the request is too large"))
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.header_timeout, self._head_late)

    def on_message_begin(self) -> None:
        self._in_head, self._begun, self._head_bytes = True, True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._clear(head=True)
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.answer_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._clear(write=True)

    def shutdown(self) -> None:
        """Close if idle; a connection whose first request may be on its way gets a last call."""
        if self._in_head and (self._begun or self.cycle is None):
            self._clear(head=True)
            self._head_timer = self.loop.call_later(LAST_CALL, self._head_late)
        else:
            super().shutdown()

    def _head_late(self) -> None:
        self._head_timer = None
        self._end(_plain("408 Request Timeout", "the head of the request did not arrive in time") if self._begun else b"")

    def _end(self, answer: bytes) -> None:
        if self.transport.is_closing():
            return
        self._ended = True
        self._clear(head=True)
        if answer:
            self.transport.write(answer)
            self.transport.write_eof()
            self.loop.call_later(LINGER, self.transport.close)
        else:
            self.transport.close()

    def _clear(self, *, head: bool = False, write: bool = False) -> None:
        if head and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if write and self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


class Server(uvicorn.Server):
    """Runs a service on one listening socket until SIGTERM or SIGINT; a second SIGINT ends it at once."""

    def __init__(self, service: Service) -> None:
        self._service, self._limits = service, service.limits
        config = uvicorn.Config(
            service.app,
            http=partial(BoundedProtocol, limits=service.limits),  # type: ignore[arg-type]
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=service.limits.keep_alive,  # type: ignore[arg-type]
            timeout_graceful_shutdown=service.limits.stop_timeout,  # type: ignore[arg-type]
        )
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, take what waits in the socket, then end as uvicorn does."""
        self._service.state.draining = True
        end = asyncio.get_running_loop().time() + self._limits.drain
        while asyncio.get_running_loop().time() < end and not self.force_exit:
            await asyncio.sleep(0.02)
        for listener in sockets or []:
            await self._take_waiting(listener)
        await super().shutdown(sockets)

    async def _take_waiting(self, listener: socket.socket) -> None:
        """Closing a socket resets the connections that the kernel made and nobody accepted yet: accept them first."""
        loop = asyncio.get_running_loop()
        spare = listener.dup()  # keeps the socket open while the event loop's own end of it closes
        spare.setblocking(False)
        make_no_more(spare)
        for server in self.servers:
            server.close()
        protocol: Any = self.config.http_protocol_class
        make = partial(protocol, config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        with spare:
            while True:
                try:
                    connection, _ = spare.accept()
                except OSError:  # nobody is left
                    return
                await loop.connect_accepted_socket(make, connection)


def make_no_more(listener: socket.socket) -> None:
    """Let the kernel drop requests for connections, so that none comes between the last accept and the closing, which would reset
    it. Who asks meanwhile asks again a second later, and is refused. Where the system has no such filter, that moment stays."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in NO_SYN))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(NO_SYN), ctypes.addressof(program)))


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one. Raises FileError naming the address when it cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise FileError(f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}") from None
