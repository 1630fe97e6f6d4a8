"""Where `make` has put the OpenStack services."""

from __future__ import annotations

import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2] / ".demo"
_TOGETHER = {"nova": "nova", "glance": "glance", "placement": "openstack_placement"}
"""The services that share one environment, since they work together, by their distributions. Others have their own."""


def source_tree(service: str) -> Path:
    """The folder that holds a service's tests: its unpacked source distribution; oslo.db installs its own."""
    if service == "oslo.db":
        return Path(sysconfig.get_path("purelib"))
    folder = ROOT if service in _TOGETHER else ROOT / service
    [tree] = (folder / "src").glob(f"{_TOGETHER.get(service, service)}-*")
    return tree
