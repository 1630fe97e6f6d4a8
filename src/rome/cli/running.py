"""Run a command that the command line has named, and turn its errors into one line and a status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from rome.dbapi import Error


def run(parsed: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    do: Callable[[argparse.Namespace], int | None] = parsed.run
    try:
        status = do(parsed) or 0
        sys.stdout.flush()
        return status
    except Error as error:
        print(f"rome {parsed.command}: {error}", file=sys.stderr)
        return int(parsed.status_of_errors)
    except BrokenPipeError:  # the reader of the output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
