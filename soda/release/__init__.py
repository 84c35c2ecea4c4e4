"""Releases of an encoder: made only when it is held to be better than the one before, signed, and a way back.

A folder `releases/` has one folder a version and `current.json`, which names the one in use. Git has the same as tags that
GTO and DVC read. Nothing here loads torch; the folder can be read with the base install.
"""

from __future__ import annotations

from soda.common.errors import InputError


class ReleaseError(InputError):
    """A release that cannot be made, is not there, or is not what was signed; the message names it."""


class ReleasedAlreadyError(ReleaseError):
    """The very bytes are, or were, released."""

    exit_code = 3


class NotBetterError(ReleaseError):
    """A gate did not let the encoder through; the message has the gates and their figures."""

    exit_code = 4


class OtherDataError(ReleaseError):
    """The encoder is of another data set than the one in use: their figures say nothing of which is better."""
