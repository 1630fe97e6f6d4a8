"""docs/distribution.md: its URLs are accepted, and etcd knows its flags."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import make_url

from rome.dbapi.url import parse_url
from tests.support.etcd_servers import find_etcd

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "distribution.md").read_text()
URLS = re.findall(r"`(rome\+\w+://[^`]+)`", PAGE)
UNIT = PAGE.partition("ExecStart=/usr/bin/etcd")[2].partition("[Install]")[0]


@pytest.mark.parametrize("url", URLS)
def test_url_is_accepted(url: str) -> None:
    location = parse_url(make_url(url.removesuffix("&..").replace("nova:..@", "nova:secret@"))).location
    assert location.database in ("nova", "/var/lib/app/app.rome")


def test_there_are_urls_of_each_networked_store() -> None:
    assert {url.partition(":")[0] for url in URLS} >= {"rome+lmdb", "rome+redis", "rome+etcd"}


def test_etcd_knows_every_flag_of_the_unit() -> None:
    try:
        program = find_etcd()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    flags = re.findall(r"--([a-z-]+)", UNIT)
    assert "max-txn-ops" in flags
    assert [flag for flag in flags if f"--{flag} " not in done.stdout + done.stderr] == []
