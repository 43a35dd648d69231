"""From a raw docstring to plain prose: no markup, no code, no parameter lists, no give-away names."""

from __future__ import annotations

import re

from qfedfm.data.fields import LABEL_WORDS, PACKAGE_NAMES

_SECTION_NAMES = (
    "parameters|args|arguments|returns?|yields?|raises|warns|warnings?|examples?|notes?|references|see also|"
    "attributes|methods|other parameters|keyword args|keyword arguments|receives|keywords|inputs?|outputs?|"
    "shape|shapes|variables|usage|explanation|call signatures?|constructor parameters|explicit formulas?"
)
_SECTION = re.compile(rf"^\s*(?:\*\*)?(?:{_SECTION_NAMES})(?:\*\*)?\s*:{{1,2}}\s*(?:$|\()", re.I)
_UNDERLINE = re.compile(r"^\s*([=\-~^*#.])\1{2,}\s*$")
_FIELD_LIST = re.compile(r"^\s*:(?:param|type|returns?|rtype|raises|keyword|ivar|cvar|arg)\b")
_DIRECTIVE = re.compile(r"^(\s*)\.\.(?:\s|$)")
_SIGNATURE = re.compile(r"^\s*[\w.]+\s*\([^\n]*\)\s*(?:->.*)?$")
_ROLE = re.compile(r":[\w:.+-]+:`(?:[~!])?([^`<]*?)(?:\s*<[^`>]*>)?`")
_MATH_ROLE = re.compile(r":math:`[^`]*`")
_LITERAL = re.compile(r"``([^`]*)``")
_LINK = re.compile(r"`([^`<]*?)\s*<[^`>]*>`_{0,2}")
_TICKS = re.compile(r"`([^`]*)`_{0,2}")
_REFERENCE = re.compile(r"\s*\[[\w,\s]{1,24}\]_")
_TEMPLATE = re.compile(r"%\([\w ]+\)s|\{[\w.\[\]]*\}|%s")
_URL = re.compile(r"(?:https?|ftp)://\S+|\bwww\.\S+")

_CODE = re.compile(r"\S*(?:\w_\w|\w\.[A-Za-z_]\w*|\w\(\)|[\\={}|$#^@]|__|\w/\w+/)\S*")
"""Words that are code rather than prose: snake_case, dotted names, calls, formulas."""
_CAMEL = re.compile(r"\b\w*(?:[a-z0-9][A-Z]|[A-Z]{2,}[a-z])\w*\b(?:'s)?")

_GIVEN_AWAY = frozenset(PACKAGE_NAMES).union(*LABEL_WORDS.values())
_POINTER = re.compile(r"(?:(?<=[.!?])|^)\s*\(?(?:Read more in|(?:Please )?[Ss]ee\b)[^.]*\.?(?=\s|$)\)?")
"""Sentences that only point elsewhere, such as ``Read more in the User Guide.``"""
_WORD = re.compile(r"[A-Za-z][A-Za-z']*")


def clean(doc: str) -> str:
    """Returns the summary and prose of a docstring on one line.

    Everything from the first section (parameters, examples, ...) on is dropped, and so are doctests,
    literal blocks, directives, formulas, signatures and markup.
    """
    lines = doc.expandtabs().splitlines()
    kept: list[str] = []
    skip_deeper_than: int | None = None
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if skip_deeper_than is not None:
            if not line.strip() or indent > skip_deeper_than:
                continue
            skip_deeper_than = None
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if line.strip() and _UNDERLINE.match(following) and number > 0:
            break
        if _UNDERLINE.match(line):
            if any(k.strip() for k in kept[:-1]):
                break
            kept = kept[:-1]  # a title over the summary
            continue
        if _SECTION.match(line) or _FIELD_LIST.match(line):
            break
        if line.lstrip().startswith((">>>", "... ")):
            break
        directive = _DIRECTIVE.match(line)
        if directive:
            skip_deeper_than = len(directive.group(1))
            kept.append("")
            continue
        if _SIGNATURE.match(line):
            continue
        if line.rstrip().endswith("::"):
            skip_deeper_than = indent
            line = line.rstrip()[:-1]
        kept.append(line)
    return _markup(" ".join(line.strip() for line in kept))


def _markup(text: str) -> str:
    text = _MATH_ROLE.sub(" ", text)
    text = _ROLE.sub(r"\1", text)
    text = _LINK.sub(r"\1", text)
    text = _URL.sub(" ", text)
    text = _LITERAL.sub(r"\1", text)
    text = _TICKS.sub(r"\1", text)
    text = _REFERENCE.sub("", text)
    text = _TEMPLATE.sub(" ", text)
    text = text.replace("*", " ").replace("\\", " \\")
    return " ".join(text.split())


def strip_names(text: str, name: str, label: str) -> str:
    """Removes what gives the label away.

    Args:
        text: Plain prose, from :func:`clean`.
        name: Dotted name of the object the text documents; its last parts are removed from the text.
        label: The label, of :data:`LABEL_WORDS`.

    Returns:
        The prose without names of packages, code, the object's own name and the words of any label.
    """
    assert label in LABEL_WORDS, label
    text = _POINTER.sub(" ", text)
    text = _CODE.sub(" ", text)
    text = _CAMEL.sub(" ", text)
    own = {part.lower() for part in name.split(".")[-2:] if len(part) > 2}
    own |= {f"{part}s" for part in own}
    banned = _GIVEN_AWAY | own

    def replace(match: re.Match[str]) -> str:
        return "" if match.group().lower().removesuffix("'s") in banned else match.group()

    text = _WORD.sub(replace, text)
    text = re.sub(r"\(\s*[,;.]*\s*\)|\[\s*\]|''|\"\s*\"", " ", text)
    text = re.sub(r"\s+([,.;:!?)])", r"\1", " ".join(text.split()))
    text = re.sub(r"([,.;:])(?:\s*[,.;:])+", r"\1", text)
    text = re.sub(r"(?<![^\s(])-(?=[A-Za-z])|(?<=[A-Za-z])-(?=[\s,.;:)]|$)", "", text)  # halves of compounds
    text = re.sub(r"(^|\s)[-'/\"<>+&~]+(?=\s|$|[,.;:])", r"\1", text)
    return " ".join(text.split()).strip(" ,;:-")


def shingles(text: str) -> set[tuple[str, ...]]:
    """Returns the word triples of a text, without digits and case; a short text is one shingle."""
    words = re.findall(r"[a-z]+", text.lower())
    if len(words) < 3:
        return {tuple(words)}
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}
