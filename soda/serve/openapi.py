"""What the OpenAPI page says of the two endpoints whose bodies the framework does not parse."""

from __future__ import annotations

from typing import Any

_ERRORS: dict[str, Any] = {
    "400": "what is wrong with the body",
    "401": "the token is missing or wrong",
    "408": "the body did not arrive in time",
    "413": "too many bytes, pictures or pixels",
    "415": "another content type",
    "503": "busy; try again after Retry-After seconds",
    "504": "no answer in time",
}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _tensor(data: dict[str, Any]) -> dict[str, Any]:
    return _object(name=_TEXT, shape=_array({"type": "integer"}), datatype=_TEXT, data=data)


_TEXT, _BYTES = {"type": "string"}, {"type": "string", "format": "binary"}
_NUMBERS = _array({"type": "number"})
_ERROR = _object(error=_TEXT) | {"required": ["error"]}


def _responses(about: str, schema: dict[str, Any], **more: str) -> dict[str, Any]:
    errors = {
        status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
        for status, text in sorted((_ERRORS | more).items())
    }
    return {"200": {"description": about, "content": {"application/json": {"schema": schema}}}} | errors


def path_parameters(path: str) -> list[dict[str, Any]]:
    """The parts of an address such as /v2/models/{model}/infer that a client fills in."""
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    about = {"model": "its name, which /docs shows", "version": "1"}
    string = {"required": True, "schema": _TEXT}
    return [{"name": name, "in": "path", "description": about[name]} | string for name in names]


INFER: dict[str, Any] = {
    "description": "Input `images` UINT8 [N, H, W, 3], flat or nested; output `z` FP32 [N, D]; where the model has them "
    "`features` FP32 [N, F], for who names them in `outputs: [{name: features}]`. With the header "
    "Inference-Header-Content-Length the tensors follow the JSON as raw bytes (binary tensor extension); ask for such an answer "
    "with `parameters: {binary_data_output: true}`. `parameters: {normalize: l2}`, `stats` or `stats+l2` normalises z.",
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    **_object(id=_TEXT, parameters={"type": "object"}, inputs=_array(_tensor(_array({})))),
                    "required": ["inputs"],
                },
                "example": {
                    "inputs": [{"name": "images", "shape": [1, 1, 2, 3], "datatype": "UINT8", "data": [0, 0, 0, 255, 255, 255]}]
                },
            },
            "application/octet-stream": {"schema": _BYTES},
        },
    },
    "responses": _responses(
        "z of every picture", _object(model_name=_TEXT, model_version=_TEXT, outputs=_array(_tensor(_NUMBERS)))
    ),
}

EMBED: dict[str, Any] = {
    "description": "A form with one or more files, whatever its fields are called: `curl -F files=@a.jpg -F files=@b.png`. Every "
    "file gets a row, in order, with `z` or, where it could not be read, `error`; 422 when none could.",
    "parameters": [
        {
            "name": "normalize",
            "in": "query",
            "required": False,
            "description": "l2: unit length; stats: zero mean and unit variance over the training pictures; stats+l2: both",
            "schema": {"type": "string", "enum": ["l2", "stats", "stats+l2"]},
        },
        {
            "name": "vectors",
            "in": "query",
            "required": False,
            "description": "z (as without it), or features, where the model has them; the rows then hold these by that name",
            "schema": {"type": "string", "enum": ["z", "features"]},
        },
    ],
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _object(files=_array(_BYTES))}}},
    "responses": _responses(
        "a row for every file",
        _object(model=_TEXT, pictures=_array(_object(file=_TEXT, z=_NUMBERS, features=_NUMBERS, error=_TEXT))),
        **{"422": "no file is a picture that can be read"},
    ),
}
