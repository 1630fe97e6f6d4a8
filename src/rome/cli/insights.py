"""`rome insights`: show what processes have recorded of their statements."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from rome.cli.shown import to_json
from rome.errors import OperationalError


def run_insights(parsed: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C; or write it into a file, or print the figures.

    Raises:
        OperationalError: nothing was recorded there, the port is taken, or the file cannot be written.
    """
    # Not above: the page is loaded with its style and script, which no other command needs.
    from rome.insights.document import document  # noqa: PLC0415
    from rome.insights.reporting import as_json  # noqa: PLC0415
    from rome.insights.server import PageServer  # noqa: PLC0415
    from rome.insights.source import read  # noqa: PLC0415

    report = read(parsed.source)  # also where it is served: what is wrong is said at once
    if parsed.json:
        print(to_json(as_json(report)))
    elif parsed.html == "-":
        sys.stdout.write(document(report))
    elif parsed.html is not None:
        try:
            Path(parsed.html).write_text(document(report))
        except OSError as error:
            raise OperationalError(f"{parsed.html}: {error.strerror}") from error
    else:
        try:
            server = PageServer(parsed.port, partial(read, parsed.source))
        except OSError as error:
            raise OperationalError(f"port {parsed.port}: {error.strerror}; --port 0 takes a free one") from error
        except OverflowError as error:
            raise OperationalError(
                f"port {parsed.port} is not between 0 and 65535; --port 0 takes a free one"
            ) from error
        print(f"Statement insights of {parsed.source}: {server.url} (Ctrl-C ends)", flush=True)
        try:
            server.wait()
        finally:
            server.close()
