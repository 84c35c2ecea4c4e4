"""The application: routes of the Open Inference Protocol v2, /embed, /metrics and the pages about them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version as installed_version
from importlib.resources import files
from typing import Any

import numpy as np
import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from soda.monitor.sample import identity
from soda.runtime import Encoder, PictureError
from soda.serve import inference, pictures
from soda.serve.counters import Metrics
from soda.serve.follow import Releases, follow
from soda.serve.guard import Guard, State
from soda.serve.limits import Limits
from soda.serve.openapi import EMBED, INFER, path_parameters
from soda.serve.refusal import Refusal
from soda.serve.sampling import Sampling, Wanted
from soda.serve.served import VERSION, Served

_log = logging.getLogger(__name__)

SERVER_VERSION = installed_version("soda-encoder")
INLINE_BYTES = 1 << 16
"""JSON up to this size is parsed on the spot; more of it in a thread, so that it holds up nobody."""


CONTENT_POLICY = (
    "default-src 'self'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'"
)


class Service:
    """One encoder being served. Raises Refusal for what a client got wrong; `app` is what a server runs."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        name: str,
        limits: Limits,
        token: str | None = None,
        version: str = VERSION,
        releases: Releases | None = None,
        sample: Wanted | None = None,
    ) -> None:
        """version: of the model. releases: where to look for another encoder that comes into use. sample: of what is served."""
        self.name, self.limits, self.state, self.metrics, self._releases = name, limits, State(), Metrics(), releases
        self._sampling = Sampling(sample, encoder) if sample is not None else None
        self._served = self._serving(encoder, version)
        self._retiring: set[asyncio.Task[None]] = set()
        self._reading = asyncio.Lock()  # one large JSON is parsed at a time: it takes many times its size
        self.metrics.gauge(
            "soda_pictures_waiting", "Pictures accepted and not yet answered", lambda: self._served.batcher.reserved
        )
        self.metrics.gauge("soda_changeovers", "How often another release was taken up", lambda: self._changeovers)
        self._changeovers = 0
        self.metrics.gauge("soda_requests_in_flight", "Requests being received or worked on", lambda: self.state.in_flight)
        self.metrics.gauge("soda_bytes_held", "Bytes of the bodies held now", lambda: self.state.received)
        self.app = FastAPI(
            title="SODA encoder",
            version=SERVER_VERSION,
            description=f"Pictures to latents: {name}, {encoder.latent_dim} numbers a picture.",
            docs_url=None,  # FastAPI's own pages load their scripts from elsewhere
            redoc_url=None,
            lifespan=self._lifespan,
        )
        self.app.add_middleware(Guard, limits=limits, token=token, state=self.state, metrics=self.metrics)
        self.app.add_exception_handler(HTTPException, _http_error)
        self.app.add_exception_handler(Exception, _unforeseen)
        self._add_routes()

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        await self._served.start()
        beside = []
        if self._releases is not None:
            beside.append(asyncio.create_task(follow(self._releases, lambda: self._served.version, self._change)))
        if self._sampling is not None:
            beside.append(asyncio.create_task(self._sampling.work()))
        yield
        for task in beside:
            task.cancel()
        await asyncio.gather(self._served.stop(), *self._retiring)
        if self._sampling is not None:
            self._sampling.write()

    def _serving(self, encoder: Encoder, version: str) -> Served:
        keep = partial(self._sampling.keep, identity(encoder)) if self._sampling is not None else None
        return Served(encoder, self.limits, version=version, observe=self.metrics.batch, keep=keep)

    async def _change(self, encoder: Encoder, version: str) -> None:
        """Take up another encoder: what is begun ends with the one before."""
        new = self._serving(encoder, version)
        await new.start()
        if self._sampling is not None:
            self._sampling.begin(encoder)
        old, self._served = self._served, new
        self._changeovers += 1
        retiring = asyncio.create_task(old.stop())
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)
        _log.info("%s: changed over from %s to %s", self.name, old.version, version)

    def _add_routes(self) -> None:
        add, of_model = self.app.add_api_route, "/v2/models/{model}"
        tags: dict[str, Any] = {"tags": ["Open Inference Protocol v2"]}
        add("/v2", self._server, summary="The server and its extensions", **tags)
        add("/v2/health/live", self._live, summary="200 while the process answers", **tags)
        add("/v2/health/ready", self._ready, summary="200 while requests are welcome, 503 once asked to stop", **tags)
        for path, answer in (("/v2/health/live", self._live), ("/v2/health/ready", self._ready)):
            add(path, answer, methods=["HEAD"], include_in_schema=False)  # some balancers ask so
        for path in (of_model, of_model + "/versions/{version}"):
            infer: dict[str, Any] = {"methods": ["POST"], "openapi_extra": INFER | {"parameters": path_parameters(path)}}
            add(path, self._model, summary="The model, its input and its outputs", **tags)
            add(path + "/ready", self._model_ready, summary="200 while this model answers", **tags)
            add(path + "/ready", self._model_ready, methods=["HEAD"], include_in_schema=False)
            add(path + "/infer", self._infer, summary="uint8 pictures of one size to z, or features", **infer, **tags)
        add("/embed", self._embed, methods=["POST"], summary="Picture files to z", openapi_extra=EMBED, tags=["Pictures"])
        add("/metrics", self._show_metrics, summary="Figures for Prometheus", tags=["Pages"])
        add("/docs", self._docs, summary="This page", tags=["Pages"])

    async def _server(self) -> Response:
        return _json({"name": "soda", "version": SERVER_VERSION, "extensions": ["binary_tensor_data"]})

    async def _live(self) -> Response:
        return _json({"live": True})

    async def _ready(self) -> Response:
        return _json({"ready": not self.state.draining}, status=503 if self.state.draining else 200)

    async def _model(self, model: str, version: str | None = None) -> Response:
        served = self._check(model, version)
        about = {"name": self.name, "versions": [served.version], "platform": "onnxruntime_onnx"}
        inputs = [{"name": inference.INPUT, "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
        outputs = [{"name": name, "datatype": "FP32", "shape": [-1, width]} for name, width in served.encoder.widths.items()]
        return _json(about | {"inputs": inputs, "outputs": outputs, "parameters": served.facts()})

    async def _model_ready(self, model: str, version: str | None = None) -> Response:
        self._check(model, version)
        status = 503 if self.state.draining else 200
        return _json({"name": self.name, "ready": status == 200}, status=status)

    async def _infer(self, request: Request) -> Response:
        # Not as arguments: the framework's checks of two strings cost as much as all the rest of a small request.
        served = self._check(request.path_params["model"], request.path_params.get("version"))
        inference.check_content_type(request.headers)
        with served.used():
            body, reserved = await request.body(), 0
            try:
                async with asyncio.timeout(self.limits.answer_timeout):
                    asked = await self._read(served, body, request.headers.get(inference.LENGTH_HEADER))
                    served.batcher.reserve(len(asked.images))
                    reserved = len(asked.images)
                    rows = await served.batcher.submit(await served.decoder.squares_of(asked.images))
            except TimeoutError:
                raise self._late() from None
            finally:
                served.batcher.release(reserved)
        vectors = {name: served.output(rows, name, asked.normalize) for name in asked.outputs}
        content, headers = inference.write_response(vectors, asked, self.name, served.version)
        return Response(content, headers=headers)

    async def _read(self, served: Served, body: bytes, json_length: str | None) -> inference.InferRequest:
        read = partial(inference.read_request, body, json_length, self.limits, tuple(served.encoder.widths))
        if len(inference.split(body, json_length)[0]) <= INLINE_BYTES:
            return read()
        async with self._reading:
            return await asyncio.to_thread(read)

    async def _embed(self, request: Request) -> Response:
        pictures.check_content_type(request.headers)
        normalize = request.query_params.get("normalize")
        if normalize is not None:
            normalize = normalize.replace(" ", "+")  # what a plus sign in an address means
        if normalize not in inference.NORMALIZATIONS:
            raise Refusal(400, f"normalize: {normalize[:60]!r} is not possible; it must be l2, stats or stats+l2")
        output, served = request.query_params.get("vectors", inference.OUTPUT), self._served
        if output not in served.encoder.widths:
            having = " or ".join(served.encoder.widths)
            raise Refusal(400, f"vectors: {output[:60]!r} is not possible; this model has {having}")
        with served.used():
            given = await pictures.read_files(request, self.limits)
            served.batcher.reserve(len(given))
            try:
                async with asyncio.timeout(self.limits.answer_timeout):
                    squares = await served.decoder.squares(given)
                    usable = [square for square in squares if not isinstance(square, PictureError)]
                    if not usable:
                        raise Refusal(422, "; ".join(str(square) for square in squares[:5]))
                    rows = await served.batcher.submit(np.stack(usable))
            except TimeoutError:
                raise self._late() from None
            finally:
                served.batcher.release(len(given))
                for file in given:
                    await file.close()
        vectors = served.output(rows, output, normalize)
        return _json({"model": self.name, "pictures": pictures.answer(given, squares, vectors, output)})

    async def _show_metrics(self) -> Response:
        return Response(self.metrics.text(), headers={"content-type": self.metrics.content_type})

    async def _docs(self) -> Response:
        page = files("soda.serve").joinpath("docs.html").read_text(encoding="utf-8")
        return Response(page, headers={"content-type": "text/html; charset=utf-8", "content-security-policy": CONTENT_POLICY})

    def _check(self, model: str, version: str | None) -> Served:
        """The encoder that answers. Raises Refusal (404) for a model or version that is not served."""
        served = self._served
        if model != self.name:
            raise Refusal(404, f"model {model[:60]!r} does not exist; this server has {self.name!r}")
        if version is not None and version != served.version:
            raise Refusal(404, f"version {version[:60]!r} of {self.name!r} does not exist; it has {served.version!r}")
        return served

    def _late(self) -> Refusal:
        return Refusal(504, f"no answer within {self.limits.answer_timeout:g} seconds", {"retry-after": "1"})


def _json(value: Any, *, status: int = 200) -> Response:
    content = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, status_code=status, headers={"content-type": "application/json"})


async def _http_error(request: Request, error: Exception) -> Response:
    """Errors of the framework (no such path, no such method, a damaged form) in the words of the protocol."""
    status, detail = getattr(error, "status_code", 500), getattr(error, "detail", str(error))
    response = _json({"error": str(detail)}, status=status)
    response.headers.update(getattr(error, "headers", None) or {})
    return response


async def _unforeseen(request: Request, error: Exception) -> Response:
    """A fault of ours: the server logs where, the client hears that it is none of its own."""
    return _json({"error": f"the service failed at this ({type(error).__name__}); its log says where"}, status=500)
