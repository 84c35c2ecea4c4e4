"""What all settings share: the decorator of a validated class, types of values, and the error that names what is wrong."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import BeforeValidator, Field, Strict, ValidationError
from pydantic.dataclasses import dataclass

from soda.common.errors import InputError

C = TypeVar("C")


class ConfigError(InputError):
    """A setting that is unknown, missing or impossible; the message names its key and its value."""


class ImpossibleError(InputError):
    """A setting that does not go with others of its group; `key` is the one within the group."""

    def __init__(self, key: str, value: object, must_be: str) -> None:
        super().__init__(f"{value!r} is not possible; it must be {must_be}")
        self.key = key


def check(ok: bool, key: str, value: object, must_be: str) -> None:
    """Hold settings to each other. Raises ImpossibleError, which reaches people as ConfigError."""
    if not ok:
        raise ImpossibleError(key, value, must_be)


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value  # 1e5 is a float to YAML


@dataclasses.dataclass(frozen=True)
class Before:
    """Marks a setting, or a group, that came later with what it was before there was a choice: `Annotated[Share, Before(0.1)]`.

    `migrate` reads it. It never changes: models were trained so.
    """

    value: Any


# Strict: "3" is no number, and true is no 1.
Flag = Annotated[bool, Strict()]
Whole = Annotated[int, BeforeValidator(_whole), Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]

Count = Annotated[Whole, Field(ge=1)]
CountOrZero = Annotated[Whole, Field(ge=0)]
Seed = Annotated[Whole, Field(ge=0, le=2**63 - 1)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(ge=0, le=1)]


@dataclass_transform(frozen_default=True)
def settings(group: str) -> Callable[[type[C]], type[C]]:
    """Make a class the settings of `group`: a frozen dataclass whose values pydantic validates, `dataclasses.replace` included.

    No field has a default: what a setting is unless somebody says otherwise stands in conf/ alone. Raises ConfigError wherever
    an object is made from a wrong value.
    """

    def decorate(cls: type[C]) -> type[C]:
        made: Any = dataclass(frozen=True, config={"extra": "forbid"})(cls)
        validate = made.__init__

        @functools.wraps(validate)
        def __init__(self: C, *args: Any, **values: Any) -> None:
            try:
                validate(self, *args, **values)
            except ValidationError as error:
                raise ConfigError(describe(error, made, group)) from None

        made.__init__ = __init__
        return made  # type: ignore[no-any-return]

    return decorate


def describe(error: ValidationError, cls: type[Any], group: str = "", whole: str = "params.yaml") -> str:
    """The first thing that is wrong, by its full key; an unknown key before all, since a misspelt one is missing as well."""
    found = min(error.errors(include_url=False), key=lambda each: each["type"] != "unexpected_keyword_argument")
    place, value = found["loc"], found["input"]
    key = functools.reduce(lambda path, name: f"{path}[{name}]" if isinstance(name, int) else f"{path}.{name}", place, group)
    key = key.lstrip(".")
    if found["type"] == "unexpected_keyword_argument":
        return f"{key}: no such setting (value {value!r}); known here: {', '.join(_fields(cls, place[:-1]))}"
    if found["type"].startswith("missing"):
        return f"{key}: this setting is missing"
    cause = found.get("ctx", {}).get("error")
    if isinstance(cause, ImpossibleError):
        return f"{key}.{cause.key}: {cause}".lstrip(".")
    return f"{key or whole}: {value!r} is not possible; {_plain(found['type'], found['msg'])}"


def _fields(cls: type[Any], place: tuple[int | str, ...]) -> Mapping[str, Any]:
    for name in place:
        cls = cls.__pydantic_fields__[name].annotation
    return cls.__pydantic_fields__  # type: ignore[no-any-return]


def _plain(kind: str, message: str) -> str:
    """pydantic's words as the other messages say it."""
    said = {"tuple_type": "it must be a list", "dataclass_type": "it must be a mapping of settings"}
    return said.get(kind, re.sub(r"^(Input|Tuple|String) should (.*?)( after validation.*)?$", r"it must \2", message))
