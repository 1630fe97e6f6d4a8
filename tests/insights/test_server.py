"""The page at a port: who may read it."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest

import rome
from rome.errors import OperationalError
from rome.insights.reporting import Report
from rome.insights.server import PageServer
from rome.insights.source import read


@pytest.fixture
def server() -> Iterator[PageServer]:
    server = PageServer(0, Report)
    yield server
    server.close()


def ask(server: PageServer, path: str = "/", method: str = "GET", host: str | None = None) -> http.client.HTTPResponse:
    port = int(server.url.rsplit(":", 1)[1].strip("/"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:9999", "LOCALHOST", "[::1]:80", None])
def test_this_machine_is_answered(server: PageServer, host: str | None) -> None:
    assert ask(server, host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[", "evil.example:8642", "0.0.0.0"])
def test_another_name_is_refused(server: PageServer, host: str) -> None:
    """A site whose name points to 127.0.0.1 could else read the page."""
    assert ask(server, host=host).status == 403


@pytest.mark.parametrize("path", ["/", "/insights.json"])
def test_the_browser_is_told_to_keep_it_to_itself(server: PageServer, path: str) -> None:
    answer = ask(server, path)
    assert answer.status == 200
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Python" not in answer.headers["Server"]


def test_there_is_nothing_else(server: PageServer) -> None:
    assert ask(server, "/etc/passwd").status == 404
    assert ask(server, method="POST").status == 501
    assert ask(server, method="HEAD").status == 200


def test_only_the_loopback_is_bound(server: PageServer) -> None:
    assert server._server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        PageServer(taken.getsockname()[1], Report)


def test_a_source_that_fails_is_told_and_not_fatal() -> None:
    def fails() -> Report:
        raise OperationalError("the file is gone")

    server = PageServer(0, fails)
    assert ask(server).status == 503
    assert ask(server).status == 503
    server.close()


def test_a_process_is_read_by_its_address() -> None:
    try:
        url = rome.insights.serve(0).url
        connection = rome.connect("rome+memory:///served")
        connection.execute("SELECT 7")
        connection.close()
        assert [(entry.database, entry.text) for entry in read(url).statements.values()] == [
            ("memory: served", "SELECT ?")
        ]
    finally:
        rome.insights.stop()
    with pytest.raises(OperationalError, match=r"no statement insights are there .*rome\.insights\.serve"):
        read(url)
