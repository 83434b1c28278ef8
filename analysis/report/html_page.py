"""The shell of every HTML page of ours, and the pieces that its sections are made of.

A page may be mailed: its content security policy lets only its own style and script run (by their hashes), and no
request leaves it. Names from a trace are text wherever they stand: escaped in markup, and in the data of the script,
which is JSON in which no ``<`` is left.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from html import escape as escaped
from importlib import resources
from typing import Any

import msgspec

from stallscope.analysis.report.style import safe
from stallscope.analysis.report.table import Table


def page(title: str, body: str, data: dict[str, Any] | None = None) -> str:
    """A page with ``body`` (HTML) and, where there are ``data``, the script that draws them."""
    style, script = _asset("report.css"), _asset("report.js")
    drawn = "" if data is None else _data(data) + f"\n<script>{script}</script>\n"
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(scripts=data is not None)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body>\n{body}\n{drawn}</body></html>\n"
    )


def policy(*, scripts: bool) -> str:
    """The content security policy of a page: our own style and, where there is something to draw, our own script."""
    runs = f"'{_hash(_asset('report.js'))}'" if scripts else "'none'"
    return f"default-src 'none'; style-src '{_hash(_asset('report.css'))}'; script-src {runs}; base-uri 'none'"


def escape(text: str) -> str:
    """``text`` as HTML shows it, control and invisible characters replaced."""
    return escaped(safe(text), quote=True)


def section(heading: str, content: str) -> str:
    """A section of HTML under its heading; nothing where there is nothing in it."""
    return f"<section><h2>{escape(heading)}</h2>{content}</section>" if content else ""


def items(heading: str, texts: Sequence[str], kind: str = "ul") -> str:
    """A section that is a list of texts; nothing where there are none."""
    if not texts:
        return ""
    listed = "".join(f"<li>{escape(text)}</li>" for text in texts)
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
def _asset(name: str) -> str:
    return resources.files("stallscope.analysis.report").joinpath("web", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data(data: dict[str, Any]) -> str:
    text = msgspec.json.encode(data).decode().replace("<", "\\u003c")
    return f'<script type="application/json" id="data">{text}</script>'
