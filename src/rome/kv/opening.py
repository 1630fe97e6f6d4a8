"""Open a database by its URL."""

from __future__ import annotations

from sqlalchemy.engine import URL

from rome.dbapi.abandoned import clean_up
from rome.dbapi.private import drop_after, private_name
from rome.dbapi.url import make_url, parse_url
from rome.errors import URLError
from rome.kv.database import KvDatabase
from rome.store.registry import store_class
from rome.store.spi import Store
from rome.transaction.read_set import Validation
from rome.transaction.totals import PRIVATE, DatabaseLabel

_CHECKS = {"SERIALIZABLE": Validation.ROWS, "SNAPSHOT": Validation.NOTHING}


def open(url: str | URL, **options: object) -> KvDatabase:
    """Open a database, and create it unless it exists.

    Args:
        url: as rome.connect and create_engine take it: rome+lmdb:///file, rome+redis://host/name, rome+memory://.
        options: more options, which override those of the URL. Of the engine's options these have an effect:
            isolation_level (SERIALIZABLE, or SNAPSHOT, also called REPEATABLE READ), max_commit_rows,
            max_commit_bytes, max_working_set, max_transaction_seconds and commit_turn.

    Raises:
        URLError: something in the URL is wrong, or it chooses another isolation level.
        StoreUnavailableError, AuthenticationError: the store cannot be reached, or refuses the user.

    Cost: one connection, and one round trip.
    """
    clean_up()
    parsed = make_url(url)
    private = private_name(parsed)
    if private is not None:
        parsed = parsed.set(database=private)
    location, chosen = parse_url(parsed, options)
    check = _CHECKS.get(chosen.isolation.value)
    if check is None:
        raise URLError(
            f"rome.kv has no isolation level {chosen.isolation.value}: a transaction has one snapshot. Give "
            "rome.kv.open isolation_level='SERIALIZABLE' or 'SNAPSHOT'"
        )

    def open_store() -> Store:
        store = store_class(location.scheme).open(location)
        store.max_transaction_s = chosen.max_transaction_seconds
        return store

    database = KvDatabase(
        open_store,
        check=check,
        limits=chosen.commit_limits,
        max_bytes=chosen.max_working_set,
        commit_turn=chosen.commit_turn,
        label=DatabaseLabel(location.scheme, location.database if private is None else PRIVATE),
    )
    if private is not None:
        drop_after(database, parsed)
    return database
