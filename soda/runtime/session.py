"""One onnxruntime session of a model file, with errors that name the file; damage is found before onnxruntime sees it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from soda.common.checks import whole_number
from soda.common.errors import InputError, SodaError
from soda.runtime.metadata import CHECKSUM_KEY, MetadataError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_DIGEST = 64  # hexadecimal digits of a SHA-256
_MARK = CHECKSUM_KEY.encode() + b"\x12" + bytes([_DIGEST])  # the key, and the tag and length of its value, as protobuf has them


class ModelError(SodaError, ValueError):
    """A file that is not a model of this project; the message names the file and what is wrong with it."""


def with_checksum(content: bytes) -> bytes:
    """The bytes of a model whose metadata hold CHECKSUM_KEY with 64 zeros: these replaced by the SHA-256 of all the bytes.

    Raises ValueError without such an entry.
    """
    start = content.rfind(_MARK) + len(_MARK)
    if start < len(_MARK) or content[start : start + _DIGEST] != b"0" * _DIGEST:
        raise InputError(f"the model's metadata hold no {CHECKSUM_KEY} of {_DIGEST} zeros")
    return content[:start] + hashlib.sha256(content).hexdigest().encode() + content[start + _DIGEST :]


def is_damaged(content: bytes) -> bool:
    """Whether the bytes differ from those that `with_checksum` made. Of a file without a checksum nothing is known: False."""
    start = content.rfind(_MARK) + len(_MARK)
    if start < len(_MARK):
        return False
    digest = hashlib.sha256(content[:start])
    digest.update(b"0" * _DIGEST)
    digest.update(content[start + _DIGEST :])
    return digest.hexdigest().encode() != content[start : start + _DIGEST]


class OnnxModel:
    """A model file, its session and what it says of itself: what `Encoder` and `Decoder` share.

    providers: in order of preference, by default the CPU; threads: of one call, 0 leaves it to onnxruntime (one a core).
    `failure` is what everything that is wrong with the file is raised as. Raises ValueError for a provider that this onnxruntime
    does not have and for a negative number of threads.
    """

    failure: ClassVar[type[ModelError]] = ModelError

    def __init__(
        self,
        path: str | os.PathLike[str],
        providers: Sequence[str] | None,
        threads: int,
        from_props: Callable[[Mapping[str, str]], dict[str, Any]],
    ) -> None:
        self.path = Path(path)
        self._made_with = ["CPUExecutionProvider"] if providers is None else list(providers), threads
        content = self._read()
        self._digest, self._content = hashlib.sha256(content).digest(), b""
        self._session = self._open(content)
        try:
            self._metadata = from_props(dict(self._session.get_modelmeta().custom_metadata_map))
            self._inputs, self._outputs = (  # name -> (type, shape); a string in a shape names a size that is not fixed
                {node.name: (node.type, list(node.shape)) for node in nodes}
                for nodes in (self._session.get_inputs(), self._session.get_outputs())
            )
        except MetadataError as error:
            raise self.failure(f"{self.path}: {error}") from None
        except UnicodeDecodeError as error:
            raise self.failure(f"{self.path}: damaged: its metadata or its nodes' names are not Unicode ({error})") from None

    @property
    def latent_dim(self) -> int:
        """D, the length of z."""
        return int(self._metadata["latent_dim"])

    @property
    def metadata(self) -> dict[str, Any]:
        """What the file says of itself (`soda.runtime.metadata` lists the keys): data set, versions and more."""
        return dict(self._metadata)

    def __repr__(self) -> str:
        size = self._metadata["image_size"]
        return f"{type(self).__name__}({os.fspath(self.path)!r}, latent_dim={self.latent_dim}, image_size={size})"

    def _read(self) -> bytes:
        """The bytes of the file, which must not have been altered since it was exported."""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise self.failure(f"{self.path}: {(error.strerror or str(error)).lower()}") from None
        if is_damaged(content):
            raise self.failure(f"{self.path}: damaged: its bytes are not those that were exported ({CHECKSUM_KEY} does not fit)")
        return content

    def __getstate__(self) -> dict[str, Any]:
        """With the bytes of the file, which another machine may not have. Raises `failure` where they are others by now."""
        content = self._content or self._read()
        if hashlib.sha256(content).digest() != self._digest:
            raise self.failure(f"{self.path}: it changed since it was loaded, so no copy of the model can be handed on")
        return {**self.__dict__, "_session": None, "_content": content}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)  # the bytes stay with a copy, which may be handed on in its turn
        self._session = self._open(state["_content"])
        for value in state.values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def _open(self, content: bytes) -> InferenceSession:
        import onnxruntime  # here and not above: most of the import time, which preparation need not pay

        providers, threads = self._made_with
        whole_number("threads", threads, 0)
        available = onnxruntime.get_available_providers()
        for provider in providers:
            if provider not in available:
                raise InputError(f"providers: this onnxruntime has no {provider!r}; it has {', '.join(available)}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that spin while they wait for the next batch take the processor from those that decode it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # fatal ones; errors are raised
        try:
            # Its own way out of a provider that fails prints to standard output and carries on with another one.
            session = onnxruntime.InferenceSession(content, options, providers=providers, enable_fallback=0)
        except Exception as error:  # onnxruntime's errors share no base class
            raise self.failure(f"{self.path}: not a model that onnxruntime can load: {_reason(error)}") from None
        usable = session.get_providers()
        for provider in providers:  # one whose libraries cannot be loaded is left out without an error
            if provider not in usable:
                raise self.failure(f"{self.path}: {provider} cannot be used on this machine; {', '.join(usable)} can")
        return session

    def _infer(self, feeds: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]]) -> list[np.ndarray]:
        """Run the graph; wanted: its outputs and their shapes. What loads may be damaged: it may fail, or give what is wrong."""
        try:
            outputs = self._session.run(list(wanted), dict(feeds))
        except Exception as error:  # onnxruntime's errors share no base class
            shapes = ", ".join(f"{name} {each.shape}" for name, each in feeds.items())
            raise self.failure(f"{self.path}: the model failed at {shapes}: {_reason(error)}") from None
        for output, (name, shape) in zip(outputs, wanted.items(), strict=True):
            if output.shape != shape:
                raise self.failure(f"{self.path}: the model gave {name} of shape {output.shape}, not {shape}")
            if not np.isfinite(output).all():
                raise self.failure(f"{self.path}: for this input the model gave {name} with values that are not finite")
        return outputs


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
