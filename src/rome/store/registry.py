"""Find a store's class by the scheme of a URL, through the entry points `rome.stores`.

A store is imported when its scheme is first used, so an application needs no client library of another store.

The distribution of an outside store registers two entry points. With the first alone only `rome.connect` finds it:
SQLAlchemy looks for dialects by their whole name, and `create_engine` would raise `Can't load plugin:
sqlalchemy.dialects:rome.mine`.

    [project.entry-points."rome.stores"]
    mine = "my_package:MyStore"

    [project.entry-points."sqlalchemy.dialects"]
    "rome.mine" = "rome.dialect:RomeDialect"
"""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from urllib.parse import unquote

from rome.errors import InterfaceError, URLError
from rome.store.spelling import did_you_mean
from rome.store.spi import Store


def schemes() -> list[str]:
    """The names of all stores that are installed, sorted."""
    return sorted(_installed().names)


@cache
def store_class(scheme: str) -> type[Store]:
    """The class of the store for `rome+<scheme>://`.

    Raises:
        URLError: no such store is installed.
        InterfaceError: its client library is not installed; the message says what to install.
    """
    installed = _installed()
    if scheme not in installed.names:
        raise URLError(
            f"there is no store 'rome+{scheme}'{did_you_mean(scheme, schemes())}; installed: {', '.join(schemes())}"
        )
    entry_point = installed[scheme]
    try:
        found: type[Store] = entry_point.load()
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] == "rome":
            raise
        raise InterfaceError(
            f"rome+{scheme} needs the Python package {missing.name!r}: pip install {_requirement(entry_point)}"
        ) from missing
    return found


@cache
def _installed() -> EntryPoints:
    return entry_points(group="rome.stores")


def _requirement(entry_point: EntryPoint) -> str:
    """What to install for a store: its distribution, with the extra of the store's name if there is one.

    A distribution that was installed from a checkout or a file is asked for from there, as it may be nowhere else.
    """
    distribution = entry_point.dist
    if distribution is None:
        return entry_point.name
    extras = distribution.metadata.get_all("Provides-Extra") or []
    extra = f"[{entry_point.name}]" if entry_point.name in extras else ""
    name = f"{distribution.metadata['Name']}{extra}"
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    url = str(origin.get("url", ""))
    if not url:
        return f"'{name}'"
    if origin.get("dir_info", {}).get("editable") and url.startswith("file://"):
        return f"-e '{unquote(url.removeprefix('file://'))}{extra}'"
    return f"'{name} @ {url}'"
