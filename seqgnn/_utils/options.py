"""The fields of dataclasses as options: each name, type, default and help text has one home, where the field is.

The command line and grid files are derived from them.
"""

import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

ZERO_IS_NONE = {"zero_is_none": True}  # metadata of a field, see `Option`


@dataclass(frozen=True)
class Option:
    """An option of a command, which is also a key of a grid file.

    Args:
        name: name in Python and in files; on the command line with hyphens in place of underscores.
        kind: `str`, `int`, `float`, `bool`, `Path`, a list of one of these, or `dict[int, float]`.
        help: a sentence, or more.
        default: value that applies if the option is not given.
        shown: what to show as the default where that is None or depends on something.
        panel: heading of the help that lists the option.
        positional: whether the value is given without the option's name.
        multiple: whether the option may be given several times, a list item each, instead of once with commas.
        zero_is_none: whether 0 stands for None, which the command line and files cannot express.
        required: whether the option must be given.
        words: values that stand for themselves where a list is expected, such as "auto".
    """

    name: str
    kind: Any
    help: str
    default: Any = None
    shown: str | None = None
    panel: str | None = None
    positional: bool = False
    multiple: bool = False
    zero_is_none: bool = False
    required: bool = False
    words: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """Name on the command line.

        Example:
            >>> Option("batch_size", int, "Samples per step.").flag
            '--batch-size'
        """
        return "--" + self.name.replace("_", "-")


def options_of(
    source: type | Callable[..., Any],
    *,
    only: Iterable[str] | None = None,
    without: Iterable[str] = (),
    defaults: Any = None,
    panel: str | None = None,
) -> tuple[Option, ...]:
    """Return the fields of a dataclass, or the arguments of a function, as options.

    The help is the entry of `Args` in the docstring. An entry may end with what None stands for, as in "...; None: all
    of them." Where None is the default, that is shown as the default.

    Args:
        source: dataclass or function.
        only: names to take; None: all.
        without: names to leave out.
        defaults: an instance of the dataclass whose values are the defaults; None: those of the dataclass.
        panel: heading of the help that lists them.

    Example:
        >>> @dataclass
        ... class Size:
        ...     '''The size.
        ...
        ...     Args:
        ...         width: width in
        ...             meters.
        ...         height: height in meters; None: as the width.
        ...     '''
        ...
        ...     width: float = 2.0
        ...     height: float | None = None
        >>> for option in options_of(Size):
        ...     print(option.flag, option.kind.__name__, option.help, option.default, option.shown)
        --width float Width in meters. 2.0 None
        --height float Height in meters. None as the width
    """
    hints, texts = get_type_hints(source), _all_entries(source)
    metadata: dict[str, Any] = {}
    if isinstance(source, type):
        metadata = {item.name: item.metadata for item in fields(source)}
    options = []
    for name, default in _defaults(source).items():
        if name in without or (only is not None and name not in only):
            continue
        default = default if defaults is None else getattr(defaults, name)
        text, _, none_text = texts.get(name, "").partition("; None: ")
        shown = none_text.rstrip(".") or None if default is None else None
        zero_is_none = metadata.get(name, {}).get("zero_is_none", False)
        if zero_is_none:
            text, shown = texts[name].replace("None", "0"), None
        option = Option(name, kind_of(hints[name]), _sentence(text), default, shown, panel, zero_is_none=zero_is_none)
        options.append(option)
    return tuple(options)


def _all_entries(source: Any) -> dict[str, str]:
    """Return the entries of a function, or of a dataclass and those that it inherits from."""
    if not isinstance(source, type):
        return entries(source)
    bases = [base for base in reversed(source.__mro__) if is_dataclass(base)]
    return {name: text for base in bases for name, text in entries(base).items()}


def entries(source: Any) -> dict[str, str]:
    """Return the entries of `Args` or `Attributes` in a docstring, by name."""
    lines = (inspect.getdoc(source) or "").splitlines()
    starts = [number for number, line in enumerate(lines) if line in ("Args:", "Attributes:")]
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in lines[starts[0] + 1 :] if starts else ():
        if not line.startswith("    "):
            break
        if entry := re.match(r"    (\w+(?:, \w+)*): (.*)", line):
            names = entry[1].split(", ")
            texts |= dict.fromkeys(names, entry[2])
        else:
            texts |= {name: f"{texts[name]} {line.strip()}" for name in names}
    return texts


def kind_of(hint: Any) -> Any:
    """Return the type of an option for a type hint: without None, and lists for tuples and sequences.

    Example:
        >>> kind_of(int | None), kind_of(tuple[str, ...]), kind_of(tuple[int | float, int | float])
        (<class 'int'>, list[str], list[float])
        >>> kind_of(Mapping[int, float] | None)
        dict[int, float]
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (UnionType, Union):
        parts = tuple(part for part in parts if part is not NoneType)
        if any(get_origin(part) is os.PathLike for part in parts):
            return Path
        return float if set(parts) == {int, float} else kind_of(parts[0])
    if origin is dict or origin is Mapping:
        return dict[parts]  # type: ignore[misc, valid-type]
    if origin in (tuple, list, Sequence):
        return list[kind_of(parts[0])]  # type: ignore[misc]
    return hint


def _defaults(source: Any) -> dict[str, Any]:
    if isinstance(source, type):
        own_first = sorted(fields(source), key=lambda item: item.name not in source.__annotations__)
        return {item.name: None if item.default is MISSING else item.default for item in own_first}
    parameters = inspect.signature(source).parameters.values()
    return {item.name: None if item.default is item.empty else item.default for item in parameters}


def _sentence(text: str) -> str:
    text = text if text.endswith("...") or not text else text.rstrip(".") + "."
    return text[:1].upper() + text[1:]
