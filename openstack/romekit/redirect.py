"""pytest plugin: `--url URL` moves every SQLite engine of a test suite to a database of that URL.

A `sqlite://` engine has a database that nobody else sees and that ends with Engine.dispose(). So each such engine gets
a new `{db}`, and dispose() moves it on to another. A `sqlite:///file` engine gets one `{db}` per path and test.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_db.sqlalchemy import engines, provision, session
from sqlalchemy.engine import Engine, create

from romekit.databases import Databases, url_template


class Redirection:
    """Knows which engine uses which database; `databases` creates and drops these."""

    def __init__(self, template: str) -> None:
        self.databases = Databases(template)
        self._owners: dict[sa.URL, weakref.ref[Engine] | None] = {}
        """{database: engine that it is private to}; None until that engine exists, and for a file's database."""
        self._files: dict[str, sa.URL] = {}
        self._create_engine: Callable[..., Engine] = create.create_engine
        self._dispose = Engine.dispose

    def redirect(self, url: str | sa.URL) -> sa.URL:
        """The URL to use in place of `url`: a database's for an SQLite URL, the same for any other."""
        wanted = sa.make_url(url)
        if wanted.drivername not in ("sqlite", "sqlite+pysqlite") or wanted in self.databases.live:
            return wanted
        if wanted.database in (None, "", ":memory:"):
            return self._private()
        if wanted.database not in self._files:
            self._files[wanted.database] = self.databases.create("file")
        return self._files[wanted.database]

    def _private(self) -> sa.URL:
        url = self.databases.create("memory")
        self._owners[url] = None
        return url

    def create_engine(self, url: str | sa.URL, **options: Any) -> Engine:
        """Replaces sqlalchemy.create_engine."""
        target = self.redirect(url)
        engine = self._create_engine(target, **options)
        if target in self._owners and self._owners[target] is None:
            self._owners[target] = owner = weakref.ref(engine)
            sa.event.listen(engine, "do_connect", _connect_to_current_url(owner))
        return engine

    def dispose(self, engine: Engine, close: bool = True) -> None:
        """Replaces Engine.dispose."""
        self._dispose(engine, close=close)
        owner = self._owners.get(engine.url)
        if owner is not None and owner() is engine:
            self._drop(engine.url)
            engine.url = self._private()
            self._owners[engine.url] = weakref.ref(engine)

    def _drop(self, url: sa.URL) -> None:
        del self._owners[url]
        self.databases.drop(url)

    def forget_test(self) -> None:
        """Drop the databases whose engine is gone; the next test gets new databases for its files."""
        self._files.clear()
        for url, owner in list(self._owners.items()):
            if owner is not None and owner() is None:
                self._drop(url)

    def install(self) -> None:
        """Replace create_engine and Engine.dispose, also where oslo.db has imported them."""
        oslo_create_engine = engines.create_engine

        def create_oslo_engine(sql_connection: str, *arguments: Any, **options: Any) -> Engine:
            # oslo.db chooses pool and hooks by the URL, so it must see the final one.
            engine: Engine = oslo_create_engine(self.redirect(sql_connection), *arguments, **options)
            return engine

        def dispose(engine: Engine, close: bool = True) -> None:
            self.dispose(engine, close)

        create.create_engine = sa.engine.create_engine = sa.create_engine = self.create_engine
        Engine.dispose = dispose  # type: ignore[method-assign, assignment]
        engines.create_engine = session.create_engine = create_oslo_engine

        # oslo.db's provisioning creates and deletes files under /tmp for an SQLite URL that names a database, as ours
        # do. Here every engine has a database already.
        backend = type(provision.BackendImpl.impl("sqlite"))
        backend.provisioned_database_url = lambda self, base_url, ident: base_url
        backend.create_named_database = lambda self, engine, ident, conditional=False: None
        backend.drop_named_database = lambda self, engine, ident, conditional=False: None
        backend._drop_url_file = lambda self, url, conditional: None


def _connect_to_current_url(owner: weakref.ref[Engine]) -> Callable[..., Any]:
    """A hook that connects to the engine's current URL: the pool was made for its first, dispose() changes it."""

    def connect(dialect: sa.Dialect, _record: object, _arguments: object, parameters: dict[str, Any]) -> Any:
        engine = owner()
        assert engine is not None
        arguments, own_parameters = dialect.create_connect_args(engine.url)
        return dialect.connect(*arguments, **{**parameters, **own_parameters})

    return connect


_redirection: Redirection | None = None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option --url."""
    parser.addoption("--url", type=url_template, help="SQLAlchemy URL with {db} on which SQLite's engines end up")


def pytest_configure(config: pytest.Config) -> None:
    """Redirect engines if there is a URL."""
    global _redirection
    if config.option.url is not None:
        _redirection = Redirection(config.option.url)
        _redirection.install()


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish() -> None:
    """Drop the databases of the test that has ended."""
    if _redirection is not None:
        _redirection.forget_test()


def pytest_unconfigure() -> None:
    """Drop all databases."""
    if _redirection is not None:
        _redirection.databases.drop_all()
