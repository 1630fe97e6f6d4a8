"""URLs: what they mean, and what is said when they are wrong."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, EntryPoint, EntryPoints
from pathlib import Path

import pytest

from rome.dbapi.url import Target, make_url, parse_url
from rome.engine.options import Isolation, Options
from rome.errors import InterfaceError, URLError
from rome.store import registry
from rome.store.location import Location


def parse(text: str, **options: object) -> Target:
    return parse_url(make_url(text), options)


class TestLocation:
    @pytest.mark.parametrize(
        ("text", "location"),
        [
            ("rome+lmdb:///data/nova.rome", Location("lmdb", "data/nova.rome")),
            ("rome+lmdb:////var/lib/nova.rome", Location("lmdb", "/var/lib/nova.rome")),
            ("rome+memory:///name", Location("memory", "name")),
            ("rome+redis://localhost/nova", Location("redis", "nova", host="localhost")),
            (
                "rome+redis://us%40er:p%2Fw@db.example:6380/nova",
                Location("redis", "nova", host="db.example", port=6380, username="us@er", password="p/w"),
            ),
            ("rome+redis://[::1]:6379/nova", Location("redis", "nova", host="::1", port=6379)),
            ("rome+redis://h/a b/c", Location("redis", "a b/c", host="h")),
            (
                "rome+redis:///nova?unix_socket=/run/redis.sock",
                Location("redis", "nova", options={"unix_socket": "/run/redis.sock"}),
            ),
        ],
    )
    def test_forms(self, text: str, location: Location) -> None:
        assert parse(text) == Target(location, Options())

    def test_keywords_prevail_over_the_url(self) -> None:
        location, options = parse(
            "rome+redis://old:secret@h/nova?full_scan=warn&ssl=true",
            full_scan="error",
            ssl=False,
            username="new",
            password="hidden",
        )
        assert (location.username, location.password) == ("new", "hidden")
        assert location.options == {"ssl": "false"}
        assert options.full_scan == "error"


class TestOptions:
    @pytest.mark.parametrize(
        ("query", "options"),
        [
            ("isolation_level=READ%20COMMITTED", Options(isolation=Isolation.READ_COMMITTED)),
            ("isolation_level=repeatable_read", Options(isolation=Isolation.SNAPSHOT)),
            ("full_scan=warn", Options(full_scan="warn")),
            ("foreign_keys=off", Options(foreign_keys=False)),
            ("foreign_keys=ON&max_replays=0", Options(max_replays=0)),
            ("replay=off&max_replays=3", Options(max_replays=0)),
            ("replay=on&max_replays=3", Options(max_replays=3)),
            ("max_working_set=256MB", Options()),
            ("max_working_set=1g", Options(max_working_set=1 << 30)),
            ("max_working_set=500000", Options(max_working_set=500_000)),
        ],
    )
    def test_are_read(self, query: str, options: Options) -> None:
        assert parse(f"rome+memory:///name?{query}").options == options


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("nonsense", "not a URL"),
            ("rome+redis://h:port/nova", "port is not a number"),
            ("rome+redis://h:99999/nova", "port 99999 is not between 1 and 65535"),
            ("sqlite:///nova.db", "not a URL of Rome; the forms are rome"),
            ("rome://h/nova", r"names no store \(installed: .*lmdb.*\)"),
            ("rome+etcetera:///nova", r"no store 'rome\+etcetera'; installed: .*memory"),
            ("rome+lmdb://", "names no database; the forms are"),
            ("dump.rome", "not a URL, or its port is not a number; the forms are .*rome[+]etcd://"),
            ("rome+redis://localhost", "names no database"),
            ("rome+redis://localhost/", "names no database"),
            ("rome+lmdb://nova.rome", r"not on the network.*rome\+lmdb:/// \(three slashes\)"),
            ("rome+memory://name/x", "not on the network"),
            ("rome+memory:///n?max_working_set=much", "expected a number of bytes, 16KB or more, as in 256MB"),
            ("rome+memory:///n?max_working_set=256", "max_working_set='256': expected a number of bytes, 16KB or more"),
            ("rome+memory:///n?max_commit_bytes=16", "max_commit_bytes='16': expected a number of bytes, 16KB or more"),
            ("rome+memory:///n?max_commit_rows=0", "max_commit_rows='0': expected a number, 1 or more"),
            ("rome+memory:///n?full_scam=warn", "no option 'full_scam'; did you mean 'full_scan'.; known: .*full_scan"),
            ("rome+memory:///n?Foreign-Keys=off", "no option 'Foreign-Keys'; did you mean 'foreign_keys'.;"),
            ("rome+redis:///n?timeout=3", "no option 'timeout'; did you mean '[a-z]+_timeout'.;"),
            ("rome+memory:///n?xyzzy=3", "no option 'xyzzy'; known: autocommit, commit_turn, "),
            ("rome+reddis:///n", r"no store 'rome\+reddis'; did you mean 'redis'.; installed: .*memory"),
            ("rome+memory:///n?unix_socket=x", "rome.memory has no option 'unix_socket'"),
            ("rome+memory:///n?full_scan=never", "full_scan='never': expected allow, warn or error"),
            ("rome+memory:///n?foreign_keys=maybe", "expected on or off"),
            ("rome+memory:///n?max_replays=many", "expected a number"),
            ("rome+memory:///n?max_replays=-1", "expected a number, 0 or more"),
            ("rome+memory:///n?isolation_level=CHAOS", "expected SERIALIZABLE or"),
            ("rome+memory:///n?foreign_keys=on&foreign_keys=off", "foreign_keys='on,off': expected"),
        ],
    )
    def test_say_what_is_wrong(self, text: str, says: str) -> None:
        with pytest.raises(URLError, match=says):
            parse(text)

    @pytest.mark.parametrize(
        "text",
        [
            "rome+redis://user:s3cret@h:x/nova",
            "rome+redis://user:s3cret@h:0/nova",
            "rome+redis://user:s3cret@h/",
            "rome+redis://user:s3cret@h/nova?colour=red",
            "rome+lmdb://user:s3cret@h/nova",
            "rome+memory://user:s3cret@h/nova",
            "rome+reddis://user:s3cret@h/nova",
            "sqlite://user:s3cret@h/nova",
            "rome://user:s3cret@h/nova",
            "rome+redis://h/nova?password=s3cret&colour=red",
            "rome+redis://h:0/nova?password=s3cret",
            "rome+lmdb:///nova?password=s3cret",
            "rome+redis://h/nova?sentinel_password=s3cret&colour=red",
            "rome+lmdb:///nova?sentinel_password=s3cret",
            "s3cret",
        ],
    )
    def test_never_show_the_password(self, text: str) -> None:
        with pytest.raises(URLError) as caught:
            parse(text)
        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize(
        "text",
        [
            "rome+redis://:p@s3cret@h:6379/nova",
            "rome+redis://user:p@s3cret@h:6379/nova",
            "rome+redis://user:p@s3cret@h",
            "rome+redis://user:p@s3cret:1@h:6379/nova",
            "rome+redis://user:p@s3cret/1@h:6379/nova",
            "rome+redis://user:p@s3cret/1@h/nova",
            "rome+redis://user:p@s3cret?1=2@h/nova",
            "rome+redis://user:p@s3cret?s3cret@h/nova?ssl=true",
            "rome+redis://user:p@s3cret[1@h/nova",
            "rome+redis://user:p@s3cret@[::1]:6379/nova",
        ],
    )
    def test_an_at_sign_in_a_password_is_found_and_not_shown(self, text: str) -> None:
        with pytest.raises(URLError, match=r"write %40 for @|the URL names no database") as caught:
            parse(text)
        shown = [str(caught.value), *traceback.format_exception(caught.value)]
        assert "s3cret" not in "".join(shown).replace(text, "")

    @pytest.mark.parametrize("text", ["rome+redis://h/a@b", "rome+redis://u:p@h:1/a@b", "rome+lmdb:////a@b/c@d/e.rome"])
    def test_an_at_sign_in_a_name_is_none_in_a_password(self, text: str) -> None:
        assert parse(text).location.database.endswith(("a@b", "/a@b/c@d/e.rome"))

    @pytest.mark.parametrize(
        "text", ["rome+redis://user:s3cret@h/nova", "rome+redis://h/nova?sentinel=main&sentinel_password=s3cret"]
    )
    def test_no_representation_shows_the_password(self, text: str) -> None:
        assert "s3cret" not in repr(parse(text))


class OtherDistribution(Distribution):
    """Rome's, as if it had been installed from somewhere else."""

    def __init__(self, origin: str | None) -> None:
        self._origin = origin

    def read_text(self, filename: str) -> str | None:
        if filename == "direct_url.json":
            return self._origin
        return "Name: sqlalchemy-rome\nProvides-Extra: redis\n" if filename == "METADATA" else None

    def locate_file(self, path: str | os.PathLike[str]) -> Path:
        return Path(path)


class TestRegistry:
    @pytest.fixture
    def broken_stores(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str | None], None]]:
        """Installs stores whose client library is missing, from a place that pip has noted."""

        def install(origin: str | None) -> None:
            points = [EntryPoint(name, "not_there.client:Store", "rome.stores") for name in ("redis", "cluster")]
            for point in points:
                vars(point).update(dist=OtherDistribution(origin))
            monkeypatch.setattr(registry, "_installed", lambda: EntryPoints(points))
            registry.store_class.cache_clear()

        yield install
        registry.store_class.cache_clear()

    @pytest.mark.parametrize(
        ("origin", "advice"),
        [
            (None, "pip install 'sqlalchemy-rome[redis]'"),
            (
                '{"url": "file:///home/me/my%20rome", "dir_info": {"editable": true}}',
                "pip install -e '/home/me/my rome[redis]'",
            ),
            (
                '{"url": "file:///home/me/rome", "dir_info": {}}',
                "pip install 'sqlalchemy-rome[redis] @ file:///home/me/rome'",
            ),
            (
                '{"url": "https://example.org/rome.whl", "archive_info": {}}',
                "pip install 'sqlalchemy-rome[redis] @ https://example.org/rome.whl'",
            ),
        ],
    )
    def test_missing_client_library_is_asked_for_from_where_rome_came(
        self, broken_stores: Callable[[str | None], None], origin: str | None, advice: str
    ) -> None:
        broken_stores(origin)
        with pytest.raises(InterfaceError, match=rf"'not_there': {re.escape(advice)}$"):
            registry.store_class("redis")

    def test_a_store_without_an_extra_names_the_distribution(self, broken_stores: Callable[[str | None], None]) -> None:
        broken_stores(None)
        with pytest.raises(InterfaceError, match=r"pip install 'sqlalchemy-rome'"):
            registry.store_class("cluster")

    def test_stores_of_this_package_are_installed(self) -> None:
        assert {"memory", "lmdb", "redis"} <= set(registry.schemes())
