"""Open databases that exist. A connection creates its database; a command must not, or a typo would create one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import rome
from rome.dbapi.connection import Connection
from rome.dbapi.url import make_url
from rome.errors import OperationalError
from rome.store.spelling import did_you_mean


def check_exists(url: str) -> None:
    """Check that the database of a URL exists.

    Raises:
        OperationalError: it does not; the message suggests the name that is most similar. Or it is in another slot of
            the cluster than the URL says.
        URLError: the URL is wrong.
    """
    if not rome.database_exists(url):
        known, wanted = rome.list_databases(url), make_url(url).database or ""
        if wanted in known:
            raise OperationalError(
                f"database {wanted} is in another slot of the cluster: name it with the option slot, or without it, as "
                "when it was created; `rome doctor URL` shows the slot"
            )
        more = did_you_mean(wanted, known) or ("; `rome list URL` shows those that exist" if known else "")
        raise OperationalError(f"there is no database {wanted}{more}")


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection to a database that exists, for the time of the block.

    Raises:
        OperationalError: see check_exists.
    """
    check_exists(url)
    with closing(rome.connect(url)) as connection:
        yield connection
