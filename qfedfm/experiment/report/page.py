"""One self-contained HTML page: no address in it is ever requested, and its policy forbids to.

The content security policy allows exactly one style sheet and one script, by their hashes; pictures only
as data in the page. Everything that comes from data or configuration goes through :func:`escape`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from qfedfm.experiment.report.svg import escape

LANGUAGE = "en"


@cache
def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def policy() -> str:
    """Returns the content security policy: nothing but the page's own style and script."""
    hashes = [
        base64.b64encode(hashlib.sha256(_asset(name).encode()).digest()).decode()
        for name in ("report.js", "report.css")
    ]
    return (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def document(title: str, head: str, sections: Sequence[tuple[str, str, str]], foot: str = "") -> str:
    """Returns the page.

    Args:
        title: Of the window.
        head: Markup above the sections.
        sections: ``(anchor, name, markup)`` as :func:`section` makes them; empty markup leaves one out.
        foot: Markup below.
    """
    shown = [entry for entry in sections if entry[2]]
    links = "".join(f'<a href="#{escape(anchor)}">{escape(name)}</a>' for anchor, name, _ in shown)
    navigation = f'<nav aria-label="Sections">{links}</nav>' if len(shown) > 1 else ""
    return (
        f'<!doctype html>\n<html lang="{LANGUAGE}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy()}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{_asset('report.css')}</style>\n</head>\n<body>\n"
        f"<header>{head}</header>\n{navigation}\n<main>\n"
        + "\n".join(markup for _, _, markup in shown)
        + f"\n</main>\n<footer>{foot}</footer>\n<script>{_asset('report.js')}</script>\n</body>\n</html>\n"
    )


def heading(kind: str, title: str, lede: str = "") -> str:
    """Returns the head of a page."""
    below = f'<p class="lede">{escape(lede)}</p>' if lede else ""
    return f'<p class="kind">{escape(kind)}</p><h1>{escape(title)}</h1>{below}'


def section(anchor: str, name: str, markup: str) -> tuple[str, str, str]:
    """Returns a section for :func:`document`; one without markup is left out of the page."""
    if not markup:
        return anchor, name, ""
    return anchor, name, f'<section id="{escape(anchor)}"><h2>{escape(name)}</h2>{markup}</section>'


def figure(name: str, drawing: str, caption: str = "", class_: str = "") -> str:
    """Returns a chart in a card with its name and caption; empty for an empty drawing."""
    if not drawing:
        return ""
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    inner = f'<div class="{escape(class_)}">{drawing}</div>' if class_ else drawing
    return f'<figure class="card"><h3>{escape(name)}</h3>{inner}{below}</figure>'


def cards(parts: Iterable[str], roomy: bool = False) -> str:
    """Returns cards side by side where there is room; ``roomy`` ones are two a row at most."""
    shown = [part for part in parts if part]
    class_ = "cards roomy" if roomy else "cards"
    return f'<div class="{class_}">{"".join(shown)}</div>' if shown else ""


def tiles(entries: Sequence[tuple[str, str, str]]) -> str:
    """Returns numbers with their names: ``(name, number, remark)``."""
    return (
        '<dl class="tiles">'
        + "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(number)}"
            + (f"<small>{escape(remark)}</small>" if remark else "")
            + "</dd></div>"
            for name, number, remark in entries
        )
        + "</dl>"
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], text_columns: int = 1) -> str:
    """Returns a table that scrolls inside its card; the first ``text_columns`` columns are words."""
    marks = ['class="number"' if i >= text_columns else "" for i in range(len(columns))]
    head = "".join(f'<th scope="col" {m}>{escape(c)}</th>' for c, m in zip(columns, marks, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td {m}>{escape(v)}</td>" for v, m in zip(row, marks, strict=True)) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def facts(entries: Mapping[str, Any]) -> str:
    """Returns names and values; nested mappings are written with dotted names."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape("–" if value is None else value)}</td></tr>'
        for name, value in flat(entries)
    )
    return f'<div class="scroll" tabindex="0"><table class="facts"><tbody>{rows}</tbody></table></div>'


def flat(entries: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Returns ``(dotted name, value)`` of a nested mapping."""
    result: list[tuple[str, Any]] = []
    for key, value in entries.items():
        if isinstance(value, Mapping) and value:
            result += flat(value, f"{prefix}{key}.")
        else:
            result.append((f"{prefix}{key}", value))
    return result


def folded(name: str, markup: str) -> str:
    """Returns markup that opens on a click."""
    return f"<details><summary>{escape(name)}</summary>{markup}</details>"


def warning(words: str) -> str:
    """Returns a sentence that must not be overlooked."""
    return f'<p class="warning" role="note">{escape(words)}</p>'
