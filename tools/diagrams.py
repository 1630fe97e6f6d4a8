"""Draw the pictures of the documentation: docs/diagrams/*.svg.

usage: python tools/diagrams.py [FOLDER]

The pictures need no script and no other host, and have a background of their own, so they show on GitHub and on the
site, in light and in dark. tests/docs/test_diagrams.py compares the files with what this program draws.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "diagrams"

_STYLE = """
.paper { fill: #fff; stroke: #d0d0d8; }
.place { fill: #f4f2fa; stroke: #b9b2d6; stroke-dasharray: 4 3; }
.box { fill: #fff; stroke: #5b4b9a; stroke-width: 1.5; }
.store { fill: #ece7fb; stroke: #5b4b9a; stroke-width: 1.5; }
.line { fill: none; stroke: #55555f; stroke-width: 1.5; }
.dashed { stroke-dasharray: 5 4; }
.tip { fill: #55555f; }
text { font: 13px sans-serif; fill: #22222a; text-anchor: middle; }
.strong { font-weight: bold; }
.small { font-size: 12px; fill: #55555f; }
.left { text-anchor: start; }
@media (prefers-color-scheme: dark) {
.paper { fill: #1e1e26; stroke: #3a3a46; }
.place { fill: #26243a; stroke: #5d558a; }
.box { fill: #2a2a34; stroke: #a99be6; }
.store { fill: #38306a; stroke: #a99be6; }
.line { stroke: #b4b4c0; }
.tip { fill: #b4b4c0; }
text { fill: #ececf2; }
.small { fill: #b4b4c0; }
}"""


class Picture:
    """An SVG that grows shape by shape. Coordinates are pixels from the upper left corner."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
            ' role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}\n</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
            ' orient="auto-start-reverse"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>',
            f'<rect class="paper" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
        ]

    def place(self, x: int, y: int, width: int, height: int, name: str) -> None:
        """A machine, a shard or a site, around what is in it."""
        self._parts.append(f'<rect class="place" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>')
        self.text(x + 10, y + 18, name, "small left")

    def box(self, x: int, y: int, width: int, height: int, *lines: str, kind: str = "box") -> None:
        """A program (`box`) or a server that keeps data (`store`); the first line is its name."""
        self._parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>')
        top = y + height / 2 - 9 * (len(lines) - 1) + 4
        for number, line in enumerate(lines):
            self.text(x + width / 2, top + 18 * number, line, "" if number else "strong")

    def text(self, x: float, y: float, text: str, kind: str = "small") -> None:
        """A line of text; its middle is at x, or with the kind `left` its beginning."""
        self._parts.append(f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>')

    def arrow(self, *points: tuple[int, int], dashed: bool = False, both: bool = False) -> None:
        """A line through points, with a tip at its end, or at both."""
        path = " ".join(f"{'L' if number else 'M'}{x} {y}" for number, (x, y) in enumerate(points))
        start = ' marker-start="url(#tip)"' if both else ""
        kind = "line dashed" if dashed else "line"
        self._parts.append(f'<path class="{kind}" d="{path}"{start} marker-end="url(#tip)"/>')

    def svg(self) -> str:
        """The text of the file."""
        return "\n".join([*self._parts, "</svg>\n"])


def rome() -> Picture:
    """Where SQL runs, and what goes to the store."""
    picture = Picture(720, 330, "Rome runs SQL in each application, on rows from one key/value store")
    for number, x in enumerate((20, 255, 490), 1):
        picture.place(x, 16, 210, 138, f"application server {number}")
        picture.box(x + 20, 46, 170, 34, "SQLAlchemy")
        picture.box(x + 20, 96, 170, 44, "Rome", "SQLite in memory")
        picture.arrow((x + 105, 80), (x + 105, 95))
    picture.arrow((125, 140), (125, 200), (250, 252), both=True)
    picture.arrow((360, 140), (360, 233), both=True)
    picture.arrow((595, 140), (595, 200), (470, 252), both=True)
    picture.text(240, 186, "a statement's rows: one trip")
    picture.text(478, 186, "COMMIT: one trip, all or nothing")
    picture.box(
        251,
        234,
        218,
        70,
        "Redis, Valkey, etcd, LMDB",
        "rows, indexes, and what was",
        "replaced, for a minute",
        kind="store",
    )
    picture.box(560, 250, 130, 38, "replicas", kind="store")
    picture.arrow((470, 270), (559, 270), dashed=True)
    return picture


def rack() -> Picture:
    """A primary, two replicas, three Sentinels."""
    picture = Picture(720, 270, "Three machines with an application, a server and a Sentinel each")
    servers = (("machine A", "primary"), ("machine B", "replica"), ("machine C", "replica"))
    for number, (machine, server) in enumerate(servers):
        x = 20 + 235 * number
        picture.place(x, 16, 210, 236, machine)
        picture.box(x + 20, 44, 170, 34, "application")
        picture.box(x + 20, 142, 170, 34, server, kind="store")
        picture.box(x + 20, 204, 170, 34, "Sentinel")
    picture.arrow((125, 78), (125, 141), both=True)
    picture.arrow((340, 78), (180, 141), both=True)
    picture.arrow((575, 78), (196, 150), both=True)
    picture.text(470, 124, "reads and commits")
    picture.arrow((210, 159), (274, 159), dashed=True)
    picture.arrow((125, 176), (125, 190), (595, 190), (595, 177), dashed=True)
    picture.text(242, 185, "replicates")
    return picture


def cells() -> Picture:
    """Nova's databases on the shards of a cluster."""
    picture = Picture(720, 230, "Each cell's database is on a shard of its own")
    shards = (
        ("shard 1", ("nova-api, scheduler,", "Placement"), ("nova_api, cell0,", "placement")),
        ("shard 2", ("conductors of cell 1",), ("nova_cell1",)),
        ("shard 3", ("conductors of cell 2",), ("nova_cell2",)),
    )
    for number, (shard, clients, databases) in enumerate(shards):
        x = 20 + 235 * number
        picture.box(x + 10, 16, 190, 44, *clients)
        picture.place(x, 84, 210, 130, shard)
        picture.box(x + 10, 112, 190, 44, *databases, kind="store")
        picture.box(x + 40, 174, 130, 30, "replicas", kind="store")
        picture.arrow((x + 105, 60), (x + 105, 111), both=True)
        picture.arrow((x + 105, 156), (x + 105, 173), dashed=True)
    return picture


def sites() -> Picture:
    """etcd at three sites."""
    picture = Picture(720, 230, "An etcd member at each of three sites")
    for number, (site, client, member) in enumerate(
        (
            ("site 1", "services that write", "member, leader"),
            ("site 2", "services that read", "member"),
            ("site 3", "", "member"),
        )
    ):
        x = 20 + 235 * number
        picture.place(x, 16, 210, 150, site)
        if client:
            picture.box(x + 20, 44, 170, 34, client)
            picture.arrow((x + 105, 78), (x + 105, 115), both=True)
        picture.box(x + 20, 116, 170, 34, member, kind="store")
    picture.arrow((210, 133), (274, 133), both=True, dashed=True)
    picture.arrow((445, 133), (509, 133), both=True, dashed=True)
    picture.arrow((125, 150), (125, 190), (595, 190), (595, 151), both=True, dashed=True)
    picture.text(360, 210, "consensus: a commit waits until a majority has it on disk")
    return picture


def near() -> Picture:
    """Redis with a replica at another site."""
    picture = Picture(720, 220, "The main site's primary, and a replica at another site")
    picture.place(20, 16, 320, 188, "main site")
    picture.place(450, 16, 250, 188, "another site")
    picture.box(40, 44, 150, 34, "application")
    picture.box(40, 142, 150, 34, "primary", kind="store")
    picture.box(220, 142, 100, 34, "replica", kind="store")
    picture.box(490, 44, 170, 34, "application")
    picture.box(490, 142, 170, 34, "replica", kind="store")
    picture.arrow((115, 78), (115, 141), both=True)
    picture.arrow((190, 159), (219, 159), dashed=True)
    picture.arrow((575, 78), (575, 141), both=True)
    picture.text(606, 112, "reads")
    picture.arrow((490, 62), (160, 141), both=True)
    picture.text(396, 106, "commits")
    picture.arrow((115, 176), (115, 190), (575, 190), (575, 177), dashed=True)
    picture.text(396, 184, "replicates")
    return picture


PICTURES: dict[str, Callable[[], Picture]] = {"rome": rome, "rack": rack, "cells": cells, "sites": sites, "near": near}


def main(folder: Path = FOLDER) -> None:
    """Write all pictures."""
    for name, draw in PICTURES.items():
        (folder / f"{name}.svg").write_text(draw().svg())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
