"""A cluster with authentication on: a user who may touch one database only, and tokens that expire."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import rome
from rome.dbapi import OperationalError
from rome.errors import AuthenticationError
from rome.store.diagnosis import Level
from tests.support.etcd_cluster import gateway
from tests.support.etcd_servers import Member

pytestmark = pytest.mark.etcd


def guard(member: Member, database: str) -> str:
    """Switch authentication on, with a user `nova` for this database alone; returns its URL."""
    for user in ("root", "nova"):
        gateway(member, "auth/user/add", name=user, password=f"{user}-secret")
        gateway(member, "auth/role/add", name=user)
        gateway(member, "auth/user/grant", user=user, role=user)
    start, stop = (
        base64.b64encode(key).decode() for key in (f"rome/{database}/".encode(), f"rome/{database}0".encode())
    )
    gateway(member, "auth/role/grant", name="nova", perm={"permType": "READWRITE", "key": start, "range_end": stop})
    gateway(member, "auth/enable")
    return url_of(member, database, "nova", "nova-secret")


def url_of(member: Member, database: str, user: str, password: str) -> str:
    return f"rome+etcd://{user}:{password}@{member.url(database).removeprefix('rome+etcd://')}"


@pytest.fixture
def guarded(start_member: Callable[..., Member]) -> tuple[Member, str]:
    member = start_member()
    return member, guard(member, "nova")


def test_user_of_one_database_works_in_it_and_in_no_other(guarded: tuple[Member, str]) -> None:
    member, url = guarded
    connection = rome.connect(url)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
    connection.executemany("INSERT INTO t (name) VALUES (?)", [("a",), ("b",)])
    connection.commit()
    connection.execute("DELETE FROM t WHERE name = 'a'")
    connection.commit()
    assert connection.execute("SELECT name FROM t").fetchall() == [("b",)]
    connection.close()
    assert rome.database_exists(url)
    assert rome.set_retention(url, seconds=30).seconds == 30
    assert rome.trim(url) >= 0
    with closing(rome.connect(url)) as reader:
        assert reader.session.usage(10).recent[0].rows, "as `rome top` asks"
    with pytest.raises(AuthenticationError, match="permission denied"):
        rome.connect(url_of(member, "glance", "nova", "nova-secret"))
    with pytest.raises(AuthenticationError, match="permission denied"):
        rome.list_databases(url)
    root = url_of(member, "nova", "root", "root-secret")
    assert rome.list_databases(root) == ["nova"]
    rome.drop_database(url)
    assert rome.list_databases(root) == []


def test_doctor_says_what_it_may_not_ask(guarded: tuple[Member, str]) -> None:
    """As the user of the application, and as root."""
    member, url = guarded
    rome.create_database(url)
    root = rome.diagnose(url_of(member, "nova", "root", "root-secret"))
    assert root.level < Level.PROBLEM
    own = rome.diagnose(url)
    assert own.level < Level.PROBLEM, own
    assert {each.check for each in own.findings} == {each.check for each in root.findings}
    [compaction] = [each for each in own.findings if each.check == "compaction"]
    assert compaction.reason.startswith("this user may not see whether others have keys in this cluster")


def test_token_that_expires_is_renewed(start_member: Callable[..., Member], tmp_path: Path) -> None:
    """Tokens of this server end after a second, in the middle of transactions."""
    (tmp_path / "key").write_bytes(b"a key of the server")
    member = start_member({"auth-token": f"jwt,sign-method=HS256,priv-key={tmp_path / 'key'},ttl=1s"})
    url = guard(member, "nova")
    connection = rome.connect(url)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    connection.commit()
    for number in range(3):
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        time.sleep(1.2)  # the token's life
        connection.commit()
        time.sleep(1.2)
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (number + 1,)
    connection.close()


def test_logs_have_neither_password_nor_token(guarded: tuple[Member, str], caplog: pytest.LogCaptureFixture) -> None:
    """hpack, a library of ours, logs the headers of each request at DEBUG."""
    with caplog.at_level(logging.DEBUG):
        rome.create_database(guarded[1])
    assert "nova-secret" not in caplog.text
    assert not [record for record in caplog.records if record.name.startswith(("hpack", "h2"))]


def test_password_that_was_changed_is_told(guarded: tuple[Member, str]) -> None:
    member, url = guarded
    connection = rome.connect(url)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    connection.commit()
    connection.close()
    with pytest.raises(OperationalError, match="authentication failed"):
        rome.connect(url_of(member, "nova", "nova", "an-older-secret"))
