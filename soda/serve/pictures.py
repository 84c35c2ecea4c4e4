"""Pictures as a plain multipart form: decoded beside the event loop, squared as training prepared them, one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, BinaryIO, TypeVar

import numpy as np
from PIL import Image
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from soda.runtime.memory import until_done
from soda.runtime.preprocess import PictureError, load_picture, to_square
from soda.serve.forms import FormParser
from soda.serve.limits import Limits
from soda.serve.refusal import Refusal

T = TypeVar("T")


class ImageDecoder:
    """Turns files into squares in `workers` threads. size and resize: of the encoder; max_pixels: of one file."""

    def __init__(self, *, size: int, resize: str, max_pixels: int, workers: int = 2) -> None:
        self._size, self._resize, self._max_pixels = size, resize, max_pixels
        self._workers = workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decode")

    def stop(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def squares(self, files: list[UploadFile]) -> list[np.ndarray | PictureError]:
        """For each file its square (S, S, 3) uint8, or why it has none."""
        return await self._in_turn(self._square, [(file.file, _name(file)) for file in files])

    async def squares_of(self, images: np.ndarray) -> np.ndarray:
        """(N, H, W, 3) uint8 of any size to (N, S, S, 3), as `Encoder.embed` prepares it.

        The graph could do this, but its cost and the memory that it keeps grow with the largest picture it ever saw.
        """
        if images.shape[1:3] == (self._size, self._size):
            return images
        return np.stack(await self._in_turn(self._resized, [(image,) for image in images]))

    async def _in_turn(self, work: Callable[..., T], jobs: list[tuple[Any, ...]]) -> list[T]:
        """`work` done on each in the threads, no more of one request waiting there than there are threads.

        So a request of one picture need not wait until the 256 large ones of another are done.
        """
        loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(self._workers)

        async def one(job: tuple[Any, ...]) -> T:
            async with gate:
                return await loop.run_in_executor(self._threads, work, *job)

        return await asyncio.gather(*map(one, jobs))

    def _resized(self, image: np.ndarray) -> np.ndarray:
        return to_square(Image.fromarray(image), self._size, resize=self._resize)

    def _square(self, file: BinaryIO, name: str) -> np.ndarray | PictureError:
        try:
            with until_done():  # the limit holds for every format: nothing is decoded small
                image = load_picture(file, name=name, max_pixels=self._max_pixels, shrink=False)
                return to_square(image, self._size, resize=self._resize)
        except PictureError as error:
            return error


def check_content_type(headers: Mapping[str, str]) -> None:
    """Raises Refusal (415) for anything but a multipart form."""
    given = headers.get("content-type", "").split(";")[0].strip().lower()
    if given != "multipart/form-data":
        raise Refusal(415, f"content type {given!r} is not possible here; this takes multipart/form-data (curl -F files=@a.jpg)")


async def read_files(request: Request, limits: Limits) -> list[UploadFile]:
    """The files of the form, whatever its fields are called. Raises Refusal (400, 413) for none or too many."""
    try:
        async with aclosing(request.stream()) as stream:
            most = {"max_files": limits.max_pictures, "max_fields": 16, "max_part_size": 1 << 16}
            form = await FormParser(request.headers, stream, **most).parse()
    except MultiPartException as error:
        status = 413 if error.message.startswith("Too many") else 400
        raise Refusal(status, f"the form cannot be read: {error.message}") from None
    except (UnicodeError, LookupError) as error:  # of a charset that the client named
        raise Refusal(400, f"the form cannot be read: {error}") from None
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    if not files:
        raise Refusal(400, "the form has no file; send one or more pictures, e.g. curl -F files=@a.jpg -F files=@b.png")
    return files


def answer(
    files: list[UploadFile], squares: list[np.ndarray | PictureError], found: np.ndarray, output: str
) -> list[dict[str, Any]]:
    """A row for each file: its name, and `output` (D numbers) or `error`. found: (n, D), of those with a square, in order."""
    rows, vectors = [], iter(found)
    for file, square in zip(files, squares, strict=True):
        result = {"error": str(square)} if isinstance(square, PictureError) else {output: next(vectors)}
        rows.append({"file": _name(file)} | result)
    return rows


def _name(file: UploadFile) -> str:
    """As JSON can hold it: a client's charset may make of it what is no Unicode."""
    return (file.filename or "picture")[:200].encode("utf-8", "replace").decode("utf-8")
