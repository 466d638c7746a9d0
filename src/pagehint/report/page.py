"""A self-contained page, which needs nothing else: a title, sentences, sections, and the charts in them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from plotly.offline import get_plotlyjs

from pagehint.report.figures import DARK

__all__ = ["chart_section", "filled_page", "html_table", "warning_box"]


def filled_page(
    title: str,
    about: str,
    lead: str,
    warnings: Iterable[str],
    notes: Iterable[str],
    sections: Iterable[str],
    figures: Mapping[str, Any],
) -> str:
    """The page. `sections` are HTML, all else is text; `figures` are plotly's by the id of their element."""
    template = Template((files("pagehint.report") / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title),
        about=escape(about),
        lead=escape(lead),
        warnings=warning_box(warnings),
        notes="\n".join(f'<p class="note">{escape(line)}</p>' for line in notes),
        sections="\n".join(sections),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
        figures=_in_script(figures),
        dark=_in_script(DARK),
    )


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """A table of texts as HTML, of the CSS class `kind`."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    of = f' class="{kind}"' if kind else ""
    return f"<table{of}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def chart_section(name: str, title: str, note: str, height: int) -> str:
    """A section for one chart: that of `figures` by this name, so many pixels high."""
    title = escape(title)
    return (
        f'<section><h2>{title}</h2><p class="note">{escape(note)}</p><div class="figures"><div class="figure">'
        f'<div id="{name}" role="img" aria-label="{title}" style="height:{height}px"></div></div></div></section>'
    )


def warning_box(lines: Iterable[str]) -> str:
    """What the rest doesn't rest on firmly, as HTML; nothing if there is nothing."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<div class="warning"><b>Warnings</b><ul>{items}</ul></div>' if items else ""


# In a script element a "<" may begin a comment, a nested script or the element's end, whatever the type says.
def _in_script(data: Any) -> str:
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
