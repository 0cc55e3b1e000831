"""Frozen dataclasses to JSON and back: kind and version written, unknown keys refused."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from thinfer.errors import DataError

__all__ = ["from_json", "to_json"]

T = TypeVar("T")


def to_json(value: object) -> Any:  # noqa: ANN401 - JSON is what it is
    """Give a JSON-ready form of a frozen dataclass, tuple, mapping or plain value.

    A dataclass with class attributes `KIND` and `VERSION` carries them as `kind` and `version`.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        body = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        cls: Any = type(value)
        kind = getattr(cls, "KIND", None)
        return body if kind is None else {"kind": kind, "version": cls.VERSION, **body}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value


def from_json(cls: type[T], body: object) -> T:
    """Rebuild a frozen dataclass from its JSON form; its own checks run on construction.

    Args:
        cls: the dataclass.
        body: what `json.loads` gave.

    Returns:
        A new instance.

    Raises:
        DataError: kind, version, a key or a type is not what the class declares.
    """
    if not isinstance(body, Mapping):
        raise _mismatch(cls, "an object", type(body).__name__)
    rest = dict(body)
    kind = getattr(cls, "KIND", None)
    if kind is not None:
        found = (rest.pop("kind", None), rest.pop("version", None))
        if found != (kind, getattr(cls, "VERSION", None)):
            raise _mismatch(
                cls, f"kind {kind!r} version {getattr(cls, 'VERSION', None)}", str(found)
            )
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]  # T is a dataclass
    unknown = sorted(set(rest) - set(fields))
    if unknown:
        raise _mismatch(cls, f"keys {sorted(fields)}", f"unknown keys {unknown}")
    missing = [name for name, field in fields.items() if name not in rest and _is_required(field)]
    if missing:
        raise _mismatch(cls, "all required keys", f"missing keys {missing}")
    return cls(
        **{key: _read(hints[key], item, f"{cls.__name__}.{key}") for key, item in rest.items()}
    )


def _is_required(field: dataclasses.Field[Any]) -> bool:
    absent = dataclasses.MISSING
    return field.default is absent and field.default_factory is absent


def _mismatch(cls: type, expected: str, got: str) -> DataError:
    return DataError(f"the stored {cls.__name__} cannot be read", expected=expected, got=got)


def _read(hint: Any, value: Any, name: str) -> Any:  # noqa: ANN401 - walks type hints
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _read_union(arguments, value, name)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_json(hint, value)
    if origin is typing.Literal:
        return _checked(value in arguments, value, name, str(arguments))
    if origin is tuple:
        _checked(isinstance(value, list | tuple), value, name, "a list")
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_read(arguments[0], item, name) for item in value)
        _checked(len(value) == len(arguments), value, name, f"{len(arguments)} items")
        return tuple(_read(part, item, name) for part, item in zip(arguments, value, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        _checked(isinstance(value, Mapping), value, name, "an object")
        return {key: _read(arguments[1], item, name) for key, item in value.items()}
    if hint is float:
        good = isinstance(value, int | float) and not isinstance(value, bool)
        return float(_checked(good, value, name, "a number"))
    if hint is int:
        good = isinstance(value, int) and not isinstance(value, bool)
        return _checked(good, value, name, "an integer")
    return _checked(isinstance(value, hint), value, name, getattr(hint, "__name__", str(hint)))


def _read_union(arguments: tuple[Any, ...], value: Any, name: str) -> Any:  # noqa: ANN401 - as above
    if value is None and type(None) in arguments:
        return None
    errors = []
    for part in arguments:
        if part is type(None):
            continue
        try:
            return _read(part, value, name)
        except DataError as error:
            errors.append(error)
    raise errors[0]


def _checked(good: bool, value: Any, name: str, expected: str) -> Any:  # noqa: ANN401 - as above
    if not good:
        what = f"the stored value '{name}' cannot be read"
        raise DataError(what, expected=expected, got=repr(value)[:80])
    return value
