"""pytest plugin: stands in for python-ldap, which every one of Keystone's tests imports and none of the database uses.

It is built from C sources and OpenLDAP's headers, which a newcomer's machine has not, and installing those takes root.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from unittest.mock import MagicMock


def pytest_configure() -> None:
    if find_spec("ldap") is None:
        for name in ("ldap", "ldap.controls", "ldap.filter", "ldappool"):
            sys.modules[name] = MagicMock()
