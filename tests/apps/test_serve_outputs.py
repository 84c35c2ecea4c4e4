"""Both outputs of an encoder, and encoders of others, over HTTP: asked for by name, each as the runtime gives it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from soda.runtime import Encoder
from soda.runtime.foreign import ForeignEncoder
from soda.runtime.foreign_settings import Preprocessing
from soda.serve.app import Service
from soda.serve.limits import Limits
from tests.support.foreign import foreign_encoder
from tests.support.workspace import Workspace, noise

INFER = "/v2/models/mine/infer"
LENGTH = "Inference-Header-Content-Length"
IMAGES = noise(3, 16, 16, 3)


@pytest.fixture
def client(workspace: Workspace) -> Iterator[TestClient]:
    with TestClient(Service(Encoder(workspace.encoder), name="mine", limits=Limits()).app) as made:
        yield made


def asked(*outputs: Any, **more: Any) -> dict[str, Any]:
    tensor = {"name": "images", "shape": list(IMAGES.shape), "datatype": "UINT8", "data": IMAGES.tolist()}
    return {"inputs": [tensor], "outputs": list(outputs)} | more


def test_outputs_come_in_the_order_that_they_were_asked_for(client: TestClient, workspace: Workspace) -> None:
    z, features = (Encoder(workspace.encoder, output=name).embed(IMAGES, normalize="stats+l2") for name in ("z", "features"))
    body = asked({"name": "features"}, {"name": "z"}, parameters={"normalize": "stats+l2"})
    first, second = client.post(INFER, json=body).json()["outputs"]
    assert (first["name"], first["shape"], second["name"]) == ("features", list(features.shape), "z")
    np.testing.assert_allclose(np.reshape(first["data"], features.shape), features, atol=1e-4)
    np.testing.assert_allclose(np.reshape(second["data"], z.shape), z, atol=1e-4)
    (only,) = client.post(INFER, json=asked()).json()["outputs"]
    assert only["name"] == "z"


def test_each_output_may_be_raw(client: TestClient, workspace: Workspace) -> None:
    features = Encoder(workspace.encoder, output="features").embed(IMAGES)
    answer = client.post(INFER, json=asked({"name": "z"}, {"name": "features", "parameters": {"binary_data": True}}))
    length = int(answer.headers[LENGTH])
    head = json.loads(answer.content[:length])
    assert "data" in head["outputs"][0] and head["outputs"][1]["parameters"]["binary_data_size"] == features.nbytes
    np.testing.assert_allclose(np.frombuffer(answer.content[length:], "<f4").reshape(features.shape), features, atol=1e-4)


def test_an_output_that_is_not_there_is_refused(client: TestClient) -> None:
    answer = client.post(INFER, json=asked({"name": "w"}))
    assert (
        answer.status_code == 400 and "'w' does not exist; this model has the outputs 'z', 'features'" in answer.json()["error"]
    )
    assert client.post(INFER, json=asked({"name": 3})).status_code == 400


def files() -> list[tuple[str, tuple[str, bytes]]]:
    file = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(file, "PNG")
    return [("files", ("a.png", file.getvalue()))]


def test_files_give_features_to_who_asks(client: TestClient, workspace: Workspace) -> None:
    wanted = Encoder(workspace.encoder, output="features").embed(IMAGES[0])
    (row,) = client.post("/embed?vectors=features&normalize=l2", files=files()).json()["pictures"]
    np.testing.assert_allclose(row["features"], wanted[0] / np.linalg.norm(wanted), atol=1e-4)
    assert "z" not in row and "z" in client.post("/embed", files=files()).json()["pictures"][0]
    refused = client.post("/embed?vectors=w", files=files())
    assert refused.status_code == 400 and "vectors: 'w' is not possible; this model has z or features" in refused.text
    about = client.get("/v2/models/mine").json()
    assert [each["name"] for each in about["outputs"]] == ["z", "features"]
    assert about["parameters"]["search_vectors"] in ("z", "features")


def test_an_encoder_of_others_is_served(tmp_path: Path) -> None:
    encoder = ForeignEncoder(foreign_encoder(tmp_path / "any.onnx"), Preprocessing(size=8))
    with TestClient(Service(encoder, name="mine", limits=Limits()).app) as client:
        (output,) = client.post(INFER, json=asked()).json()["outputs"]
        np.testing.assert_allclose(np.reshape(output["data"], output["shape"]), encoder.embed(IMAGES), atol=1e-4)
        (row,) = client.post("/embed", files=files()).json()["pictures"]
        np.testing.assert_allclose(row["z"], encoder.embed(IMAGES[0])[0], atol=1e-4)
