"""The Open Inference Protocol v2 over HTTP: a request's body to a tensor, z to a response, as JSON or with binary tensors.

One input, `images` UINT8 [N, H, W, 3], and the outputs `z` FP32 [N, D] and, where the file has it, `features` FP32 [N, F];
z alone for who names none. The binary tensor extension is that of Triton: the
header Inference-Header-Content-Length says how long the JSON at the beginning of the body is, raw little-endian tensors follow.
A request parameter `normalize` ("l2", "stats" or "stats+l2") does what it does in `soda.runtime`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson

from soda.runtime.metadata import INPUT, OUTPUT
from soda.runtime.onnx_encoder import NORMALIZATIONS
from soda.serve.limits import Limits
from soda.serve.refusal import Refusal

LENGTH_HEADER = "inference-header-content-length"


@dataclass(frozen=True)
class InferRequest:
    """What was asked: images (N, H, W, 3) uint8, and how the answer should look."""

    images: np.ndarray
    id: str | None
    normalize: str | None
    outputs: dict[str, bool]  # the outputs asked for, in their order, and whether each is wanted as a raw tensor


def check_content_type(headers: Mapping[str, str]) -> None:
    """Raises Refusal (415) for a body that is neither JSON nor, with its header, binary."""
    given = headers.get("content-type", "").split(";")[0].strip().lower()
    allowed = ("", "application/json", "application/octet-stream") if LENGTH_HEADER in headers else ("", "application/json")
    if given not in allowed:
        raise Refusal(415, f"content type {given!r} is not possible here; this takes application/json (v2 inference request)")


def read_request(body: bytes, json_length: str | None, limits: Limits, known: Collection[str] = (OUTPUT,)) -> InferRequest:
    """Parse a body. json_length: the value of Inference-Header-Content-Length, where there is one; known: the model's outputs.

    Raises Refusal (400, or 413 for too much JSON, too many pictures or pixels) naming the field and its value.
    """
    head, raw = split(body, json_length)
    if len(head) > limits.max_json:
        found = f"{len(head):,} bytes of JSON are more than the {limits.max_json:,} of one request"
        raise Refusal(413, f"{found}; binary tensors ({LENGTH_HEADER}) take a quarter of the room")
    try:
        request = orjson.loads(head)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"the body is not JSON: {error}") from None
    if not isinstance(request, dict):
        raise Refusal(400, "the body is not a JSON object")
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict) or inputs[0].get("name") != INPUT:
        raise Refusal(400, f"inputs: this model has one input, {INPUT!r}")
    parameters = _parameters(request, "parameters")
    normalize = parameters.get("normalize")
    if normalize not in NORMALIZATIONS:
        raise Refusal(400, f"parameters.normalize: {_shown(normalize)} is not possible; it must be l2, stats or stats+l2")
    identity = request.get("id")
    if identity is not None and not isinstance(identity, str):
        raise Refusal(400, f"id: {_shown(identity)} is not a string")
    outputs = _read_outputs(request, parameters, known)
    return InferRequest(_read_images(inputs[0], raw, limits), identity, normalize, outputs)


def write_response(
    vectors: Mapping[str, np.ndarray], request: InferRequest, model: str, version: str
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of the response. vectors: of each output that was asked for (N, D) float32."""
    outputs: list[dict[str, Any]] = []
    response: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    if request.id is not None:
        response["id"] = request.id
    tensors = []
    for name, binary in request.outputs.items():
        output: dict[str, Any] = {"name": name, "shape": list(vectors[name].shape), "datatype": "FP32"}
        if binary:
            tensors.append(np.ascontiguousarray(vectors[name], dtype="<f4").tobytes())
            output["parameters"] = {"binary_data_size": len(tensors[-1])}
        else:
            output["data"] = np.ascontiguousarray(vectors[name]).reshape(-1)
        outputs.append(output)
    head = orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)
    if not tensors:
        return head, {"content-type": "application/json"}
    return b"".join([head, *tensors]), {"content-type": "application/octet-stream", LENGTH_HEADER: str(len(head))}


def split(body: bytes, json_length: str | None) -> tuple[bytes | memoryview, memoryview]:
    """The JSON of a body and the tensors after it. Raises Refusal (400) for a length that cannot be."""
    if json_length is None:
        return body, memoryview(b"")
    if not (json_length.isascii() and json_length.isdigit() and len(json_length) < 12 and 0 < int(json_length) <= len(body)):
        raise Refusal(400, f"{LENGTH_HEADER}: {json_length[:20]!r} is not possible for a body of {len(body)} bytes")
    view = memoryview(body)
    return view[: int(json_length)], view[int(json_length) :]


def _parameters(part: Mapping[str, Any], name: str) -> dict[str, Any]:
    given = part.get("parameters") or {}
    if not isinstance(given, dict):
        raise Refusal(400, f"{name}: {_shown(given)} is not an object")
    return given


def _read_outputs(request: Mapping[str, Any], parameters: Mapping[str, Any], known: Collection[str]) -> dict[str, bool]:
    outputs = request.get("outputs") or []
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise Refusal(400, "outputs: it must be a list of objects")
    binary, asked = parameters.get("binary_data_output") is True, dict[str, bool]()
    for number, output in enumerate(outputs):
        name = output.get("name")
        if not isinstance(name, str) or name not in known:
            having = f"one output, {OUTPUT!r}" if len(known) == 1 else f"the outputs {', '.join(map(repr, known))}"
            raise Refusal(400, f"outputs: {_shown(name)} does not exist; this model has {having}")
        asked[name] = _parameters(output, f"outputs[{number}].parameters").get("binary_data", binary) is True
    return asked or {OUTPUT: binary}


def _read_images(tensor: Mapping[str, Any], raw: memoryview, limits: Limits) -> np.ndarray:
    if tensor.get("datatype") != "UINT8":
        raise Refusal(400, f"{INPUT}: datatype {_shown(tensor.get('datatype'))} is not possible; it must be UINT8")
    shape = _read_shape(tensor.get("shape"), limits)
    size = _parameters(tensor, f"{INPUT}.parameters").get("binary_data_size")
    wanted = math.prod(shape)
    if size is not None:
        if type(size) is not int or size != wanted or len(raw) != wanted:
            found = f"binary_data_size {_shown(size)} and {len(raw)} bytes after the JSON"
            raise Refusal(400, f"{INPUT}: {found}; shape {list(shape)} of UINT8 wants {wanted}")
        return np.frombuffer(raw, np.uint8).reshape(shape)
    if len(raw):
        raise Refusal(400, f"{len(raw)} bytes follow the JSON, but {INPUT} has no binary_data_size")
    if not isinstance(tensor.get("data"), list):
        raise Refusal(400, f"{INPUT}: data is missing or not a list")
    values = _flat(tensor["data"], wanted)
    whole = f"shape {list(shape)} wants {wanted} whole numbers from 0 to 255"
    if len(values) != wanted:
        raise Refusal(400, f"{INPUT}: data holds {'more' if len(values) > wanted else 'fewer'} values; {whole}")
    if set(map(type, values)) != {int}:  # True would pass for 1
        strange = next(value for value in values if type(value) is not int)
        raise Refusal(400, f"{INPUT}: data holds {_shown(strange)}; {whole}")
    try:
        return np.frombuffer(bytes(values), np.uint8).reshape(shape)
    except ValueError:
        raise Refusal(400, f"{INPUT}: data holds {next(v for v in values if not 0 <= v <= 255)}; {whole}") from None


def _flat(data: list[Any], wanted: int) -> list[Any]:
    """Values of nested lists, row by row; of more than `wanted` at any depth these, since they cannot fit. Raises Refusal (400).

    Not by NumPy, which takes as much room for every value as for the widest: a gigabyte for a short request with a long string.
    """
    for _ in range(4):
        if len(data) > wanted or not any(type(row) is list for row in data):
            return data
        if not all(type(row) is list and len(row) == len(data[0]) for row in data):
            raise Refusal(400, f"{INPUT}: data is ragged")
        data = list(chain.from_iterable(data))
    return data


def _read_shape(shape: Any, limits: Limits) -> tuple[int, ...]:
    whole = isinstance(shape, list) and len(shape) == 4 and all(type(side) is int and side >= 1 for side in shape)
    if not whole or shape[3] != 3:
        raise Refusal(400, f"{INPUT}: shape {_shown(shape)} is not possible; it must be [N, H, W, 3], none of them 0")
    if shape[0] > limits.max_pictures:
        raise Refusal(413, f"{INPUT}: {_shown(shape[0])} pictures are more than the {limits.max_pictures} of one request")
    if shape[1] * shape[2] > limits.max_pixels:
        raise Refusal(413, f"{INPUT}: {_shown(shape[1:3])} is more than {limits.max_pixels:,} pixels")
    return tuple(shape)


def _shown(value: Any) -> str:
    """A client's value for a message: short, whatever it is."""
    try:
        text = repr(value[:60] if isinstance(value, (str, list)) else value)
    except RecursionError:  # orjson reads what is nested deeper than Python can write
        text = f"a deeply nested {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
