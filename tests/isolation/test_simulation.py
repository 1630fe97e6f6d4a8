"""Whatever the order of steps, and whatever is lost on the way: no level is broken, and no commit applied twice."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rome.testing.isolation import check
from rome.testing.isolation.workloads import WORKLOADS
from tests.isolation.simulation import Event, Simulation, Step

LEVELS = ("SERIALIZABLE", "SNAPSHOT", "READ COMMITTED", "AUTOCOMMIT")
PROCESSES = 3

# Mostly plain steps, else nothing would ever be committed.
events = st.sampled_from([*[Event.RUN] * 12, *Event])
schedules = st.lists(st.tuples(st.integers(0, PROCESSES - 1), events), max_size=150)


@given(st.sampled_from(sorted(WORKLOADS)), st.sampled_from(LEVELS), schedules, st.integers(0, 999), st.integers(2, 5))
@settings(max_examples=150, deadline=None)
def test_no_schedule_breaks_a_level(workload: str, level: str, schedule: list[Step], seed: int, keys: int) -> None:
    history = Simulation(workload, level, processes=PROCESSES, keys=keys, seed=seed).run(schedule)
    verdict = check(history)
    assert verdict.valid, "\n".join(map(str, verdict.forbidden))
