"""Real databases of Nova and Keystone from a MariaDB into Rome and back; `make transfer-test` has many servers."""

from __future__ import annotations

import os
import subprocess

import pytest
from romekit.environment import ROOT

from tests.support.sql_servers import MariaDb

PYTHON = ROOT / "venv/bin/python"


@pytest.mark.lmdb
@pytest.mark.timeout(900)
@pytest.mark.skipif(not (ROOT / "venv/ready").exists(), reason="Nova is not installed; `make boot` installs it")
@pytest.mark.skipif(MariaDb.missing() is not None, reason=str(MariaDb.missing()))
def test_the_databases_of_nova_come_back_equal_and_nova_reads_them_on_rome() -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT.parent / 'openstack'}{os.pathsep}{ROOT.parent}"}
    command = [str(PYTHON), "-W", "ignore", "-m", "romekit.transfer", "--count", "40", "--stores", "lmdb"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nova: 626 rows came back equal" in done.stdout
    assert "Nova's and Keystone's objects show the same on Rome and on MariaDB" in done.stdout
    assert done.stdout.endswith("OK: everything came back equal\n")
