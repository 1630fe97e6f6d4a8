"""Where `make` has put the OpenStack services."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2] / ".demo"
_DISTRIBUTIONS = {"nova": "nova", "glance": "glance", "placement": "openstack_placement"}


def source_tree(service: str) -> Path:
    """The unpacked source distribution of nova, glance or placement, which holds its tests."""
    [tree] = (ROOT / "src").glob(f"{_DISTRIBUTIONS[service]}-*")
    return tree
