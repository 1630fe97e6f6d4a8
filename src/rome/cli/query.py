"""`rome query`: run statements and print their results."""

from __future__ import annotations

import argparse
import sys

from rome.cli.existing import connected
from rome.cli.explain import value_of
from rome.cli.shown import FORMS
from rome.errors import ProgrammingError
from rome.planner.parse.statement import split_script


def run_query(parsed: argparse.Namespace) -> None:
    """Run the statements in one transaction, print each result, and commit.

    Raises:
        ProgrammingError: there are several results for a form that holds one, or parameters for several statements.
        Error: see Cursor.execute; nothing is changed, and the results before it were printed.
    """
    text = sys.stdin.read() if parsed.statement == "-" else parsed.statement
    statements = [one for one in split_script(text) if one.strip().strip(";").strip()]
    parameters = [value_of(each) for each in parsed.parameters]
    if parameters and len(statements) > 1:
        raise ProgrammingError("parameters are for a single statement; here are several, separated by ;")
    shown = FORMS[parsed.form]
    printed = False
    with connected(parsed.url) as connection:
        for statement in statements:
            cursor = connection.execute(statement, parameters)
            if cursor.description is None:
                continue
            if printed and parsed.form in ("json", "csv"):
                raise ProgrammingError(f"a second result does not fit into one {parsed.form} document: ask for one")
            print(shown([column[0] for column in cursor.description], cursor.fetchall()))
            printed = True
        connection.commit()
