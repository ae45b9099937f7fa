"""Objects by their specification in words: ``NAME[,key=value...]`` or ``module:object[,key=value...]``."""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from cryoinv.errors import InputError

__all__ = ["made_from", "nearest", "split_outside_brackets", "split_spec"]

T = TypeVar("T")


def made_from(
    spec: str,
    registry: Mapping[str, Callable[..., T]],
    kind: str,
    base: type[T],
    parts: Mapping[str, Callable[[str], Any]] | None = None,
    **given: Any,
) -> T:
    """Make the object a specification names.

    Parameters
    ----------
    spec : str
        ``NAME[,key=value...]`` with a name of `registry`, or ``module:object[,key=value...]`` with an object of an
        importable module, or of one in the working directory.
    registry : mapping of str to callable
        What makes the objects, by name.
    kind : str
        What they are, for messages: "prior".
    base : type
        What they must be instances of.
    parts : mapping of str to callable, optional
        What makes an object of the text of an option that is a specification itself, by the option's key.
    **given
        Further keywords, for those that take them and are not told them by the specification.

    Returns
    -------
    instance of `base`

    Raises
    ------
    InputError
        If there is no such name, module or object, a key is unknown or stands twice, a value does not suit, or the
        object is of another kind; the message names the nearest valid name.

    Examples
    --------
    >>> from fractions import Fraction
    >>> made_from("fraction,numerator=3,denominator=4", {"fraction": Fraction}, "number", Fraction)
    Fraction(3, 4)
    >>> made_from("fractions:Fraction,numerator=3", {}, "number", Fraction)
    Fraction(3, 1)
    """
    name, options = split_spec(spec, kind)
    for key in options.keys() & (parts or {}).keys():
        options[key] = (parts or {})[key](str(options[key]))
    maker = _imported(name, kind) if ":" in name else _registered(name, registry, kind)
    made = maker
    if callable(maker) and not isinstance(maker, base):
        made = _called(maker, name, options, given, kind)
    elif options:
        raise InputError(f"{kind} {name!r} is an object already, it takes no {next(iter(options))!r}")
    if not isinstance(made, base):
        raise InputError(f"{kind} {name!r} is a {type(made).__name__}, expected a {base.__name__}")
    return made


def split_spec(spec: str, kind: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a specification, values turned into numbers and truth values where they read as such.

    A value in brackets is a specification of its own.

    Parameters
    ----------
    spec : str
        ``NAME[,key=value...]``.
    kind : str
        What it specifies, for messages.

    Returns
    -------
    name : str
        Before the first comma.
    options : dict
        By key, with underscores for hyphens.

    Raises
    ------
    InputError
        If it has no name, a part is not key=value, a key stands twice or brackets do not match.

    Examples
    --------
    >>> split_spec("cw-red,coarse=10,guard=true,rule=paper", "prior")
    ('cw-red', {'coarse': 10, 'guard': True, 'rule': 'paper'})
    >>> split_spec("red,denoiser=(lowpass,resolution=12)", "prior")
    ('red', {'denoiser': 'lowpass,resolution=12'})
    """
    name, *rest = split_outside_brackets(spec, ",", kind)
    if not name:
        raise InputError(f"{kind} {spec!r} has no name, expected NAME[,key=value...]")
    options: dict[str, Any] = {}
    for part in rest:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            raise InputError(f"{kind} {spec!r}: found {part!r}, expected key=value")
        key = key.replace("-", "_")
        if key in options:
            raise InputError(f"{kind} {spec!r}: {key} stands twice")
        bracketed = value.startswith("(") and value.endswith(")")
        options[key] = value[1:-1] if bracketed else _value(value)
    return name, options


def split_outside_brackets(text: str, separator: str, kind: str) -> list[str]:
    """Pieces between separators, of which those within brackets do not count.

    Parameters
    ----------
    text : str
        What to split.
    separator : str
        One letter.
    kind : str
        What the text specifies, for messages.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If brackets do not match.

    Examples
    --------
    >>> split_outside_brackets("a;b,c=(d;e)", ";", "denoisers")
    ['a', 'b,c=(d;e)']
    """
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            break
        if letter == separator and not depth:
            pieces.append("")
        else:
            pieces[-1] += letter
    if depth:
        raise InputError(f"{kind} {text!r}: brackets do not match")
    return [piece.strip() for piece in pieces]


def nearest(name: str, names: Iterable[str]) -> str:
    """End of a message that refuses a name: all valid names, and which of them is like it.

    Parameters
    ----------
    name : str
        What was asked for.
    names : iterable of str
        What there is.

    Returns
    -------
    str

    Examples
    --------
    >>> nearest("gausian", ["gaussian", "red"])
    "expected one of: gaussian, red; did you mean 'gaussian'?"
    """
    names = sorted(names)
    close = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"expected one of: {', '.join(names)}{hint}" if names else "expected none"


def _value(text: str) -> Any:
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _registered(name: str, registry: Mapping[str, Callable[..., T]], kind: str) -> Callable[..., T]:
    if name not in registry:
        raise InputError(f"unknown {kind} {name!r}, {nearest(name, registry)}, or module:object")
    return registry[name]


def _imported(name: str, kind: str) -> Any:
    module_name, _, path = name.partition(":")
    try:
        with _working_directory_first():
            found: Any = importlib.import_module(module_name)
    except (ImportError, ValueError, SyntaxError) as error:
        raise InputError(f"{kind} {name!r}: the module {module_name!r} cannot be imported ({error})") from None
    for part in path.split("."):
        if not hasattr(found, part):
            public = [each for each in dir(found) if not each.startswith("_")]
            raise InputError(f"{kind} {name!r}: there is no {part!r} in it, {nearest(part, public)}")
        found = getattr(found, part)
    return found


@contextmanager
def _working_directory_first() -> Any:
    """Let modules in the working directory be imported, as ``python -m`` does."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _called(maker: Callable[..., Any], name: str, options: dict[str, Any], given: dict[str, Any], kind: str) -> Any:
    """Call `maker`; refuse unknown keys, and values that it refuses, in the name of the specification."""
    parameters = inspect.signature(maker).parameters.values()
    wanted = {each.name: each.annotation for each in parameters}
    named = [each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    takes_all = any(each.kind == each.VAR_KEYWORD for each in parameters)
    for key in options:
        if key not in named and not takes_all:
            raise InputError(f"{kind} {name!r} has no option {key!r}, {nearest(key, named)}")
        _check_kind(options[key], str(wanted.get(key)), f"{kind} {name!r}: {key}")
    taken = {key: value for key, value in given.items() if key in named and key not in options}
    try:
        return maker(**options, **taken)
    except InputError as error:
        raise InputError(f"{kind} {name!r}: {error}") from None
    except (TypeError, ValueError, ArithmeticError) as error:
        said = ", ".join(f"{key}={value}" for key, value in options.items()) or "no options"
        raise InputError(f"{kind} {name!r} cannot be made with {said} ({error})") from None


def _check_kind(value: Any, wanted: str, name: str) -> None:
    """Refuse numbers that are none, and kinds of value that an annotation of one plain type excludes."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} is {value}, expected a finite number")
    plain: dict[str, tuple[Any, str]] = {
        "int": (int, "a whole number"),
        "float": ((int, float), "a number"),
        "bool": (bool, "true or false"),
    }
    if wanted in plain:
        kinds, expected = plain[wanted]
        if not isinstance(value, kinds) or (isinstance(value, bool) and wanted != "bool"):
            raise InputError(f"{name} is {value!r}, expected {expected}")
