"""Any text as a URL: understood, or refused by URLError; nothing else, and never with the password in it."""

from __future__ import annotations

import traceback

from hypothesis import example, given
from hypothesis import strategies as st

from rome.dbapi.url import make_url, parse_url
from rome.errors import URLError
from rome.store.lmdb.store import _options as lmdb_options
from rome.store.redis.settings import OPTIONS, read_settings

PASSWORD = "s3cr3t-Passw0rd"

odd = st.text(alphabet=st.sampled_from("aA0:/?@&=%+[]#.-_ é☃\0\n\ud800"), max_size=12)
schemes = st.sampled_from(["rome+redis", "rome+lmdb", "rome+memory", "rome", "rome+", "ROME+REDIS", "sqlite"]) | odd
names = st.sampled_from([*sorted(OPTIONS), "sync", "max_size", "full_scan", "isolation_level", "replay"]) | odd
values = st.sampled_from(["true", "off", "0", "-1", "1e999", "nan", "20G", "9" * 5000, "٣", "", "SERIALIZABLE"]) | odd
queries = st.lists(st.tuples(names, values), max_size=4).map(lambda pairs: "&".join(map("=".join, pairs)))
users = st.sampled_from(["", f"joe:{PASSWORD}@", f":{PASSWORD}@", f"{PASSWORD}@"])
hosts = st.sampled_from(["", "h", "h:6379", "h:x", "h:", "h:99999999999", "[::1]", "[::1]:1", "[", "1.2.3.4"]) | odd
urls = st.builds("{}://{}{}/{}?{}".format, schemes, users, hosts, odd, queries)


@given(st.text() | odd | urls)
@example("rome+redis://[::1")
@example("rome+redis://h:²/nova")
@example("rome+redis:///n?db=" + "9" * 5000)
@example("rome+lmdb:///n?max_size=" + "9" * 5000)
@example("rome+redis:///n?ssl=true&ssl=true")
@example("rome+memory:///\ud800")
def test_any_text_is_understood_or_refused(text: str) -> None:
    refusal = target = None
    try:
        target = parse_url(make_url(text))
        match target.location.scheme:
            case "redis":
                read_settings(target.location)
            case "lmdb":
                lmdb_options(target.location)
    except URLError as error:
        refusal = error
    assert refusal or target
    if refusal:
        assert PASSWORD not in "".join(traceback.format_exception(refusal)).replace(text, "")
    elif target and PASSWORD not in (target.location.username or ""):
        assert PASSWORD not in repr(target)
