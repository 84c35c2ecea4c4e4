"""Multipart forms in which a file may go by `filename*` alone, as some clients send names that are not ASCII.

RFC 7578 (4.2) forbids it and RFC 6266 knows it; python-multipart passes it over, and the file would be taken for a field of text.
"""

from __future__ import annotations

from email.message import Message

from starlette.formparsers import MultiPartParser


class FormParser(MultiPartParser):
    """Starlette's, which sees a plain `filename` where there was only the other."""

    def on_headers_finished(self) -> None:
        part = self._current_part
        if part.content_disposition is not None:
            part.content_disposition = with_plain_filename(part.content_disposition)
        super().on_headers_finished()


def with_plain_filename(disposition: bytes) -> bytes:
    """A Content-Disposition whose `filename*` (RFC 5987, or in pieces, RFC 2231) stands there as `filename`, too, in UTF-8.

    One that has a plain name, or none at all, is left as it is; a damaged one is a file without a name.
    """
    if b"filename*" not in disposition.lower().replace(b" ", b""):
        return disposition
    message = Message()
    message["Content-Disposition"] = "".join(c for c in disposition.decode("latin-1") if c.isprintable())
    parameters = dict(message.get_params([], "Content-Disposition"))
    if isinstance(parameters.get("filename"), str):
        return disposition
    try:
        name = message.get_filename() or "picture"
    except (LookupError, UnicodeError, ValueError):
        name = "picture"
    plain = name.replace("\\", "\\\\").replace('"', '\\"').encode("utf-8", "replace")
    return disposition + b'; filename="' + plain.replace(b"\r", b"").replace(b"\n", b"") + b'"'
