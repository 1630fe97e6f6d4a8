from __future__ import annotations

from dataclasses import replace

import pytest

from rome.errors import URLError
from rome.store.location import Location
from rome.store.redis.settings import read_settings


def _location(**options: str) -> Location:
    return Location("redis", "nova", options=options)


def test_timeouts_are_finite_unless_said_otherwise() -> None:
    settings = read_settings(_location())
    assert (settings.connect_timeout_s, settings.read_timeout_s) == (5.0, 30.0)
    assert (settings.server, settings.db, settings.tls) == ("localhost:6379", 0, None)


def test_options_are_read() -> None:
    settings = read_settings(
        _location(db="3", read_timeout="2.5", wait_replicas="2", wait_timeout="0.5", allow_eviction="TRUE")
    )
    assert (settings.db, settings.read_timeout_s, settings.wait_replicas, settings.wait_timeout_ms) == (3, 2.5, 2, 500)
    assert settings.allow_eviction


def test_tls_options() -> None:
    settings = read_settings(_location(ssl="true", ssl_ca_certs="/ca.pem", ssl_check_hostname="false"))
    assert settings.tls == {"ssl_ca_certs": "/ca.pem", "ssl_check_hostname": False}
    assert read_settings(_location(ssl="true", ssl_cert_reqs="none")).tls == {
        "ssl_cert_reqs": "none",
        "ssl_check_hostname": False,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"db": "one"}, "option db of rome\\+redis must be a number, 0 or more"),
        ({"db": "-1"}, "option db of rome\\+redis must be a number"),
        ({"read_timeout": "0"}, "option read_timeout of rome\\+redis must be seconds, 0.01 to 86400"),
        ({"read_timeout": "30000000"}, "option read_timeout of rome\\+redis must be seconds, 0.01 to 86400"),
        ({"wait_timeout": "0.001"}, "option wait_timeout of rome\\+redis must be seconds, 0.01 to 86400"),
        ({"sentinel": "main", "host": "user:secret@a:1"}, "option host of rome.redis must be host:port"),
        ({"sentinels": "main"}, "no option 'sentinels'; did you mean 'sentinel'.; known: "),
        ({"connect_timeout": "inf"}, "option connect_timeout of rome\\+redis must be seconds"),
        ({"ssl": "maybe"}, "option ssl of rome\\+redis must be true or false"),
        ({"ssl": "true", "ssl_cert_reqs": "some"}, "must be none, optional or required"),
        ({"ssl_ca_certs": "/ca.pem"}, "option ssl_ca_certs has no effect without ssl=true"),
        ({"ssl": "true", "unix_socket": "/s"}, "a Unix socket has no TLS"),
        ({"wait_replicas": "1", "wait_timeout": "30"}, "wait_timeout must be less than read_timeout"),
        ({"host": "a:1"}, "option host is for Sentinels and clusters"),
        ({"cluster": "maybe"}, "option cluster of rome.redis must be on or off"),
        ({"cluster": "on", "unix_socket": "/s"}, "cluster=on needs hosts and ports.*leave out unix_socket"),
        ({"cluster": "on", "sentinel": "main"}, "a cluster has no Sentinels: leave out sentinel, or cluster=on"),
        ({"cluster": "on", "db": "1"}, "leave out db"),
        ({"cluster": "on", "reads": "near"}, "reads=near is not supported with cluster=on"),
        ({"cluster": "on", "slot": "16384"}, "option slot of rome.redis must be a slot of the cluster, 0 to 16383"),
        ({"cluster": "on", "slot": "a"}, "option slot of rome.redis must be a slot of the cluster, 0 to 16383"),
        ({"cluster": "on", "host": "a:0"}, "option host of rome.* must be host:port"),
        ({"slot": "5"}, "option slot .* has no effect without cluster=on"),
        ({"cluster": "off", "slot": "5"}, "option slot .* has no effect without cluster=on"),
        ({"sentinel_password": "p"}, "option sentinel_password is for Sentinels"),
        ({"sentinel": "main", "unix_socket": "/s"}, "leave out unix_socket"),
        ({"sentinel": "main", "host": "a:0"}, "option host of rome.* must be host:port"),
        ({"sentinel": "main", "host": "a,"}, "option host of rome.* must be host:port"),
        ({"max_connections": "5"}, "no option 'max_connections'; known: allow_eviction, "),
    ],
)
def test_wrong_options_say_what_is_wanted(options: dict[str, str], message: str) -> None:
    with pytest.raises(URLError, match=message):
        read_settings(_location(**options))


def test_sentinels() -> None:
    settings = read_settings(_location(sentinel="main", host="one:1,two,[::1]:3,[::2]"))
    assert settings.sentinels == (("one", 1), ("two", 26379), ("::1", 3), ("::2", 26379))
    assert settings.server == "one:1, two:26379, [::1]:3, [::2]:26379"
    settings = read_settings(Location("redis", "nova", host="one", options={"sentinel": "main"}))
    assert settings.sentinels == (("one", 26379),)


def test_nodes_of_a_cluster() -> None:
    settings = read_settings(_location(cluster="on", host="one:1,two", slot="0"))
    assert (settings.nodes, settings.slot) == ((("one", 1), ("two", 6379)), 0)
    assert settings.server == "one:1, two:6379"
    own = Location("redis", "nova", host="zero", options={"cluster": "on", "host": "one:1,zero:6379"})
    assert read_settings(own).nodes == (("zero", 6379), ("one", 1))
    assert read_settings(_location(cluster="on")).nodes == (("localhost", 6379),)
    assert read_settings(_location(cluster="off")).nodes == ()


def test_password_is_not_shown() -> None:
    location = Location("redis", "nova", username="joe", password="secret", options={"sentinel": "main"})
    settings = read_settings(replace(location, options={**location.options, "sentinel_password": "secret too"}))
    assert "secret" not in repr(settings)
