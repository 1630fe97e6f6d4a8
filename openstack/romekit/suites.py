"""Run an OpenStack service's own database tests, unmodified, on any SQLAlchemy URL.

usage: python -m romekit.suites nova|glance|placement|keystone|cinder|neutron|oslo.db [--url URL] [PYTEST-ARGUMENT...]

Without a URL the tests run on what they use by themselves, SQLite in memory. With a URL, romekit.redirect gives each
engine of the tests its own `{db}`. The program ends with pytest's status.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from romekit.databases import url_template
from romekit.environment import source_tree

TESTS = {
    "nova": ("nova/tests/unit/db",),
    "glance": (
        "glance/tests/unit/test_db.py",
        "glance/tests/unit/test_db_metadef.py",
        "glance/tests/unit/test_sqlite_migration.py",
        "glance/tests/functional/db",
    ),
    "placement": ("placement/tests/functional/db",),
    "keystone": (
        "keystone/tests/unit/test_backend_sql.py",
        "keystone/tests/unit/test_backend_id_mapping_sql.py",
        "keystone/tests/unit/test_backend_federation_sql.py",
        "keystone/tests/unit/test_backend_endpoint_policy_sql.py",
        "keystone/tests/unit/test_sql_upgrade.py",
        "keystone/tests/unit/test_sql_banned_operations.py",
        "keystone/tests/unit/common/sql",
        "keystone/tests/unit/common/test_sql_core.py",
        "keystone/tests/unit/identity/test_backend_sql.py",
        "keystone/tests/unit/identity/shadow_users",
        "keystone/tests/unit/credential",
        *(
            f"keystone/tests/unit/{part}/test_sql.py"
            for part in (
                "identity/backends",
                "policy/backends",
                "resource/backends",
                "resource/config_backends",
                "assignment/role_backends",
                "application_credential/backends",
                "endpoint_policy/backends",
            )
        ),
    ),
    "cinder": ("cinder/tests/unit/db", "cinder/tests/unit/test_db_api.py", "cinder/tests/unit/test_db_worker_api.py"),
    "neutron": ("neutron/tests/unit/db",),
    "oslo.db": ("oslo_db/tests",),
}
_OPTIONS = {
    "keystone": ("-p", "romekit.no_ldap"),
    "oslo.db": ("-c", os.devnull),  # else pytest takes its settings from Rome's pyproject.toml, above the environment
}
_TEST_TIMEOUT_S = 160
_PYTEST = [
    *("-p", "romekit.redirect", "-p", "romekit.testtools_cases", "-p", "romekit.known_failures"),
    *("-p", "no:cacheprovider", "-q", "-W", "ignore", "--timeout", str(_TEST_TIMEOUT_S)),
    *("-o", "python_classes=_none", "-o", "python_functions=_none"),  # they are all unittest's
]
_ENVIRONMENT = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "OS_LOG_CAPTURE": "1",
    "OS_STDOUT_CAPTURE": "1",
    "OS_STDERR_CAPTURE": "1",
    "OS_NOVA_DISABLE_EVENTLET_PATCHING": "0",
}


def main() -> int:
    """Run pytest on a service's tests; returns its exit status."""
    parser = argparse.ArgumentParser(prog="romekit.suites", description="Run a service's own database tests.")
    parser.add_argument("suite", choices=TESTS)
    parser.add_argument("--url", type=url_template, help="SQLAlchemy URL with {db}")
    arguments, for_pytest = parser.parse_known_args()
    tree = source_tree(arguments.suite)
    target = [] if arguments.url is None else ["--url", arguments.url]
    options = _OPTIONS.get(arguments.suite, ())
    command = [sys.executable, "-m", "pytest", *_PYTEST, *options, "--rootdir", str(tree), *target, *for_pytest]
    return subprocess.run(
        [*command, *TESTS[arguments.suite]], cwd=tree, env={**os.environ, **_ENVIRONMENT}, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
