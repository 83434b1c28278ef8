"""The shell of every HTML page of ours, and the pieces that its sections are made of.

A page may be mailed: its content security policy lets only its own style and script run (by their hashes), and no
request leaves it. Names from a trace are text wherever they stand: escaped in markup, and in the data of the script,
which is JSON in which no ``<`` is left.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from html import escape as escaped
from importlib import resources
from typing import Any

import msgspec

from stallscope.analysis.contract.idle import IDLE_CAUSES
from stallscope.analysis.report.style import safe
from stallscope.analysis.report.table import Table

STYLE = "report.css"
UPLOT, UPLOT_STYLE, UPLOT_LICENCE = "vendor/uPlot.iife.min.js", "vendor/uPlot.min.css", "vendor/LICENSE"
SCRIPT = "page.js timeline.js charts.js"  # ours, run as one
LONGEST = 1_200  # characters of a text: no sentence of ours has as many, a name may
QUOTED_NONE, STATEMENT = "'none'", ' class="statement"'
_CODE = re.compile(  # what our own advice calls, and nothing that a trace may name; every part is bounded
    r"""
    (\bwith\ )?                                                # with torch.autocast("cuda"):
    (?:\b(?:model|total|x)\ \+?=\ )?                           # model = torch.compile(model)
    (?<![\w.)\]])(?:
        (?:torch|numpy|graph|event|optimizer|profiler|tensor|loss|model|out|x)(?:\.\w{1,40}){1,4}
        | \.(?:item|tolist|cpu|numpy|nonzero|to|copy_|forward|backward|synchronize)
        | model|DataLoader|bool|int|float|complex|print|nonzero|unique|masked_select|zero_grad
    )
    \((?:[^()<&]|\([^()<&]{0,80}\)){0,120}\)
    (?:\.(?:tolist|index_add_|item)\([^()<&]{0,80}\))?
    (?(1):)                                                    # which ends a line that begins with "with"
    | \bx\[(?:mask|i\ :\ i\ \+\ n)\]
    """,
    re.VERBOSE,
)
_STATEMENT = re.compile(r"with |[\w.]+ \+?= ")


def page(title: str, body: str, data: dict[str, Any] | None = None, series: Sequence[dict[str, Any]] = ()) -> str:
    """A page with ``body`` (HTML) and, where there are ``data``, the script that draws them; ``series``: its charts."""
    styles, scripts = [STYLE], []
    if data is not None:
        scripts = [SCRIPT]
    if series:  # only a page that draws with the library carries it
        styles, scripts = [*styles, UPLOT_STYLE], [UPLOT, SCRIPT]
    licence = f"<!-- uPlot: {_asset(UPLOT_LICENCE)}-->\n" if series else ""
    drawn = "" if data is None else _data("data", data) + _data("series", list(series))
    run = "".join(f"<script>{_asset(name)}</script>" for name in scripts)
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(styles, scripts)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>{''.join(f'<style>{_asset(name)}</style>' for name in styles)}</head>\n"
        f"<body>\n{body}\n{drawn}{licence}{run}</body></html>\n"
    )


def policy(*, scripts: bool) -> str:
    """A content security policy that holds for every page of ours: its styles and, with ``scripts``, its scripts."""
    return _policy([STYLE, UPLOT_STYLE], [UPLOT, SCRIPT] if scripts else [])


def _policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """Nothing but these assets, by their hashes."""
    style, script = (" ".join(f"'{_hash(_asset(name))}'" for name in names) for names in (styles, scripts))
    return f"default-src 'none'; style-src {style}; script-src {script or QUOTED_NONE}; base-uri 'none'"


def escape(text: str) -> str:
    """``text`` as HTML shows it, control and invisible characters replaced, the middle of an endless one left out."""
    return escaped(safe(_bounded(text)), quote=True)


def _bounded(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST * 2 // 3]} … {text[-LONGEST // 3 :]}"


def prose(text: str) -> str:
    """``text`` as HTML in which calls stand as code that one click selects whole, a statement on a line of its own."""
    text, said, end = _bounded(text), [], 0
    for found in _CODE.finditer(text):
        alone = _STATEMENT.match(found[0]) and not text.endswith("(", 0, found.start())
        said.append(escape(text[end : found.start()]))
        said.append(f"<code{STATEMENT if alone else ''}>{escape(found[0])}</code>")
        end = found.end()
    return "".join([*said, escape(text[end:])])


def section(heading: str, content: str) -> str:
    """A section of HTML under its heading; nothing where there is nothing in it."""
    return f"<section><h2>{escape(heading)}</h2>{content}</section>" if content else ""


def items(heading: str, texts: Sequence[str], kind: str = "ul") -> str:
    """A section that is a list of texts; nothing where there are none."""
    if not texts:
        return ""
    listed = "".join(f"<li>{prose(text)}</li>" for text in texts)
    return f"<section>{f'<h2>{escape(heading)}</h2>' if heading else ''}<{kind}>{listed}</{kind}></section>"


def table(shown: Table, *, is_open: bool) -> str:
    """A table that can be folded away."""
    lead = f"<p>{escape(shown.lead)}</p>" if shown.lead else ""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in shown.headers)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in shown.rows)
    note = f'<p class="note">{escape(shown.note)}</p>' if shown.note else ""
    return (
        f"<details{' open' if is_open else ''}><summary>{escape(shown.title)}</summary><div>{lead}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{note}</div></details>"
    )


@cache
def _asset(names: str) -> str:
    folder = resources.files("stallscope.analysis.report.html").joinpath("web")
    text = "\n".join(folder.joinpath(*name.split("/")).read_text(encoding="utf-8") for name in names.split())
    return text + _idle_colours() if names == STYLE else text


def _idle_colours() -> str:
    """The colours of the causes of idle time as CSS: a variable and a class for each."""
    light = "".join(f"--{cause.name}: {cause.colour}; " for cause in IDLE_CAUSES)
    dark = "".join(f"--{cause.name}: {cause.dark}; " for cause in IDLE_CAUSES if cause.dark)
    classes = "".join(f".f-{cause.name} {{ fill: var(--{cause.name}); }}\n" for cause in IDLE_CAUSES)
    by_night = "@media screen and (prefers-color-scheme: dark)"
    return f":root {{ {light}}}\n{by_night} {{ html:not(.paper) {{ {dark}}} }}\n{classes}"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data(name: str, data: Any) -> str:
    text = msgspec.json.encode(data).decode().replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>\n'
