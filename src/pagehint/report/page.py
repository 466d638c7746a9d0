"""A self-contained page, which needs nothing else: a title, sentences, sections, and the charts in them."""

import json
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from plotly.offline import get_plotlyjs

from pagehint.report.figures import DARK

__all__ = ["filled_page", "warning_box"]


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


def warning_box(lines: Iterable[str]) -> str:
    """What the rest doesn't rest on firmly, as HTML; nothing if there is nothing."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<div class="warning"><b>Warnings</b><ul>{items}</ul></div>' if items else ""


# In a script element a "<" may begin a comment, a nested script or the element's end, whatever the type says.
def _in_script(data: Any) -> str:
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
