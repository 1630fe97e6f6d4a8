"""A small HTTP server that Prometheus can scrape, for processes that have none."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self

from rome.errors import Error, OperationalError
from rome.metrics.exposition import CONTENT_TYPE

PATH = "/metrics"
MAX_PORT = 65_535


class MetricsServer:
    """Answers GET /metrics, in threads of its own. As a context manager it is closed at the end.

    Attributes:
        host, port: where it listens.
    """

    def __init__(self, text: Callable[[], str], host: str, ports: range) -> None:
        """Listen at the first port that is free.

        Args:
            text: makes the answer.

        Raises:
            ValueError: a port is none, or there is not even one.
            OperationalError: none of the ports is free, or there is no such address here.
        """
        if not ports or not 0 <= ports[0] <= ports[-1] <= MAX_PORT:
            raise ValueError(f"ports go from 0 to {MAX_PORT}, and the last one is not before the first: {ports}")
        self._server = _listening(text, host, ports)
        self.host, self.port = host, int(self._server.server_address[1])
        self._thread = Thread(target=self._server.serve_forever, name="rome.metrics", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """What a browser, `rome top --process`, or Prometheus' configuration says."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}{PATH}"

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _listening(text: Callable[[], str], host: str, ports: range) -> ThreadingHTTPServer:
    handler = type("_Handler", (_MetricsHandler,), {"text": staticmethod(text)})
    for port in ports:
        try:
            return _HttpServer((host, port), handler)
        except OSError as error:
            failure = error
    tried = str(ports[0]) if len(ports) == 1 else f"{ports[0]} to {ports[-1]}"
    raise OperationalError(f"cannot listen at {host}, port {tried}: {failure.strerror}") from failure


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)


class _MetricsHandler(BaseHTTPRequestHandler):
    text: Callable[[], str]
    timeout = 10

    def do_GET(self) -> None:
        """Answer with the metrics."""
        if self.path.partition("?")[0] == PATH:
            try:
                text = type(self).text()
            except Error as error:
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", f"{error}\n")
            else:
                self._answer(HTTPStatus.OK, CONTENT_TYPE, text)
        elif self.path == "/":
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", f'<a href="{PATH}">metrics of Rome</a>')
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", f"only {PATH} is here\n")

    def _answer(self, status: HTTPStatus, content_type: str, text: str) -> None:
        body = text.encode()
        with suppress(ConnectionError):  # the reader has gone
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a scrape every few seconds is no news."""
