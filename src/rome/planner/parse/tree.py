"""A canonical text as sqlglot's syntax tree.

The parser takes most of its time for lists of result columns, of which an ORM's SELECT has dozens, and which say
nothing but names. It gets a placeholder for them, and their nodes are made here.

Invariant: the tree is the one that the parser makes of the whole text.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlglot
from sqlglot import exp
from sqlglot.dialects.sqlite import SQLite
from sqlglot.errors import SqlglotError

from rome.planner.parse.canonical import Canonical, NotUnderstood

_LIST = "c"
"""First letter of the placeholder of a list of columns."""
_FEWEST = 3
"""The placeholder takes as long as two columns."""
_MAX_TREES = 256
"""The most syntax trees kept, over all catalogs: a test suite makes one database after another, all alike."""
_trees: dict[str, exp.Expression] = {}


def parse(text: Canonical) -> exp.Expression:
    """Parse a statement; the syntax tree is shared and must not be changed.

    Raises:
        NotUnderstood: the parser refuses it, or it is not one statement.

    Cost: 1 µs per token, and 2 µs per result column that is a column; without sqlglot's compiled part five times that.
    """
    tree = _trees.get(text.text)
    if tree is None:
        tree = _parsed(text.pieces)
        if len(_trees) >= _MAX_TREES:
            _trees.clear()
        _trees[text.text] = tree
    return tree


def _parsed(pieces: Sequence[str]) -> exp.Expression:
    short, lists = _without_columns(pieces)
    try:
        trees = sqlglot.parse(" ".join(short), dialect=SQLite)
    except SqlglotError as error:
        raise NotUnderstood("the parser does not know its syntax") from error
    if len(trees) != 1 or not isinstance(trees[0], exp.Expression):
        raise NotUnderstood("not one statement")
    tree = trees[0]
    if lists:
        for select in list(tree.find_all(exp.Select)):
            first = select.expressions[0] if select.expressions else None
            if isinstance(first, exp.Placeholder) and first.name[0] == _LIST:
                select.set("expressions", [*lists[int(first.name[1:])], *select.expressions[1:]])
    return tree


def _without_columns(pieces: Sequence[str]) -> tuple[list[str], list[list[exp.Expression]]]:
    """The text with a placeholder for the columns at the beginning of each SELECT, and these columns."""
    short: list[str] = []
    lists: list[list[exp.Expression]] = []
    at = 0
    while at < len(pieces):
        piece = pieces[at]
        short.append(piece)
        at += 1
        if piece != "SELECT":
            continue
        if pieces[at : at + 1] == ("DISTINCT",):
            short.append("DISTINCT")
            at += 1
        columns, end = _columns(pieces, at)
        if len(columns) >= _FEWEST:
            short.append(f":{_LIST}{len(lists)}")
            lists.append(columns)
            at = end
    return short, lists


def _columns(pieces: Sequence[str], at: int) -> tuple[list[exp.Expression], int]:
    """`["t" .] "c" [AS "a"]`, as often as it stands from a place on before a comma or FROM, and where it ends."""
    columns: list[exp.Expression] = []
    end = at
    pieces = [*pieces[at:], "", "", "", ""]
    start = 0
    while _is_name(pieces[start]):
        table, name, place = "", pieces[start], start + 1
        if pieces[place] == ".":
            table, name, place = name, pieces[place + 1], place + 2
            if not _is_name(name):
                break
        alias = ""
        if pieces[place] == "AS":
            alias, place = pieces[place + 1], place + 2
            if not _is_name(alias):
                break
        if pieces[place] not in (",", "FROM"):
            break
        column: exp.Expression = exp.Column(this=_identifier(name), table=_identifier(table) if table else None)
        if alias:
            column = exp.Alias(this=column, alias=_identifier(alias))
        columns.append(column)
        end = at + place
        if pieces[place] == "FROM":
            break
        start = place + 1
    return columns, end


def _is_name(piece: str) -> bool:
    return piece[:1] == '"' == piece[-1:]


def _identifier(piece: str) -> exp.Identifier:
    return exp.Identifier(this=piece[1:-1].replace('""', '"'), quoted=True)
