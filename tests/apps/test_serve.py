"""`soda serve` answers with the runtime's own vectors, as the Open Inference Protocol and as a plain form."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from soda.runtime import Encoder
from tests.support.running import MODEL, Running, serve

INFER = f"/v2/models/{MODEL}/infer"
LENGTH = "Inference-Header-Content-Length"
Noise = Callable[..., np.ndarray]


@pytest.fixture
def client(service: Running) -> httpx.Client:
    return httpx.Client(base_url=service.url, timeout=60)


def tensor(images: np.ndarray, **more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "images", "shape": list(images.shape), "datatype": "UINT8", "data": images.tolist()}]} | more


def vectors(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    [output] = answer.json()["outputs"]
    assert (output["name"], output["datatype"]) == ("z", "FP32")
    return np.asarray(output["data"], np.float32).reshape(output["shape"])


def binary(images: np.ndarray, **request: Any) -> tuple[bytes, dict[str, str]]:
    given = {"name": "images", "shape": images.shape, "datatype": "UINT8", "parameters": {"binary_data_size": images.nbytes}}
    head = json.dumps({"inputs": [given]} | request).encode()
    return head + images.tobytes(), {LENGTH: str(len(head)), "content-type": "application/octet-stream"}


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_it_says_what_it_is(client: httpx.Client, encoder: Encoder) -> None:
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    for path in (f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/versions/1"):
        about = client.get(path).json()
        assert about["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
        assert about["outputs"] == [{"name": "z", "datatype": "FP32", "shape": [-1, encoder.latent_dim]}]
        assert client.get(path + "/ready").json()["ready"] is True


@pytest.mark.parametrize("size", [(32, 32), (7, 50), (200, 120), (1, 3000)])
def test_tensors_give_the_runtimes_vectors(client: httpx.Client, encoder: Encoder, noise: Noise, size: tuple[int, int]) -> None:
    images = noise(3, *size, 3)
    flat = tensor(images)
    flat["inputs"][0]["data"] = images.reshape(-1).tolist()
    for body in (tensor(images), flat):
        answer = client.post(INFER, json=body | {"id": "seven"})
        np.testing.assert_allclose(vectors(answer), encoder.embed(images), atol=1e-4)
        assert answer.json()["id"] == "seven"


def test_binary_tensors_in_and_out(client: httpx.Client, encoder: Encoder, noise: Noise) -> None:
    images = noise(5, 40, 40, 3)
    for ask in ({"outputs": [{"name": "z", "parameters": {"binary_data": True}}]}, {"parameters": {"binary_data_output": True}}):
        content, headers = binary(images, **ask)
        answer = client.post(INFER, content=content, headers=headers)
        assert answer.status_code == 200, answer.text
        length = int(answer.headers[LENGTH])
        [output] = json.loads(answer.content[:length])["outputs"]
        raw = answer.content[length:]
        assert output["parameters"] == {"binary_data_size": len(raw)} and "data" not in output
        np.testing.assert_allclose(np.frombuffer(raw, "<f4").reshape(output["shape"]), encoder.embed(images), atol=1e-4)
    content, headers = binary(images)
    np.testing.assert_allclose(vectors(client.post(INFER, content=content, headers=headers)), encoder.embed(images), atol=1e-4)


@pytest.mark.parametrize("normalize", ["l2", "stats", "stats+l2"])
def test_normalised_as_the_runtime_does(client: httpx.Client, encoder: Encoder, noise: Noise, normalize: str) -> None:
    images = noise(4, 32, 32, 3)
    wanted = encoder.embed(images, normalize=normalize)
    answer = client.post(INFER, json=tensor(images, parameters={"normalize": normalize}))
    np.testing.assert_allclose(vectors(answer), wanted, atol=1e-4)
    form = client.post(f"/embed?normalize={normalize}", files=[("files", (f"{i}.png", png(x))) for i, x in enumerate(images)])
    np.testing.assert_allclose([row["z"] for row in form.json()["pictures"]], wanted, atol=1e-4)


def test_clients_at_once_get_their_own_vectors(client: httpx.Client, encoder: Encoder, noise: Noise) -> None:
    sizes = [(32, 32), (32, 32), (16, 48), (64, 64)]
    sent = [noise(1 + i % 3, *sizes[i % 4], 3, seed=i) for i in range(64)]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda images: vectors(client.post(INFER, json=tensor(images))), sent))
    for images, z in zip(sent, answers, strict=True):
        np.testing.assert_allclose(z, encoder.embed(images), atol=1e-4)


def test_a_request_of_more_pictures_than_a_batch(client: httpx.Client, encoder: Encoder, noise: Noise) -> None:
    images = noise(128, 32, 32, 3)
    content, headers = binary(images)
    np.testing.assert_allclose(vectors(client.post(INFER, content=content, headers=headers)), encoder.run(images), atol=1e-4)


def test_picture_files_of_any_kind_and_broken_ones(client: httpx.Client, encoder: Encoder, noise: Noise) -> None:
    jpeg, clear = io.BytesIO(), Image.fromarray(noise(30, 50, 4), "RGBA")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    Image.fromarray(noise(90, 60, 3)).save(jpeg, "JPEG", exif=exif)
    webp = io.BytesIO()
    clear.save(webp, "WEBP", lossless=True)
    files = [("files", ("a.jpg", jpeg.getvalue())), ("b", ("b.png", png(noise(9, 9)))), ("files", ("c.webp", webp.getvalue()))]
    broken = [("files", ("d.png", png(noise(99, 99, 3))[:999])), ("files", ("e.txt", b"no picture"))]
    rows = client.post("/embed", files=files + broken).json()["pictures"]
    assert [row["file"] for row in rows] == ["a.jpg", "b.png", "c.webp", "d.png", "e.txt"]
    opened = [Image.open(io.BytesIO(content)) for _, (_, content) in files]
    np.testing.assert_allclose([row["z"] for row in rows[:3]], encoder.embed(opened), atol=1e-4)
    for row in rows[3:]:
        assert "z" not in row and row["file"] in row["error"]


def test_metrics_count_what_was_asked(client: httpx.Client, noise: Noise) -> None:
    def value(name: str) -> float:
        lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
        return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0

    infer = 'soda_requests_total{route="/v2/models/{model}/infer",status="%d"}'
    before = value(infer % 200), value(infer % 400), value("soda_batch_pictures_sum")
    client.post(INFER, json=tensor(noise(3, 32, 32, 3)))
    client.post(INFER, json={"inputs": []})
    assert (value(infer % 200), value(infer % 400), value("soda_batch_pictures_sum")) == (
        before[0] + 1,
        before[1] + 1,
        before[2] + 3,
    )
    assert value("soda_pictures_waiting") == 0 and value("process_resident_memory_bytes") > 0


def test_its_pages_name_no_other_host(client: httpx.Client, service: Running) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/embed", "/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer", "/metrics"} <= set(paths)
    page = client.get("/docs")
    assert (
        "http" not in page.text.replace("http://www.w3.org", "")
        and "default-src 'self'" in page.headers["content-security-policy"]
    )


def test_off_loopback_only_with_a_token() -> None:
    token = "a-token-of-24-characters"
    with serve("--host", "0.0.0.0", SODA_SERVE_TOKEN=token) as running:
        client = httpx.Client(base_url=f"http://127.0.0.1:{running.port}")
        assert client.get("/v2/health/ready").status_code == 200
        for headers in ({}, {"authorization": "Bearer " + token[:-1] + "x"}, {"authorization": "Basic eDp5"}):
            refused = client.get("/v2", headers=headers)
            assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
        assert client.get("/v2", headers={"authorization": f"Bearer {token}"}).status_code == 200
        assert client.post("/embed", content=b"x" * 5_000_000).status_code == 401


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("filename*=UTF-8''gr%C3%B6%C3%9Fe.png", "größe.png"),
        ("filename*=iso-8859-1'de'gr%F6%DFe.png", "größe.png"),
        ("filename*0*=UTF-8''gr%C3%B6; filename*1=sse.png", "grösse.png"),
        ("filename=\"plain.png\"; filename*=UTF-8''other.png", "plain.png"),
        ("filename*=nonsense''%ff", "ÿ"),
    ],
)
def test_a_file_may_go_by_its_extended_name_alone(client: httpx.Client, name: str, wanted: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(buffer, "PNG")
    head = f'--limit\r\nContent-Disposition: form-data; name="files"; {name}\r\nContent-Type: image/png\r\n\r\n'
    body = head.encode() + buffer.getvalue() + b"\r\n--limit--\r\n"
    answer = client.post("/embed", content=body, headers={"content-type": "multipart/form-data; boundary=limit"})
    assert answer.status_code == 200, answer.text
    [row] = answer.json()["pictures"]
    assert row["file"] == wanted and len(row["z"]) > 1
