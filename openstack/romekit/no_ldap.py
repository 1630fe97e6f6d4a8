"""pytest plugin: replace python-ldap, which all of Keystone's tests import and its database tests do not use.

python-ldap is built from C sources with OpenLDAP's headers. A newcomer's machine lacks these, and installing them takes
root.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from unittest.mock import MagicMock


def pytest_configure() -> None:
    """Put a mock in place of the modules, unless they are installed."""
    if find_spec("ldap") is None:
        for name in ("ldap", "ldap.controls", "ldap.filter", "ldappool"):
            sys.modules[name] = MagicMock()
