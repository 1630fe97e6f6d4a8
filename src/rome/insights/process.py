"""Recording in this process: switched on and off, served, written to a file."""

from __future__ import annotations

import atexit
import logging
import os
from threading import Lock

from rome import insights
from rome.engine.observing.observer import Tracer
from rome.insights.collected import Collected
from rome.insights.document import document
from rome.insights.journal import Journal
from rome.insights.recorder import RecordingTracer
from rome.insights.reporting import Report, merged
from rome.insights.server import PageServer
from rome.insights.source import parse_part
from rome.transaction.totals import PRIVATE, DatabaseLabel

LOG = logging.getLogger("rome.insights")

DEFAULT_PORT = 8642


class _Recording:
    """What this process records, and to where."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.heeding = Lock()
        self.collected: Collected | None = None
        self.journal: Journal | None = None
        self.server: PageServer | None = None


_recording = _Recording()


def record(path: str | os.PathLike[str] | None = None, *, parameters: bool = False, keys: bool = True) -> None:
    """Record what connections do that are opened from now on.

    Args:
        path: a file to which the figures are written every two seconds, and at the end of the process, for `rome
            insights`. It is appended to; any number of processes may write the same one. Only its owner can read it.
        parameters: keep the parameters of each statement's slowest call. They may be secret.
        keys: name the key of rows about which transactions conflict, such as id=1; False if keys are secret, too.

    Raises:
        OSError: the file cannot be written.

    Cost: about 15 µs for each statement, and at most some megabytes (docs/insights.md).
    """
    with _recording.lock:
        collected = _recording.collected or Collected()
        if path is not None:
            file = os.path.abspath(path)  # for a child that has changed its folder
            before = _recording.journal
            if before is None or before.path != file:
                _recording.journal = Journal(file, collected)
                if before is not None:
                    before.close()
        collected.parameters, collected.keys = parameters, keys
        _recording.collected = collected
        insights._Switch.on = True


def serve(port: int = DEFAULT_PORT) -> PageServer:
    """Show the figures of this process on a page at 127.0.0.1, and record, unless record() was called before.

    Any user of this machine can open the page; no other machine can (`ssh -L` brings it to yours).

    Args:
        port: 0 for any free one; the `url` of the result tells it.

    Raises:
        OSError: the port is taken.

    Cost: a thread, which sleeps until somebody opens the page.
    """
    with _recording.lock:
        collected = _recording.collected or Collected()
        if _recording.server is not None:
            _recording.server.close()
            _recording.server = None
        _recording.server = PageServer(port, lambda: merged([parse_part(collected.part())]))
        _recording.collected = collected
        insights._Switch.on = True
        return _recording.server


def report() -> Report:
    """What this process has recorded so far.

    Raises:
        RuntimeError: it records nothing.
    """
    collected = _recording.collected
    if collected is None:
        raise RuntimeError("this process records nothing: call rome.insights.record() before it connects")
    return merged([parse_part(collected.part())])


def html() -> str:
    """What this process has recorded so far, as an HTML document that needs nothing else.

    Raises:
        RuntimeError: it records nothing.
    """
    return document(report())


def reset() -> None:
    """Forget what was recorded so far, as before a measurement. A file keeps what is in it."""
    if _recording.collected is not None:
        with _recording.collected.lock:
            _recording.collected.clear()


def stop() -> None:
    """Record no new connection, write what is left, and close the page. Connections that are open go on unseen."""
    with _recording.lock:
        insights._Switch.on = insights._Switch.asks = False
        journal, server, _recording.journal, _recording.server = _recording.journal, _recording.server, None, None
        _recording.collected = None
    if journal is not None:
        journal.close()
    if server is not None:
        server.close()


def tracer_for(label: DatabaseLabel, inner: Tracer | None) -> Tracer | None:
    """The tracer of a connection that is about to be opened; see rome.insights.tracer_for."""
    if insights._Switch.asks:
        with _recording.heeding:  # whoever opens a connection meanwhile waits, and is recorded, too
            if insights._Switch.asks:
                _heed_environment()
                insights._Switch.asks = False
    collected = _recording.collected
    if collected is None:
        return inner
    if _recording.journal is not None:
        _recording.journal.start()
    return RecordingTracer(collected, _shown(label), inner)


def _shown(label: DatabaseLabel) -> str:
    """A database for persons. All private ones of memory, whose names are random, are one."""
    is_private = label.store == "memory" and label.database.startswith("private-")  # those of SQLAlchemy's engines
    return f"{label.store}: {PRIVATE if is_private else label.database}"


def _heed_environment() -> None:
    """Begin as ROME_INSIGHTS says, unless the application has said where; log what is wrong with the variable.

    An application must not fail for that.
    """
    wanted, collected = os.environ.get(insights.VARIABLE, ""), _recording.collected
    try:
        if wanted.isdigit():
            if _recording.server is None:
                LOG.warning("statement insights are at %s", serve(int(wanted)).url)
        elif wanted and _recording.journal is None:
            if collected is None:
                record(wanted)
            else:
                record(wanted, parameters=collected.parameters, keys=collected.keys)
    except (OSError, OverflowError) as error:
        LOG.warning(
            "ROME_INSIGHTS=%s: %s; where several processes run, name a file, and read it with `rome insights`",
            wanted,
            error,
        )


def _after_fork() -> None:
    """In a forked child: it records anew, into the same file, and leaves the parent's port alone."""
    _recording.lock, _recording.heeding = Lock(), Lock()
    if _recording.server is not None:
        _recording.server.abandon()
        _recording.server = None
    if _recording.collected is not None:
        before = _recording.collected
        _recording.collected = Collected(parameters=before.parameters, keys=before.keys)
        if _recording.journal is not None:
            path = _recording.journal.path
            _recording.journal.abandon()
            _recording.journal = Journal(path, _recording.collected)


def _at_exit() -> None:
    if _recording.journal is not None:
        _recording.journal.close()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
