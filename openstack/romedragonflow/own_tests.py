"""DragonFlow's own tests of its drivers (dragonflow/tests/fullstack/test_db_api.py of 4.0.0), on this driver.

    python own_tests.py URL

The tests are run as they are, with the real DbApi and the real DBKeyNotFound. What they import beside these cannot be
imported on Python 3.11, since it needs Ryu and an old Neutron (README.md); the four modules of it that they name are
replaced here by as much as they use.
"""

from __future__ import annotations

import importlib.util
import sys
import unittest
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import dragonflow

from romedragonflow.driver import RomeDbDriver


class Case(unittest.TestCase):
    """In place of DFTestBase, which starts a Neutron."""

    assertItemsEqual = unittest.TestCase.assertCountEqual  # its name in Python 2


def stand_in(name: str, **content: Any) -> None:
    """Put a module in the place of one that cannot be imported."""
    module = ModuleType(name)
    vars(module).update(content)
    sys.modules[name] = module
    package, _, last = name.rpartition(".")
    if package in sys.modules:
        setattr(sys.modules[package], last, module)


def load(url: str) -> ModuleType:
    """Import the tests of the installed DragonFlow."""

    class Driver(RomeDbDriver):
        def initialize(self, db_ip: str, db_port: int, **args: Any) -> None:
            super().initialize(db_ip, db_port, connection=url, **args)

    df = SimpleNamespace(nb_db_class="rome_nb_db_driver", remote_db_ip="127.0.0.1", remote_db_port=6379)
    stand_in("dragonflow.conf", CONF=SimpleNamespace(df=df))
    stand_in("dragonflow.common.utils", DF_NB_DB_DRIVER_NAMESPACE="", load_driver=lambda name, namespace: Driver())
    stand_in("dragonflow.tests")
    stand_in("dragonflow.tests.fullstack")
    stand_in("dragonflow.tests.fullstack.test_base", DFTestBase=Case)
    path = Path(dragonflow.__file__).parent / "tests" / "fullstack" / "test_db_api.py"
    spec = importlib.util.spec_from_file_location("test_db_api", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    suite = unittest.defaultTestLoader.loadTestsFromModule(load(sys.argv[1]))
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
