"""SQLAlchemy-Utils' functions that look after databases, the real ones, on every store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import rome
from rome.errors import URLError
from tests.support.databases import database, on

utils: Any = pytest.importorskip("sqlalchemy_utils")


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


def test_a_question_creates_nothing(url: str) -> None:
    assert not utils.database_exists(url)
    assert not utils.database_exists(sa.make_url(url))
    assert not rome.database_exists(url)
    assert sa.make_url(url).database not in rome.list_databases(url)


def test_create_and_drop(url: str) -> None:
    utils.create_database(url)
    assert utils.database_exists(url)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        assert sa.inspect(connection).get_table_names() == []
        connection.execute(sa.text("CREATE TABLE t (a)"))
    assert utils.database_exists(engine.url)
    engine.dispose()
    utils.drop_database(url)
    assert not utils.database_exists(url)
    assert not rome.database_exists(url)


@pytest.mark.parametrize("name", ["plain", "Has Spaces", 'quo"te', "select", "a-b.c"])
def test_names(url: str, name: str) -> None:
    base = sa.make_url(url)
    other = base.set(database=f"{(base.database or '').rpartition('/')[0]}/{name}".lstrip("/" * ("lmdb" not in url)))
    utils.create_database(other)
    assert utils.database_exists(other)
    assert rome.database_exists(other)
    assert not utils.database_exists(base)
    utils.drop_database(other)
    assert not rome.database_exists(other)


def test_a_folder_that_is_not_there_has_no_database(tmp_path: Path) -> None:
    url = f"rome+lmdb:///{tmp_path}/none/x.rome"
    assert not rome.database_exists(url)
    assert not utils.database_exists(url)


@pytest.mark.parametrize("path", ["{}//x.rome", "{}/./x.rome", "{}/../{name}/x.rome"])
def test_a_file_is_found_however_its_path_is_written(tmp_path: Path, path: str) -> None:
    rome.create_database(f"rome+lmdb:///{tmp_path}/x.rome")
    url = "rome+lmdb:///" + path.format(tmp_path, name=tmp_path.name)
    assert rome.database_exists(url)
    assert utils.database_exists(url)


def test_a_database_without_a_name_is_there_as_with_sqlite() -> None:
    assert utils.database_exists("rome+memory://")
    assert utils.database_exists("sqlite://")


def test_everybody_else_gets_the_dialect_of_sqlite(url: str) -> None:
    assert sa.make_url(url).get_dialect().name == "sqlite"
    engine = sa.create_engine(url)
    assert engine.dialect.name == "sqlite"
    engine.dispose()
    assert sa.make_url(url).get_dialect() is type(engine.dialect)


def test_what_is_not_a_database_is_an_error(url: str) -> None:
    with pytest.raises(URLError, match="no option 'nonsense'"):
        utils.database_exists(f"{url}?nonsense=1")


def test_rome_does_it_without_sqlalchemy_utils(url: str) -> None:
    assert not rome.database_exists(url)
    rome.create_database(url)
    rome.create_database(url)
    assert rome.database_exists(url)
    rome.drop_database(url)
    assert not rome.database_exists(url)
