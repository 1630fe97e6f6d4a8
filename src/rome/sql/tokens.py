"""SQLite's tokenizer. (sqlglot's differs in numbered parameters, quoting and comments.)

Invariant: the tokens of a text are those that SQLite's own tokenizer finds (src/tokenize.c), so that Rome splits texts,
numbers parameters and cuts where SQLite would. One thing is added: a run of `?` separated by commas is one token, since
applications do write lists of 32,766 of them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    (?P<word>(?![xX]')[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*)
  | (?P<number>(?>0[xX][0-9A-Fa-f_]+|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9][0-9_]*)?)
               (?![A-Za-z0-9_$\u0080-\U0010ffff]))
  | (?P<op>->>?|\|\||<<|>>|<=|>=|<>|!=|==|[(),.;=<>*+/%&|~-])
  | (?P<run>\?(?![0-9])(?:[ \t\n\f\r]*,[ \t\n\f\r]*\?(?![0-9]))+)
  | (?P<variable>\?[0-9]*|[$@:\#](?:[A-Za-z0-9_$\u0080-\U0010ffff]|::)+(?:\([^\s)]*\))?)
  | (?P<string>'(?:[^']|'')*')
  | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
  | (?P<blob>[xX]'(?:[0-9A-Fa-f]{2})*')
    """,
    re.VERBOSE,
)
_BLANK = re.compile(r"(?:[ \t\n\f\r\ufeff][ \t-\r\ufeff]*|--[^\n]*|/\*(?=.)(?:.*?\*/|.*))+", re.DOTALL)
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


@lru_cache(maxsize=2)
def tokenize(sql: str) -> tuple[Token, ...]:
    """The tokens of a text, without blanks and comments. From where SQLite would fail, the rest is one "illegal" token.

    Cost: 0.8 µs per token; none for the last two texts. They are kept because six callers tokenize a new statement one
    after the other, and INSERT .. VALUES of 1,000 rows has 4,000 tokens.
    """
    tokens = []
    position, end = 0, len(sql)
    match, blank = _TOKEN.match, _BLANK.match
    while position < end:
        if sql[position] in " \t\n\f\r-/\ufeff" and (gap := blank(sql, position)):
            position = gap.end()
            continue
        found = match(sql, position)
        if found is None:
            tokens.append(Token("illegal", "", sql[position:], position, end))
            break
        kind, text = found.lastgroup or "", found[0]
        word = text.upper() if kind == "word" else text if kind == "op" else ""
        tokens.append(Token(kind, word, text, position, position := found.end()))
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
