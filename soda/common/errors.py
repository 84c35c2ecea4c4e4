"""Errors that a person can cause: one base class, shown as one line. Anything else is a bug and keeps its traceback."""

from __future__ import annotations

import errno

# What the machine says no to, whichever file it is about: full or read-only disks, missing permissions, broken drives.
_OF_THE_MACHINE = {
    getattr(errno, name)
    for name in ("EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENFILE", "ENAMETOOLONG", "ENOMEM")
    if hasattr(errno, name)
}


class SodaError(Exception):
    """What a person can cause and put right; the message says how. `exit_code` is what a command then ends with."""

    exit_code = 1


class InputError(SodaError, ValueError):
    """A value, an array or a file's content that cannot be used."""


class FileError(SodaError, OSError):
    """A file, folder or address that cannot be read or had."""


class MissingFolderError(SodaError, NotADirectoryError):
    """A folder that isn't there."""


class NotInstalledError(SodaError, ModuleNotFoundError):
    """An optional package that isn't installed; the message says how to install it."""


def is_expected(error: BaseException) -> bool:
    """Whether an error is for the person, who is then shown one line of it; False for a bug of ours."""
    if isinstance(error, ModuleNotFoundError) and error.name:  # the base package was asked for what needs more
        return error.name.partition(".")[0] not in ("soda", "flows")
    return isinstance(error, SodaError) or (isinstance(error, OSError) and error.errno in _OF_THE_MACHINE)
