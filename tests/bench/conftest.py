"""The benchmark is no package of Rome's: it is found where it lies."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / folder) for folder in ("bench", "openstack")]
