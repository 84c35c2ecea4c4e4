"""The error about a picture that cannot be used."""

from __future__ import annotations

from soda.common.errors import SodaError


class PictureError(SodaError, ValueError):
    """A picture that cannot be used; the message names the file (where there is one) and the reason."""
