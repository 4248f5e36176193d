"""Small pieces of HTML that need no script, follow the light or dark theme around them, and escape all they show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

MUTED: Final = "opacity:.72"
LINE: Final = "1px solid var(--jp-border-color2,rgba(128,128,128,.35))"
BOX: Final = (
    "font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:var(--jp-ui-font-size1,13px);line-height:1.45;"
    f"color:var(--jp-ui-font-color1,currentColor);border:{LINE};border-radius:6px;padding:6px 10px;margin:4px 0;max-width:960px"
)
_CODE: Final = "font-family:var(--jp-code-font-family,ui-monospace,monospace);font-size:.94em"
_CELL: Final = f"text-align:left;vertical-align:top;padding:2px 14px 2px 0;border-bottom:{LINE}"
_TONES: Final = {
    "good": "var(--jp-success-color1,#388e3c)",
    "bad": "var(--jp-error-color1,#d32f2f)",
    "warn": "var(--jp-warn-color1,#e65100)",
    "plain": "var(--jp-border-color1,rgba(128,128,128,.6))",
}


def text(value: object) -> str:
    """A value as escaped text.

    Example:
        >>> text("<b>")
        '&lt;b&gt;'
    """
    return escape(str(value), quote=True)


def code(value: object) -> str:
    """Escaped text in the code font."""
    return f'<span style="{_CODE}">{text(value)}</span>'


def prose(value: object) -> str:
    """A sentence as escaped text, what stands between backticks in the code font.

    Example:
        >>> "<span" in prose("helper `clean` changed")
        True
    """
    parts = str(value).split("`")
    if len(parts) % 2 == 0:
        return text(value)
    return "".join(code(part) if at % 2 else text(part) for at, part in enumerate(parts))


def chip(value: object, tone: str = "plain") -> str:
    """A small outlined word; its outline has the tone, its letters keep the text's own contrast."""
    style = f"border:1px solid {_TONES[tone]};border-radius:9px;padding:0 7px;font-size:.88em;white-space:nowrap"
    return f'<span style="{style}">{text(value)}</span>'


def muted(html: str) -> str:
    """Markup in a quieter shade."""
    return f'<span style="{MUTED}">{html}</span>'


def box(parts: Iterable[str], label: str) -> str:
    """A bordered group of parts, named for screen readers."""
    return f'<div role="group" aria-label="{text(label)}" style="{BOX}">{"".join(parts)}</div>'


def fold(summary: str, inside: str, *, is_open: bool = False) -> str:
    """Something that opens on a click or a key, without script; `summary` and `inside` are markup."""
    return f'<details{" open" if is_open else ""}><summary style="cursor:pointer">{summary}</summary>{inside}</details>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; heads are text, cells are markup."""
    head = "".join(f'<th scope="col" style="{_CELL};font-weight:600">{text(h)}</th>' for h in heads)
    body = "".join("<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in row) + "</tr>" for row in rows)
    style = "border-collapse:collapse;margin:4px 0;font-size:inherit;color:inherit;background:transparent"
    return f'<div style="overflow-x:auto"><table style="{style}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def names(values: Sequence[str], most: int = 12) -> str:
    """Column names in the code font; beyond `most` the rest unfolds."""
    if len(values) <= most:
        return ", ".join(code(v) for v in values)
    shown, rest = values[:most], values[most:]
    more = ", ".join(code(v) for v in rest)
    return f"{', '.join(code(v) for v in shown)} {fold(muted(f'and {len(rest):,} more'), more)}"
