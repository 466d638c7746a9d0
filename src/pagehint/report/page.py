"""A self-contained page, which needs nothing else: a title, sentences, sections, and the charts in them."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import pairwise
from string import Template
from typing import Any

from plotly.offline import get_plotlyjs

from pagehint.report.chart_style import COLOURS, DARK

_BEFORE_A_UNIT = re.compile(r"(?<=\d) (?=(?:[num]?s|min|h|[KMGTP]?i?B|GiB·min|%)(?!\w))")

# Where paths and names of parameters may be broken.
_BREAKS = {ord(character): f"{character}<wbr>" for character in "/_="}
_MOST_COLUMNS = 7  # of figures, beside what a row is: more were cut off on paper

__all__ = ["chart", "charts", "colour_key", "filled_page", "html_table", "html_tables", "section", "warning_box"]


def filled_page(
    title: str,
    about: str,
    lead: str,
    warnings: Iterable[str],
    notes: Iterable[str],
    sections: Iterable[str],
    figures: Mapping[str, Any],
) -> str:
    """The page. `sections` are HTML, all else is text, a paragraph a line of `lead`; `figures` are plotly's by the id
    of their element."""
    template = Template((files("pagehint.report") / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=_together(escape(title)),
        about=_together(_words(about)),
        lead=_together("\n".join(f'<p class="lead">{_words(line)}</p>' for line in lead.splitlines())),
        warnings=_together(warning_box(warnings)),
        notes=_together("\n".join(f'<p class="note">{_words(line)}</p>' for line in notes)),
        sections=_together("\n".join(sections)),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
        figures=_in_script(figures),
        dark=_in_script(DARK),
    )


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """A table of texts as HTML, of the CSS class `kind`. Of one of words a narrow window shows each row as a list, and
    paths may be broken."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    cells = [f'<td data-head="{escape(cell)}">' if kind == "words" else "<td>" for cell in head]
    wide = _BREAKS if kind == "words" else {}
    body = "".join(
        "<tr>"
        + "".join(f"{cell}{escape(text).translate(wide)}</td>" for cell, text in zip(cells, row, strict=True))
        + "</tr>"
        for row in rows
    )
    of = f' class="{kind}"' if kind else ""
    return f"<table{of}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def html_tables(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of figures, or as many below each other, alike in width, as a page is wide enough for."""
    columns = max(len(head) - 1, 1)
    parts = -(-columns // _MOST_COLUMNS)
    edges = [1 + columns * part // parts for part in range(parts + 1)]
    return "".join(
        html_table([head[0], *head[begin:end]], [[row[0], *row[begin:end]] for row in rows])
        for begin, end in pairwise(edges)
    )


def section(title: str, body: str, note: str = "") -> str:
    """A part of the page: `body` is HTML."""
    said = f'<p class="note">{_words(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{said}{body}</section>"


def chart(name: str, height: int, label: str, title: str = "") -> str:
    """The place of one of the page's `figures`, so many pixels high. `label`: what it is, in words."""
    heading = f"<h3>{escape(title)}</h3>" if title else ""
    attributes = f'id="{name}" role="img" aria-label="{escape(label)}" style="height:{height}px"'
    return f'<div class="figure">{heading}<div {attributes}></div></div>'


def charts(places: Sequence[str], two: bool = False) -> str:
    """Places of charts, one below the other, or two beside each other."""
    return f'<div class="figures{" two" if two else ""}">{"".join(places)}</div>'


def colour_key(meanings: Mapping[str, str]) -> str:
    """What the colours of a chart mean, by their names of COLOURS, as HTML."""
    keys = (f'<span><i data-colour="{COLOURS[name]}"></i>{words}</span>' for name, words in meanings.items())
    return f'<div class="key">{"".join(keys)}</div>'


def warning_box(lines: Iterable[str]) -> str:
    """What the rest doesn't rest on firmly, as HTML; nothing if there is nothing."""
    items = "".join(f"<li>{_words(line)}</li>" for line in lines)
    return f'<div class="warning"><b>Warnings</b><ul>{items}</ul></div>' if items else ""


# No line ends between a figure and its unit.
def _together(html: str) -> str:
    return _BEFORE_A_UNIT.sub("\u00a0", html)


# A command stands between backticks, for terminals.
def _words(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


# In a script element a "<" may begin a comment, a nested script or the element's end, whatever the type says.
def _in_script(data: Any) -> str:
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
