"""docs/kv.md: its example prints what it says, and its tables name what there is."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rome
import rome.kv
from rome.kv import building, keys, values, watch
from rome.retry.attempts import MAX_ATTEMPTS
from rome.store.spi import MAX_COMMIT_ROWS

PAGE = (Path(__file__).parents[2] / "docs" / "kv.md").read_text()
WORDS = " ".join(PAGE.split())


@pytest.mark.lmdb
def test_the_example_prints_what_the_page_says(tmp_path: Path) -> None:
    ((program, printed),) = re.findall(r"^```python\n(.*?)^```$.*?^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.stdout, done.stderr) == (printed, "")


def test_tables_name_every_method() -> None:
    shown = {*re.findall(r"`(?:tr|ports)\.(\w+)\(", PAGE)}
    public = {
        name
        for kind in (rome.kv.KvTransaction, rome.kv.Collection)
        for name, found in vars(kind).items()
        if inspect.isfunction(found) and not name.startswith("_")
    }
    assert public - shown == {"view_of", "end", "adopt", "index_entry"}  # for the package itself
    assert shown <= public


def test_numbers_are_those_of_the_code() -> None:
    assert values.MAX_RECORD_BYTES == 1 << 20
    assert "A value takes at most 1 MiB" in WORDS
    assert keys.MAX_KEY_BYTES == 8 << 10
    assert "a key 8 KiB" in WORDS
    assert f"at most {MAX_ATTEMPTS} times" in WORDS
    assert f"at most {MAX_COMMIT_ROWS:,} rows" in WORDS
    assert f"in steps of {building.STEP_ROWS} objects" in WORDS
    assert f"every {watch.POLL_S} s (`poll_s`)" in WORDS


def test_the_package_names_what_the_page_uses() -> None:
    for name in re.findall(r"rome\.kv\.(\w+)", PAGE):
        assert hasattr(rome.kv, name)
    assert "kv" in dir(rome)


def test_importing_rome_does_not_load_it() -> None:
    program = "import sys, rome; assert 'rome.kv' not in sys.modules; rome.kv.open; assert 'rome.kv' in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
