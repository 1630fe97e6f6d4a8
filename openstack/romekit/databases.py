"""Create new databases on one SQLAlchemy URL, and drop them."""

from __future__ import annotations

import itertools
import os
import re
from argparse import ArgumentTypeError
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

_SQLITE_FILES = ("", "-wal", "-shm", "-journal")
_ADMIN_DATABASES = {"mysql": "mysql", "postgresql": "postgres"}
_MYSQL_INDEX_BYTES = 3072
_MYSQL_CHARACTER_BYTES = 3  # of utf8, which OpenStack's databases have
_MYSQL_PREFIX = 100


def url_template(text: str) -> str:
    """Check a command's URL argument and return it; a `type` for argparse.

    Raises:
        ArgumentTypeError: it is not a URL, or does not hold `{db}`.
    """
    try:
        sa.make_url(text)
    except sa.exc.ArgumentError:
        raise ArgumentTypeError("not a URL; write it as 'rome+redis://127.0.0.1:6379/{db}'") from None
    if "{db}" not in text:
        raise ArgumentTypeError(f"{shown(text)} must hold {{db}} where it names a database")
    return text


class Databases:
    """Creates databases whose names no other process uses, and drops them again."""

    def __init__(self, template: str) -> None:
        self._template = template
        self._serial = itertools.count(1)
        self.live: dict[sa.URL, str] = {}
        """{URL of a database that was created here: its label}."""

    def create(self, label: str) -> sa.URL:
        """The URL of a new, empty database; `label` becomes part of its name."""
        name = f"kit_{os.getpid()}_{next(self._serial)}_{re.sub(r'[^a-z0-9]+', '_', label.lower())[:20]}"
        url = sa.make_url(self._template.replace("{db}", name))
        if url.get_backend_name() in _ADMIN_DATABASES:
            _administrate(url, f"CREATE DATABASE {name}")
        self.live[url] = label
        return url

    def drop(self, url: sa.URL) -> None:
        """Drop a database that was created here; nobody may be connected to it."""
        del self.live[url]
        if url.drivername.startswith("rome"):
            import rome  # noqa: PLC0415 (the kit also runs without Rome, to measure another database)

            rome.drop_database(text(url))
        elif url.get_backend_name() == "sqlite":
            for suffix in _SQLITE_FILES:
                Path(f"{url.database}{suffix}").unlink(missing_ok=True)
        else:
            force = " WITH (FORCE)" if url.get_backend_name() == "postgresql" else ""  # idle clients
            _administrate(url, f"DROP DATABASE {url.database}{force}")

    def drop_all(self) -> None:
        """Drop every database that was created here."""
        for url in list(self.live):
            self.drop(url)


def text(url: sa.URL) -> str:
    """The URL as text, with its password."""
    return url.render_as_string(hide_password=False)


def shown(template: str) -> str:
    """A URL with `{db}` as text that may be printed, without its password."""
    return sa.make_url(template).render_as_string().replace(quote("{db}"), "{db}")


def shorten_mysql_indexes(metadata: sa.MetaData) -> None:
    """Index only prefixes of columns that are too long for MySQL, as Nova's migrations do and its models do not."""
    for table in metadata.tables.values():
        for index in table.indexes:
            lengths = {column.name: getattr(column.type, "length", None) or 0 for column in index.columns}
            if sum(lengths.values()) * _MYSQL_CHARACTER_BYTES > _MYSQL_INDEX_BYTES:
                long = [name for name, length in lengths.items() if length > _MYSQL_PREFIX]
                index.dialect_options["mysql"]["length"] = dict.fromkeys(long, _MYSQL_PREFIX)


def _administrate(url: sa.URL, statement: str) -> None:
    engine = sa.create_engine(url.set(database=_ADMIN_DATABASES[url.get_backend_name()]), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()
