"""How each peer looks in a chart: Rome's lines have one hue and are heavier; the others are cooler and thin."""

from __future__ import annotations

from dataclasses import dataclass

from romebench.peers import TITLES
from romebench.sites.placings import PLACINGS


@dataclass(frozen=True, slots=True)
class Look:
    """A colour that can be told from black and from white paper, a line's dashes and its width in points."""

    title: str
    colour: str
    dashes: str
    width: float

    @property
    def strong(self) -> bool:
        """Whether it is Rome's."""
        return self.width > 2


_ROME = ("#e0402f", "#c2574a", "#f08a5d", "#a8443c", "#d9736b", "#f2a07b")
_OTHER = ("#3a78b5", "#7d8fa6", "#3d8b83", "#8a8f98", "#6a86c9")
_DASHES = ("-", "--", ":", "-.")


def _looks(titles: dict[str, str], romes: set[str]) -> dict[str, Look]:
    found = {}
    count = {True: 0, False: 0}
    for key, title in titles.items():
        rome = key in romes
        number, colours = count[rome], _ROME if rome else _OTHER
        count[rome] += 1
        found[key] = Look(title, colours[number % len(colours)], _DASHES[number % 4], 2.4 if rome else 1.2)
    return found


LOOKS = _looks(TITLES, {key for key in TITLES if key.startswith("rome-")})
SITE_LOOKS = _looks(
    {placing.key: placing.title for placing in PLACINGS},
    {placing.key for placing in PLACINGS if placing.title.startswith("Rome")},
)
