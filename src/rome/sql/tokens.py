"""SQLite's tokenizer. (sqlglot's differs in numbered parameters, quoting and comments.)

Invariant: the tokens of a text are those that SQLite's own tokenizer finds (src/tokenize.c), so that Rome splits texts,
numbers parameters and cuts where SQLite would. One thing is added: a run of `?` separated by commas is one token, since
applications do write lists of 32,766 of them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

# A name's characters are written as those that are none: a set of a million code points takes 2 ms to compile.
_TOKEN = re.compile(
    r"""
    (?:[ \t\n\f\r\ufeff][ \t-\r\ufeff]*|--[^\n]*|/\*(?s:(?=.)(?:.*?\*/|.*)))*+  # blanks and comments
    (?:
    (?P<word>(?![xX]')[^\x00-@\[-^`{-\x7f][^\x00-#%-/:-@\[-^`{-\x7f]*)
  | (?P<number>(?>0[xX][0-9A-Fa-f_]+|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9][0-9_]*)?)
               (?![^\x00-#%-/:-@\[-^`{-\x7f]))
  | (?P<op>->>?|\|\||<<|>>|<=|>=|<>|!=|==|[(),.;=<>*+/%&|~-])
  | (?P<run>\?(?![0-9])(?:[ \t\n\f\r]*,[ \t\n\f\r]*\?(?![0-9]))+)
  | (?P<variable>\?[0-9]*|[$@:\#](?:[^\x00-#%-/:-@\[-^`{-\x7f]|::)+(?:\([^\s)]*\))?)
  | (?P<string>'(?:[^']|'')*')
  | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
  | (?P<blob>[xX]'(?:[0-9A-Fa-f]{2})*')
  | (?P<illegal>(?s:.+))
  | \Z)
    """,
    re.VERBOSE,
)
_QUOTES = {'"': '""', "`": "``", "'": "''"}


class Token(NamedTuple):
    """One token; `sql[start:stop]` is its text.

    Attributes:
        kind: "word" (keyword or bare identifier), "op", "run" (of `?`), "variable", "string", "quoted" (identifier),
            "number", "blob" or "illegal".
        word: a word in upper case, an operator as it is, empty for all other kinds.
    """

    kind: str
    word: str
    text: str
    start: int
    stop: int


_make = tuple.__new__
"""A Token of a tuple in C: the class itself takes a call of Python's, and twice the time."""


@lru_cache(maxsize=2)
def tokenize(sql: str) -> tuple[Token, ...]:
    """The tokens of a text, without blanks and comments. From where SQLite would fail, the rest is one "illegal" token.

    Cost: 0.5 µs per token; none for the last two texts. They are kept because six callers tokenize a new statement one
    after the other, and INSERT .. VALUES of 1,000 rows has 4,000 tokens.
    """
    tokens: list[Token] = []
    for found in _TOKEN.finditer(sql):
        kind = found.lastgroup
        if kind is None:  # the end
            break
        text, stop = found[kind], found.end()
        word = text.upper() if kind == "word" else text if kind == "op" else ""
        tokens.append(_make(Token, (kind, word, text, stop - len(text), stop)))
    return tuple(tokens)


def identifier(token: Token) -> str:
    """The name that a token means: a bare word, a quoted identifier, or a string where SQLite allows one."""
    if token.kind in ("quoted", "string"):
        return unquote(token.text)
    return token.text


def unquote(text: str) -> str:
    """A text without SQLite's quotes around it, whichever they are."""
    quote, inner = text[0], text[1:-1]
    return inner.replace(_QUOTES[quote], quote) if quote in _QUOTES else inner
