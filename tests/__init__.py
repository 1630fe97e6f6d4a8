"""The tests. The folders mirror `src/rome`: what `src/rome/codec/keys.py` does is tested by `tests/codec/test_keys.py`.

Beside them stand folders that look at all of Rome from one side:

- `conformance`: what every store promises, on every store;
- `dialect`, `openstack`: the suites of SQLAlchemy, Alembic and OpenStack's services;
- `docs`: what README and the pages below docs/ show and list is so;
- `faults`, `interruptions`, `races`: what breaks, what comes in between, and who comes at the same time;
- `formats`: databases that earlier versions stored;
- `fuzz`, `slt`: Rome beside stock SQLite, by search and by sqllogictest files;
- `isolation`: the checker of isolation levels, and its cases;
- `values`: every value, type and name goes in and comes out;
- `bench`: the benchmark's arithmetic, and the number of calls that a statement makes;
- `support`: what the tests of several folders share.
"""
