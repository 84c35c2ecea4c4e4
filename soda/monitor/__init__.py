"""Drift: are the pictures that come in still those that the encoder was made for?

NumPy alone. No picture is kept unless it was asked for.
"""

from __future__ import annotations

from soda.common.errors import InputError


class MonitorError(InputError):
    """A sample that cannot be read or compared; the message names the file."""


class TooFewError(MonitorError):
    """The sample is too small to say anything of it yet."""

    exit_code = 3


class OtherEncoderError(MonitorError):
    """The sample is of another encoder than the reference."""

    exit_code = 4
