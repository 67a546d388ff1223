"""HTML of objects for notebooks."""

from collections.abc import Mapping, Sequence
from html import escape


def html_table(caption: str, rows: Sequence[Sequence[str]] | Mapping[str, str], columns: Sequence[str] = ()) -> str:
    """Return a table in which all text is escaped.

    Args:
        caption: text above the table.
        rows: cells; or a name and a value per row.
        columns: names of the columns; empty: none are shown.

    Example:
        >>> html_table("a", {"x < 1": "yes"})
        '<table><caption>a</caption><tbody><tr><td>x &lt; 1</td><td>yes</td></tr></tbody></table>'
    """
    lines = list(rows.items()) if isinstance(rows, Mapping) else rows
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    head = f"<thead><tr>{head}</tr></thead>" if columns else ""
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in lines)
    return f"<table><caption>{escape(caption)}</caption>{head}<tbody>{body}</tbody></table>"
