"""What clients do wrong: each gets the right status, and the service goes on as before."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import os
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from tests.support.running import MODEL, Running, serve

INFER = f"/v2/models/{MODEL}/infer"
MIB = 1 << 20
Noise = Callable[..., np.ndarray]


@pytest.fixture
def client(service: Running) -> Iterator[httpx.Client]:
    """After every test the service still answers, and holds nothing back of what was done to it."""
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client
        assert client.get("/v2/health/ready").status_code == 200
        deadline = time.monotonic() + 5
        while True:
            lines = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if line[0] != "#")
            held = [float(lines[f"soda_{name}"]) for name in ("pictures_waiting", "bytes_held", "requests_in_flight")]
            if held == [0, 0, 1]:  # the one in flight asks for these figures
                return
            assert time.monotonic() < deadline, held
            time.sleep(0.05)


def one(**changes: Any) -> dict[str, Any]:
    given = {"name": "images", "shape": [1, 1, 1, 3], "datatype": "UINT8", "data": [1, 2, 3]} | changes
    return {"inputs": [{key: value for key, value in given.items() if value is not None}]}


MALFORMED: dict[str, tuple[Any, int]] = {
    "not JSON": (b"{", 400),
    "not UTF-8": (b'{"inputs": "\xff"}', 400),
    "nested too deep": (b"[" * 100_000, 400),
    "a list": ([], 400),
    "no input": ({}, 400),
    "two inputs": ({"inputs": one()["inputs"] * 2}, 400),
    "another name": (one(name="pixels"), 400),
    "another datatype": (one(datatype="FP32"), 400),
    "no shape": (one(shape=None), 400),
    "a flat shape": (one(shape=[3]), 400),
    "four channels": (one(shape=[1, 1, 1, 4], data=[1, 2, 3, 4]), 400),
    "no rows": (one(shape=[0, 1, 1, 3], data=[]), 400),
    "a negative side": (one(shape=[-1, -1, 1, 3]), 400),
    "a side that is true": (one(shape=[True, 1, 1, 3]), 400),
    "more pictures than allowed": (one(shape=[10**9, 1, 1, 3]), 413),
    "more pixels than allowed": (one(shape=[1, 10**12, 1, 3]), 413),
    "too few values": (one(data=[1, 2]), 400),
    "too many values": (one(data=[1, 2, 3, 4]), 400),
    "no values": (one(data=None), 400),
    "values out of range": (one(data=[1, 2, 256]), 400),
    "negative values": (one(data=[1, 2, -1]), 400),
    "huge values": (one(data=[1, 2, 10**19]), 400),
    "fractions": (one(data=[1, 2, 2.5]), 400),
    "truths": (one(data=[True, False, True]), 400),
    "words": (one(data=["1", "2", "3"]), 400),
    "a word among numbers": (one(data=[1, 2, "3"]), 400),
    "lists among numbers": (one(data=[1, [2], 3]), 400),
    "a shape nested very deep": (
        b'{"inputs": [{"name": "images", "datatype": "UINT8", "shape": ' + b"[" * 900 + b"]" * 900 + b"}]}",
        400,
    ),
    "an id nested very deep": (b'{"inputs": [{"name": "images"}], "id": ' + b"[" * 900 + b"]" * 900 + b"}", 400),
    "nested deeper than a picture": (one(data=[[[[[[1], [2], [3]]]]]]), 400),
    "nothing": (one(data=[None, None, None]), 400),
    "ragged": (one(data=[[1], [2, 3]]), 400),
    "a binary size without bytes": (one(data=None, parameters={"binary_data_size": 3}), 400),
    "parameters that are none": (one(parameters=[1]), 400),
    "an output that is not there": (one() | {"outputs": [{"name": "x_0"}]}, 400),
    "an unknown normalisation": (one() | {"parameters": {"normalize": "max"}}, 400),
    "an id that is no text": (one() | {"id": 7}, 400),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_tensors(client: httpx.Client, case: str) -> None:
    body, status = MALFORMED[case]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(INFER, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status and answer.json()["error"], answer.text


@pytest.mark.parametrize("length", ["0", "-1", "abc", "999999", "9" * 40, "10"])
def test_a_binary_header_that_lies(client: httpx.Client, length: str) -> None:
    body = json.dumps(one(data=None, parameters={"binary_data_size": 3})).encode() + b"\1\2\3"
    headers = {"inference-header-content-length": length, "content-type": "application/octet-stream"}
    assert client.post(INFER, content=body, headers=headers).status_code == 400


def test_addresses_and_content_types_that_are_not_there(client: httpx.Client) -> None:
    assert client.get("/nowhere").status_code == 404
    assert client.get(INFER).status_code == 405
    assert client.post("/v2/models/other/infer", json=one()).status_code == 404
    assert client.get(f"/v2/models/{MODEL}/versions/2").status_code == 404
    assert client.post(INFER, content=b"a=1", headers={"content-type": "text/plain"}).status_code == 415
    assert client.post("/embed", content=b"\x89PNG", headers={"content-type": "image/png"}).status_code == 415
    assert client.post("/embed", content=b"{}", headers={"content-type": "application/json"}).status_code == 415
    assert client.post("/embed", content=b"--", headers={"content-type": "multipart/form-data"}).status_code == 400
    assert client.post("/embed", data={"no": "file"}, files={}).status_code == 415
    assert client.post("/embed?normalize=max", files={"f": b"x"}).status_code == 400
    many = client.post("/embed", files=[("f", (f"{i}.png", b"x")) for i in range(129)])
    assert many.status_code == 413 and "128" in many.json()["error"]
    packed = client.post(INFER, content=gzip.compress(b"{}"), headers={"content-encoding": "gzip"})
    assert packed.status_code == 415 and "'gzip'" in packed.json()["error"]
    for address in ("/v2/health/live", "/v2/health/ready", f"/v2/models/{MODEL}/ready"):
        assert (client.head(address).status_code, client.head(address).content) == (200, b"")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that promises width x height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(MIB), 9)) + chunk(b"IEND", b"")


def test_decompression_bombs(client: httpx.Client) -> None:
    for size in ((60_000, 60_000), (8_000, 8_000)):
        answer = client.post("/embed", files={"files": ("bomb.png", bomb(*size))})
        assert answer.status_code == 422 and "bomb.png" in answer.json()["error"] and "limit" in answer.json()["error"]


@pytest.mark.parametrize("charset", ["utf-7", "unicode_escape", "undefined", "rot13"])
def test_names_in_a_charset_of_the_clients_choice(client: httpx.Client, charset: str) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="+2AA-\\ud800.png"\r\n'
        b"Content-Type: image/png\r\n\r\nno picture\r\n--x--\r\n"
    )
    headers = {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
    answer = client.post("/embed", content=body, headers=headers)
    assert answer.status_code in (400, 422) and answer.json()["error"]


def test_a_request_of_many_large_pictures_lets_small_ones_through() -> None:
    large, small = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (5_600, 5_600)).save(large, "PNG")  # within every limit
    Image.new("RGB", (20, 20)).save(small, "PNG")
    many = [("files", (f"{i}.png", large.getvalue())) for i in range(60)]
    with ThreadPoolExecutor(1) as threads, serve() as service:  # the service ends first: the many need not be waited for
        busy = threads.submit(httpx.post, f"{service.url}/embed", files=many, timeout=60)
        time.sleep(1)
        started = time.monotonic()
        answer = httpx.post(f"{service.url}/embed", files={"files": ("one.png", small.getvalue())}, timeout=60)
        assert answer.status_code == 200 and time.monotonic() - started < 5 and not busy.done()


def resident(service: Running) -> float:
    return psutil.Process(service.process.pid).memory_info().rss / MIB


def peak(service: Running) -> float:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def test_json_that_swells_when_it_is_read(client: httpx.Client, service: Running) -> None:
    side = 160
    values = ["0"] * (side * side * 3)
    # NumPy would take room for each value as wide as the widest: 4 x 20,000 bytes, 76,800 times.
    words = json.dumps(one(shape=[1, side, side, 3], data=["x" * 20_000, *values[1:]]))
    nested = json.dumps(one(shape=[1, side, side, 3], data=None))[:-3] + ', "data": [' + "[]," * 2_000_000 + "[]]}]}"
    before = peak(service)
    for body in (words, nested):
        answer = client.post(INFER, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400 and len(answer.text) < 400, answer.text
    large = json.dumps(one(shape=[256, 128, 128, 3], data=[255] * (256 * 128 * 128 * 3))).encode()
    answer = client.post(INFER, content=large[: 31 * MIB], headers={"content-type": "application/json"})
    assert answer.status_code == 413 and "bytes of JSON are more than" in answer.json()["error"]
    assert peak(service) < before + 350  # the lists of `nested` take 130


def test_hundred_megabytes_are_refused_and_not_kept(client: httpx.Client, service: Running) -> None:
    before = resident(service)
    content = os.urandom(MIB) * 100
    for path, headers in (
        (INFER, {"content-type": "application/json"}),
        ("/embed", {"content-type": "multipart/form-data; boundary=b"}),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)  # sends all of it before it reads
        connection.request("POST", path, content, headers)
        answer = connection.getresponse()
        assert answer.status == 413 and b"larger than" in answer.read()
        connection.close()

    def parts() -> Iterator[bytes]:  # its length is not announced
        for _ in range(100):
            yield content[:MIB]

    assert client.post(INFER, content=parts(), headers={"content-type": "application/json"}).status_code == 413
    assert resident(service) < before + 100


def test_large_tensors_are_quick_and_memory_returns(
    client: httpx.Client, service: Running, noise: Callable[..., np.ndarray]
) -> None:
    file = io.BytesIO()
    Image.fromarray(noise(2000, 1500, 3)).save(file, "PNG", compress_level=0)
    levels = []
    for _ in range(3):
        for shape in ((3300, 3300, 3), (2, 5_000_000, 3), (9_000_000, 1, 3)):
            pixels = noise(1, 1000, 3).repeat(np.prod(shape) // 3000 + 1)[: np.prod(shape)]
            head = json.dumps(one(shape=[1, *shape], data=None, parameters={"binary_data_size": pixels.nbytes})).encode()
            headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
            start = time.monotonic()
            assert client.post(INFER, content=head + pixels.tobytes(), headers=headers).status_code == 200
            assert time.monotonic() - start < 20
        assert client.post("/embed", files={"f": ("large.png", file.getvalue())}).status_code == 200
        levels.append(resident(service))
    assert levels[-1] < levels[0] + 40 and levels[-1] < 400, levels


def send_raw(service: Running, data: bytes, *, wait: float = 15) -> bytes:
    """What the service says to these bytes, until it closes."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=wait) as connection:
        connection.sendall(data)
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
        return answer


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


HEAD = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n".encode()


def test_slow_heads_slow_bodies_and_silence(client: httpx.Client, service: Running) -> None:
    start = time.monotonic()
    assert send_raw(service, b"") == b""
    assert status_of(send_raw(service, HEAD[:30])) == 408
    slow = send_raw(service, HEAD + b"content-length: 1000\r\n\r\n{")
    assert status_of(slow) == 408 and b"body did not arrive" in slow
    assert status_of(send_raw(service, HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n")) == 408
    assert time.monotonic() - start < 40


def test_a_head_without_end_and_what_is_no_http(client: httpx.Client, service: Running) -> None:
    assert status_of(send_raw(service, HEAD + b"x: " + b"y" * 200_000)) == 431
    assert status_of(send_raw(service, b"\x16\x03\x01\x02\x00\x01\r\n\r\n")) == 400
    assert status_of(send_raw(service, HEAD + b"content-length: -5\r\n\r\n")) == 400
    assert status_of(send_raw(service, HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n{}")) == 400


def test_uploads_that_end_half_way(client: httpx.Client, service: Running) -> None:
    form = b"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: 900000\r\n\r\n"
    part = b'--b\r\ncontent-disposition: form-data; name="f"; filename="a.png"\r\n\r\n' + b"x" * 5000
    for data in (HEAD + b"content-length: 1000\r\n\r\n{", form + part):
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", service.port)) as connection:
                connection.sendall(data)


def test_too_many_connections(client: httpx.Client, service: Running) -> None:
    idle = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(130)]
    try:
        answer = send_raw(service, b"GET /v2 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert status_of(answer) == 503 and b"retry-after" in answer
    finally:
        for connection in idle:
            connection.close()
    time.sleep(0.2)
