"""The kit is no package of Rome's: it is found where it lies."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "openstack"))
