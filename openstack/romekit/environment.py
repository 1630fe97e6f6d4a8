"""Where `make` has put the OpenStack services."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2] / ".demo"
_TOGETHER = {"nova": "nova", "glance": "glance", "placement": "openstack_placement"}
"""Services in one environment, since they work together, by the names of their distributions; others have their own."""


def source_tree(service: str) -> Path:
    """The unpacked source distribution of a service, which holds its tests."""
    folder = ROOT if service in _TOGETHER else ROOT / service
    [tree] = (folder / "src").glob(f"{_TOGETHER.get(service, service)}-*")
    return tree
