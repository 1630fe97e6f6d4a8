"""Serves the page at a port of this machine.

Only 127.0.0.1 is bound, and a request must name this machine as its host, so that no other site's page can read the
figures through a name that it has pointed here (DNS rebinding). Nothing can be changed through the page.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import msgspec

from rome.errors import Error
from rome.insights.document import CONTENT_SECURITY_POLICY, document
from rome.insights.reporting import Report
from rome.insights.source import JSON_PATH

_NAMES = frozenset(["127.0.0.1", "localhost", "::1"])

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class PageServer:
    """The page, at a port of 127.0.0.1, served by daemon threads.

    Attributes:
        url: of the page.
    """

    def __init__(self, port: int, report: Callable[[], Report]) -> None:
        """Begin to serve.

        Args:
            port: 0 for any free one.
            report: makes what is shown, for each request.

        Raises:
            OSError: the port is taken.
            OverflowError: it is no port.
        """
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(report))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = Thread(target=self._server.serve_forever, name="rome.insights.server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End, and give the port free."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self) -> None:
        """Wait until it is closed."""
        self._thread.join()

    def abandon(self) -> None:
        """In a forked child, which does not have the thread: let go of the port."""
        self._server.socket.close()


def _handler(report: Callable[[], Report]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "rome"
        sys_version = ""

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def log_message(self, format: str, *arguments: object) -> None:
            """Log nothing: an application's own output is not the place."""

        def _answer(self) -> None:
            if _host(self.headers.get("Host", "")) not in _NAMES:
                self._send(HTTPStatus.FORBIDDEN, "text/plain", b"ask for 127.0.0.1 or localhost\n")
                return
            path = urlsplit(self.path).path
            try:
                if path == "/":
                    self._send(HTTPStatus.OK, "text/html", document(report(), live=True).encode())
                elif path == JSON_PATH:
                    self._send(HTTPStatus.OK, "application/json", msgspec.json.encode(report()))
                else:
                    self._send(HTTPStatus.NOT_FOUND, "text/plain", b"there is only /\n")
            except Error as error:  # the file is gone, say
                self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{error}\n".encode())

        def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
            self.send_response(status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    return Handler


def _host(header: str) -> str:
    """The name in a Host header, without the port: `ssh -L` may have given it another one."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""
