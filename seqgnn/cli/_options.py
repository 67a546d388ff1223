"""Commands whose options are derived from dataclasses.

The modules of these dataclasses import torch. So a command reads them when it is called, not when it is registered, and
`seqgnn --help` imports none of them.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import typer
from typer.core import TyperCommand

from seqgnn._utils.numbers import is_plain
from seqgnn._utils.options import Option

Table = TypeVar("Table")
Options = Callable[[], Sequence[Option]]


def register(app: typer.Typer, run: Callable[[dict[str, Any]], None], options: Options) -> None:
    """Add a command to an application.

    Args:
        app: the application.
        run: called with the options that are given, by name; its name and docstring are those of the command.
        options: returns the command's options; called when the command is, or its help.
    """

    def placeholder() -> None: ...

    placeholder.__doc__ = run.__doc__
    command = type("DerivedCommand", (_DerivedCommand,), {"run": staticmethod(run), "options": staticmethod(options)})
    app.command(run.__name__, cls=command)(placeholder)


def build(table: type[Table], option_values: dict[str, Any], *, defaults: Table | None = None, **values: Any) -> Table:
    """Return a dataclass with the options that are given and are its fields.

    Args:
        table: the dataclass.
        option_values: options by name; lists become tuples.
        defaults: instance with the values of all other fields; None: those of the dataclass.
        values: other fields.
    """
    names = {item.name for item in fields(table)}  # type: ignore[arg-type]
    field_values = {name: tuple(v) if isinstance(v, list) else v for name, v in option_values.items() if name in names}
    field_values |= values
    return table(**field_values) if defaults is None else replace(defaults, **field_values)  # type: ignore[type-var]


class _DerivedCommand(TyperCommand):
    run: Callable[[dict[str, Any]], None]
    options: Options
    _params: Any = None

    @property
    def params(self) -> Any:
        if self._params is None:
            app = typer.Typer(add_completion=False)
            app.command()(_with_signature(self.run, self.options()))
            command = typer.main.get_command(app)
            self._params, self.callback = command.params, command.callback
        return self._params

    @params.setter
    def params(self, value: Any) -> None:
        """Ignore the options of the placeholder, which has none."""


def _with_signature(run: Callable[[dict[str, Any]], None], options: Sequence[Option]) -> Callable[..., None]:
    """Return a function whose arguments are the options, from which typer derives a command."""
    by_name = {option.name: option for option in options}

    def call(**values: Any) -> None:
        run({name: _parse(by_name[name], value) for name, value in values.items() if value is not None and value != []})

    hints = {option.name: Annotated[_hint(option), _info(option)] for option in options}
    parameters = [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if option.required else None,
            annotation=hints[option.name],
        )
        for option in options
    ]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = hints
    return call


def _parse_number(kind: type[int] | type[float], text: str) -> float:
    """Return the number that the text of an option is, in plain digits, unlike those that Python accepts."""
    try:
        if is_plain(text):
            return kind(text)
    except ValueError:
        pass
    name = {int: "integer", float: "float"}[kind]
    raise typer.BadParameter(f"{text!r} is not a valid {name}.")


def _info(option: Option) -> Any:
    """Return the option as typer describes it. Its default is None, which stands for "not given"."""
    default_text: Any = option.shown
    if default_text is None and option.default not in (None, (), "", False):
        values = option.default if isinstance(option.default, tuple | list) else (option.default,)
        default_text = ",".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    if option.kind is bool and option.default is True:
        default_text = option.flag[2:]
    info: dict[str, Any] = {"help": option.help, "show_default": default_text or False, "rich_help_panel": option.panel}
    if option.positional:
        return typer.Argument(**info)
    if option.kind in (int, float):
        metavar = "INTEGER" if option.kind is int else "FLOAT"
        info |= {"parser": partial(_parse_number, option.kind), "metavar": metavar}
    return typer.Option(f"{option.flag}/--no-{option.flag[2:]}" if option.kind is bool else option.flag, **info)


def _hint(option: Option) -> Any:
    """Return the type that typer converts to; other types are text for typer, which `_read` converts."""
    kind = option.kind if option.multiple or option.kind in (str, int, float, bool, Path) else str
    return kind if option.required else kind | None


def _parse(option: Option, value: Any) -> Any:
    kind = option.kind
    if option.zero_is_none and value == 0:
        return None
    if not isinstance(value, str) or kind in (str, Path) or value in option.words:
        return value
    items = [item.strip() for item in value.split(",")]
    try:
        if not is_plain(value) and kind != list[str]:
            raise ValueError
        if get_origin(kind) is dict:
            pairs = [item.split(":") for item in items]
            values = {int(key): float(number) for key, number in pairs}
            if len(values) < len(pairs):
                raise ValueError
            return values
        (kind,) = get_args(kind)
        if kind is float:  # integers stay integers, since counts and fractions differ
            kind = float if any(mark in value for mark in ".en") else int
        return [kind(item) for item in items]
    except ValueError:
        expected = " or ".join([_EXPECTED[option.kind], *map(repr, option.words)])
        raise ValueError(f"{option.flag}: expected {expected}, got {value!r}") from None


_EXPECTED: dict[Any, str] = {
    list[int]: "comma-separated integers",
    list[float]: "comma-separated numbers",
    dict[int, float]: "comma-separated size:number pairs, e.g. 10:3e-3,20:1e-3",
}
