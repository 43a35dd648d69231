"""Words of an OpenQASM 3 program, each with its line and column, and the error that points at one."""

from __future__ import annotations

import re
from typing import NamedTuple

from qfedfm.core.errors import RequestError


class QasmError(RequestError):
    """A program that cannot be read: the message names the file, the line and the column (from 1).

    Attributes:
        line: Where, from 1.
        column: Where, from 1.
    """

    def __init__(self, source: str, line: int, column: int, sentence: str) -> None:
        super().__init__(f"{source}, line {line}, column {column}: {sentence}")
        self.line, self.column = line, column


class Token(NamedTuple):
    """One word: its kind, its text and where it stands."""

    kind: str
    text: str
    line: int
    column: int

    def error(self, source: str, sentence: str) -> QasmError:
        """Returns an error that points here."""
        return QasmError(source, self.line, self.column, sentence)

    def __str__(self) -> str:
        return "the end of the file" if self.kind == "end" else repr(self.text)


_WORDS = re.compile(
    r"(?P<space>[ \t\r]+|//[^\n]*|/\*.*?\*/)"
    r"|(?P<newline>\n)"
    r"|(?P<annotation>@[ \t]*[A-Za-z_][\w.]*[^\n]*|\#?pragma\b[^\n]*)"
    r"|(?P<number>(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?)"
    r"|(?P<string>\"[^\"\n]*\"|'[^'\n]*')"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<sign>\*\*|->|==|[-+*/(){}\[\];:,=<>!@%^&|~.])",
    re.DOTALL,
)


def tokens(text: str, source: str) -> list[Token]:
    """Splits a program into words; the last one is of kind ``end``.

    Raises:
        QasmError: At a character that starts no word, or a comment that does not end.
    """
    found: list[Token] = []
    line, start, place = 1, 0, 0
    while place < len(text):
        match = _WORDS.match(text, place)
        column = place - start + 1
        if match is None or (text.startswith("/*", place) and not match.group().startswith("/*")):
            what = (
                "this comment does not end"
                if text.startswith("/*", place)
                else (f"the character {text[place]!r} has no meaning here")
            )
            raise QasmError(source, line, column, what)
        kind = str(match.lastgroup)
        word = match.group()
        # An annotation is a whole line; elsewhere ``@`` follows a gate modifier.
        if kind == "annotation" and text[start:place].strip():
            kind, word = "sign", word[0]
            if word != "@":
                kind, word = "name", "pragma"
        if kind not in ("space", "newline"):
            found.append(Token(kind, word.rstrip(), line, column))
        newlines = word.count("\n")
        place += len(word)
        if newlines:
            line += newlines
            start = text.rfind("\n", 0, place) + 1
    found.append(Token("end", "", line, place - start + 1))
    return found
