"""No password is ever shown: not by an error, its traceback, a warning, a log record, a repr, a plan, the doctor."""

from __future__ import annotations

import logging
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from secrets import token_hex
from urllib.parse import quote, urlencode

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import URL

import rome
from rome.cli import main
from rome.dbapi import Error
from rome.dbapi.url import make_url, parse_url
from rome.store.location import Location
from rome.store.redis import RedisStore
from rome.store.redis.names import meta_key
from rome.store.redis.settings import read_settings
from tests.store.redis.kit import Start, admin_of
from tests.support.redis_command import send
from tests.support.servers import Server

PASSWORD = "s3cret/" + token_hex(8) + "?@"
FORMS = (PASSWORD, quote(PASSWORD, safe=""))


def _is_shown(text: str) -> bool:
    return any(form in text for form in (*FORMS, PASSWORD.split("/")[1]))


def _url(server: Server, database: str = "nova", host: str | None = None, port: int = 0, **options: str) -> str:
    url = URL.create(
        "rome+redis",
        "rome",
        PASSWORD,
        host or server.host,
        port or server.port,
        database,
        {key: [value] for key, value in options.items()},
    )
    return url.render_as_string(hide_password=False)


@pytest.fixture
def guarded(start: Start) -> Server:
    """A server with a user that has the password."""
    server = start()
    with admin_of(server) as admin:
        send(admin, "ACL", "SETUSER", "rome", "on", f">{PASSWORD}", "~rome:*", "+@all")
    return server


def _wrong_password(server: Server) -> str:
    with admin_of(server) as admin:
        send(admin, "ACL", "SETUSER", "rome", "resetpass", ">another")
    return _url(server)


def _no_permission(server: Server) -> str:
    with admin_of(server) as admin:
        send(admin, "ACL", "SETUSER", "rome", "-info")
    return _url(server)


def _stopped(server: Server) -> str:
    server.stop()
    return _url(server)


def _evicting(server: Server) -> str:
    with admin_of(server) as admin:
        admin.config_set("maxmemory-policy", "allkeys-lru")
    return _url(server)


def _newer(server: Server) -> str:
    with admin_of(server) as admin:
        admin.hset(meta_key("nova"), "format", 99)
    return _url(server)


def _foreign(server: Server) -> str:
    with admin_of(server) as admin:
        admin.set(meta_key("nova"), "not ours")
    return _url(server)


FAILURES: list[Callable[[Server], str]] = [
    *(_wrong_password, _no_permission, _stopped, _evicting, _newer, _foreign),
    lambda server: _url(server, host="no-such-host.invalid"),
    lambda server: _url(server, ssl="true", read_timeout="0.2"),  # which a server without TLS does not answer
    lambda server: _url(server, colour="red"),
    lambda server: _url(server, db="many"),
    lambda server: _url(server, db="1000"),
    lambda server: _url(server, isolation_level="CHAOS"),
    lambda server: _url(server, port=70_000),
    lambda server: _url(server).replace(f":{server.port}", ":port"),
    lambda server: _url(server).replace("rome+redis", "rome+nothing"),
    lambda server: _url(server).replace("rome+redis", "rome+lmdb"),
    lambda server: _url(server, database=""),
]


def _in_query(server: Server, **options: str) -> str:
    return f"rome+redis://{server.host}:{server.port}/nova?" + urlencode(options)


def _with_at_sign(server: Server, rest: str = "") -> str:
    """As somebody writes it who does not know of %40."""
    return f"rome+redis://rome:p@{FORMS[1]}{rest}@{server.host}:{server.port}/nova"


WRONG_URLS: list[Callable[[Server], str]] = [
    lambda server: _in_query(server, password=PASSWORD, username="rome", db="1000"),
    lambda server: _in_query(server, password=PASSWORD, username="nobody"),
    lambda server: _in_query(server, password=PASSWORD, colour="red"),
    lambda server: _in_query(server, password=PASSWORD).replace("rome+redis", "rome+lmdb"),
    lambda server: _in_query(server, password=PASSWORD).replace("rome+redis", "rome+reddis"),
    lambda server: _in_query(server, sentinel_password=PASSWORD),
    lambda server: _in_query(server, sentinel_password=PASSWORD).replace("rome+redis", "rome+memory"),
    lambda server: _in_query(server, sentinel_pasword=PASSWORD, sentinel="main"),
    lambda server: _in_query(server, sentinel="main", sentinel_password=PASSWORD, connect_timeout="0.2"),
    lambda server: _in_query(server, sentinel="main", host=f"rome:{PASSWORD}@h:1"),
    _with_at_sign,
    *(lambda server, rest=rest: _with_at_sign(server, rest) for rest in (":5", "/5", "?5", "?5=5", "@5", "#5", "%")),
]
"""What create_engine's URL shows of these is SQLAlchemy's: it hides what stands in a password's place."""


@pytest.fixture
def shown(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    """Collects what a test finds; what was logged, warned of and printed is added, and then all of it is looked at."""
    found: list[str] = []
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield found
    found += [caplog.text, *capfd.readouterr(), *(str(each.message) for each in warned)]
    assert any(found)
    assert [text for text in found if _is_shown(text)] == []


@pytest.mark.parametrize("fail", FAILURES)
def test_no_failure_to_connect_shows_it(guarded: Server, shown: list[str], fail: Callable[[Server], str]) -> None:
    url = fail(guarded)
    with pytest.raises(Error) as caught:
        rome.connect(url)
    error = caught.value
    shown += [str(error), repr(error), repr(pickle.loads(pickle.dumps(error)).args)]
    shown += traceback.format_exception(error)
    with suppress(Error, sa.exc.SQLAlchemyError, ValueError):  # of which the last is SQLAlchemy's, for a port
        engine = sa.create_engine(url)
        shown += [repr(engine), str(engine.url), repr(engine.url)]
        with pytest.raises((Error, sa.exc.SQLAlchemyError)) as wrapped:
            engine.connect()
        shown += [str(wrapped.value), repr(wrapped.value), *traceback.format_exception(wrapped.value)]
    assert main(["list", url]) in (0, 1)
    assert main(["doctor", url]) > 0
    assert main(["doctor", url, "--json"]) > 0


@pytest.mark.parametrize("wrong", WRONG_URLS)
def test_no_wrong_url_shows_it(guarded: Server, shown: list[str], wrong: Callable[[Server], str]) -> None:
    url = wrong(guarded)
    with pytest.raises(Error) as caught:
        rome.connect(url)
    error = caught.value
    shown += [str(error), repr(error), repr(pickle.loads(pickle.dumps(error)).args)]
    shown += traceback.format_exception(error)
    with suppress(Error):
        shown.append(repr(parse_url(make_url(url))))
    assert main(["list", url]) in (0, 1)
    assert main(["doctor", url]) > 0
    assert main(["explain", url, "SELECT 1"]) > 0


def test_nothing_that_works_shows_it(guarded: Server, shown: list[str]) -> None:
    url = _url(guarded)
    connection = rome.connect(url)
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
    connection.commit()
    location = parse_url(make_url(url)).location
    store = RedisStore.open(location)
    shown += map(repr, [connection, connection.session, connection.rome_stats, connection.cursor(), location, store])
    shown += map(repr, [read_settings(location), store._link, parse_url(make_url(url))])
    shown += map(str, connection.execute("EXPLAIN ROME SELECT * FROM t WHERE a = 1"))
    shown += connection.iterdump()
    with pytest.raises(Error) as caught:
        connection.execute("SELECT * FROM nowhere")
    shown += traceback.format_exception(caught.value)
    connection.rollback()
    guarded.kill()  # and once more, when the connection breaks
    with pytest.raises(Error) as caught:
        connection.execute("SELECT * FROM t")
    shown += traceback.format_exception(caught.value)
    connection.close()
    store.close()


@given(password=st.text())
def test_representations_hide_any(password: str) -> None:
    location = Location("redis", "nova", username="joe", password=password)
    assert repr(location) == repr(Location("redis", "nova", username="joe", password=None))
    other = Location("redis", "nova", username="joe", password="other")
    assert repr(read_settings(location)) == repr(read_settings(other))
