"""The graph of dependencies: which transaction must come before which, and why; and its cycles.

A history is serializable if the graph of what was read and written has no cycle; strictly so if there is none either
when the edges of real time are added (Adya 1999; Kingsbury and Alvaro 2020). It is one of snapshot isolation if every
cycle has two adjacent anti-dependencies (Fekete et al. 2005; Cerone and Gotsman 2016), and of read committed if no
cycle consists of writes and reads-from alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from itertools import pairwise
from typing import NamedTuple

import rustworkx

from rome.testing.isolation.anomalies import AnomalyKind, Order


class Dependency(Enum):
    """Why one transaction comes before another. If several reasons apply, the first one in this order is used."""

    WW = "wrote over"
    WR = "read what was written"
    RW = "read what was then overwritten"
    PREDICATE_RW = "did not find what was then inserted"
    PROCESS = "ran before in the same process"
    REALTIME = "had ended before the other began"


class Edge(NamedTuple):
    """One dependency.

    Attributes:
        before, after: places in the history.
        old, new: the versions of `key` that the two have to do with. An old one without a new one: it was removed.
    """

    before: int
    after: int
    why: Dependency
    key: int = 0
    old: int | None = None
    new: int | None = None


Cycle = tuple[Edge, ...]

_ANTI = frozenset({Dependency.RW, Dependency.PREDICATE_RW})
_TIMES = frozenset({Dependency.PROCESS, Dependency.REALTIME})
_FLOW = frozenset({Dependency.WW, Dependency.WR})
_ORDERS: tuple[frozenset[Dependency], ...] = (frozenset(), frozenset({Dependency.PROCESS}), _TIMES)

_NAMED_ORDERS = ((Dependency.REALTIME, Order.REALTIME), (Dependency.PROCESS, Order.PROCESS))

_TRIES = 100
"""How many edges of a tangle are tried to find a short cycle, since a tangle can have a million."""


def find_cycles(edges: Iterable[Edge]) -> Iterator[tuple[AnomalyKind, Order, Cycle]]:
    """One short cycle for every tangle (strongly connected component) of every kind of graph.

    If nothing is yielded, the whole graph has no cycle. Nothing that a level forbids is missed, since each level
    forbids all cycles of one of the graphs that are searched: writes; writes and reads; all in which no two
    anti-dependencies are adjacent; all. Each is searched first without the order of time, then with it.

    Cost: O(transactions + edges) if there is no cycle.
    """
    found: set[frozenset[int]] = set()
    for tangle in _tangles(list(edges), frozenset(Dependency)):
        for search in (_without_anti({Dependency.WW}), _without_anti(_FLOW), _single, _nonadjacent, _any):
            for times in _ORDERS:
                for cycle in search(tangle, times):
                    members = frozenset(edge.before for edge in cycle)
                    if members not in found:
                        found.add(members)
                        yield *classify(cycle), cycle


def classify(cycle: Cycle) -> tuple[AnomalyKind, Order]:
    """The kind of a cycle, by the edges in it."""
    why = [edge.why for edge in cycle]
    anti = [reason in _ANTI for reason in why]
    order = next((order for needs, order in _NAMED_ORDERS if needs in why), Order.NONE)
    if not any(anti):
        return (AnomalyKind.G1C if Dependency.WR in why else AnomalyKind.G0), order
    if anti.count(True) == 1:
        if why[anti.index(True) - 1] in _TIMES:
            return AnomalyKind.STALE_READ, order
        lost = len(cycle) == 2 and Dependency.WW in why and cycle[0].key == cycle[1].key
        return (AnomalyKind.LOST_UPDATE if lost else AnomalyKind.G_SINGLE), order
    if not any(one and other for one, other in pairwise((*anti, anti[0]))):
        return AnomalyKind.G_NONADJACENT, order
    return (AnomalyKind.G2 if Dependency.PREDICATE_RW in why else AnomalyKind.G2_ITEM), order


def _tangles(edges: Sequence[Edge], kinds: frozenset[Dependency]) -> list[list[Edge]]:
    """The edges inside each strongly connected component of more than one transaction."""
    chosen = [edge for edge in edges if edge.why in kinds]
    numbers = {place: number for number, place in enumerate({p for edge in chosen for p in edge[:2]})}
    graph: rustworkx.PyDiGraph[int, None] = rustworkx.PyDiGraph()
    graph.add_nodes_from(list(numbers))
    graph.add_edges_from_no_data([(numbers[edge.before], numbers[edge.after]) for edge in chosen])
    component: dict[int, int] = {}
    for which, members in enumerate(rustworkx.strongly_connected_components(graph)):
        if len(members) > 1:
            component.update((graph[member], which) for member in members)
    inside: dict[int, list[Edge]] = {}
    for edge in chosen:
        place = component.get(edge.before)
        if place is not None and place == component.get(edge.after):
            inside.setdefault(place, []).append(edge)
    return list(inside.values())


class _Paths:
    """Shortest paths over some of the edges. If several edges join the same two, the strongest reason is kept."""

    def __init__(self, edges: Iterable[Edge]) -> None:
        self._edges: dict[tuple[int, int], Edge] = {}
        strength = list(Dependency).index
        for edge in edges:
            known = self._edges.get(edge[:2])
            if known is None or strength(edge.why) < strength(known.why):
                self._edges[edge[:2]] = edge
        self._graph: rustworkx.PyDiGraph[None, None] = rustworkx.PyDiGraph()
        self._graph.extend_from_edge_list(list(self._edges))

    def back(self, edge: Edge) -> Cycle | None:
        """The shortest cycle that begins with `edge`, which need not be one of these edges."""
        if max(edge.before, edge.after) >= len(self._graph):
            return None
        paths = rustworkx.digraph_dijkstra_shortest_paths(self._graph, edge.after, edge.before)
        if edge.before not in paths:
            return None
        return edge, *(self._edges[step] for step in pairwise(paths[edge.before]))

    def shortest(self, starts: Sequence[Edge]) -> Cycle | None:
        """The shortest of the cycles through one of `starts`."""
        cycles = (self.back(edge) for edge in starts[:_TRIES])
        return min((cycle for cycle in cycles if cycle is not None), key=len, default=None)


def _renumbered(edges: Sequence[Edge]) -> tuple[list[Edge], list[int]]:
    """The same edges with places 0, 1, 2.., and the original place of each: a graph has a node for each number."""
    places = sorted({place for edge in edges for place in edge[:2]})
    numbers = {place: number for number, place in enumerate(places)}
    return [e._replace(before=numbers[e.before], after=numbers[e.after]) for e in edges], places


def _restored(cycle: Cycle | None, places: Sequence[int]) -> list[Cycle]:
    if cycle is None:
        return []
    return [tuple(edge._replace(before=places[edge.before], after=places[edge.after]) for edge in cycle)]


_Search = Callable[[Sequence[Edge], frozenset[Dependency]], list[Cycle]]


def _without_anti(flow: Iterable[Dependency]) -> _Search:
    wanted = frozenset(flow)

    def search(tangle: Sequence[Edge], times: frozenset[Dependency]) -> list[Cycle]:
        cycles: list[Cycle] = []
        for inside in _tangles(tangle, wanted | times):
            edges, places = _renumbered(inside)
            starts = [edge for edge in edges if edge.why not in times]
            cycles += _restored(_Paths(edges).shortest(starts), places)
        return cycles

    return search


def _single(tangle: Sequence[Edge], times: frozenset[Dependency]) -> list[Cycle]:
    """Cycles with one anti-dependency."""
    edges, places = _renumbered(tangle)
    paths = _Paths(edge for edge in edges if edge.why in _FLOW | times)
    return _restored(paths.shortest([edge for edge in edges if edge.why in _ANTI]), places)


def _nonadjacent(tangle: Sequence[Edge], times: frozenset[Dependency]) -> list[Cycle]:
    """Cycles in which no two anti-dependencies are adjacent.

    The graph that is searched has each transaction twice: reached by an anti-dependency, or not. An anti-dependency
    leads only out of the second.
    """
    twice: list[Edge] = []
    for edge in tangle:
        before, after = 2 * edge.before, 2 * edge.after
        if edge.why in _ANTI:
            twice.append(edge._replace(before=before, after=after + 1))
        elif edge.why in _FLOW | times:
            twice += [edge._replace(before=before, after=after), edge._replace(before=before + 1, after=after)]
    cycles: list[Cycle] = []
    for inside in _tangles(twice, frozenset(Dependency)):
        edges, places = _renumbered(inside)
        places = [place // 2 for place in places]
        cycles += _restored(_Paths(edges).shortest(edges), places)
    return cycles


def _any(tangle: Sequence[Edge], times: frozenset[Dependency]) -> list[Cycle]:
    cycles: list[Cycle] = []
    for inside in _tangles(tangle, _FLOW | _ANTI | times):
        edges, places = _renumbered(inside)
        starts = [edge for edge in edges if edge.why in _ANTI]
        cycles += _restored(_Paths(edges).shortest(starts), places)
    return cycles
