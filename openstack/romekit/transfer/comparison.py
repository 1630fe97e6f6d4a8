"""Compare two databases of MariaDB's without Rome's code: rows one by one, schemas and checksums by the server."""

from __future__ import annotations

import re
from itertools import zip_longest

import pymysql
import pymysql.cursors

_BOOKKEEPING = re.compile(r" AUTO_INCREMENT=\d+")


class Comparison:
    """Two databases of one server."""

    def __init__(self, host: str, port: int, one: str, other: str) -> None:
        self._host, self._port = host, port
        self._one, self._other = one, other

    def rows(self) -> int:
        """Compare all rows of all tables, in the order of their primary keys; returns how many there are.

        Raises:
            AssertionError: a table is missing, or a row differs.
        """
        total = 0
        with self._connect(self._one) as one, self._connect(self._other) as other:
            tables = self._tables(one)
            assert tables == self._tables(other), (tables, self._tables(other))
            for table in tables:
                columns, key = self._columns(one, table)
                listed = ", ".join(f"`{column}`" for column in columns)
                order = ", ".join(f"CAST(`{column}` AS BINARY)" if texts else f"`{column}`" for column, texts in key)
                query = f"SELECT {listed} FROM `{table}` ORDER BY {order or listed}"
                with one.cursor(pymysql.cursors.SSCursor) as left, other.cursor(pymysql.cursors.SSCursor) as right:
                    left.execute(query)
                    right.execute(query)
                    for was, now in zip_longest(left, right):
                        assert was == now, f"{table}: {was} became {now}"
                        total += 1
        return total

    def exactly(self) -> int:
        """Compare the statements that make the tables, and the server's own checksums of them; returns how many tables.

        Raises:
            AssertionError: something differs.
        """
        with self._connect(self._one) as one, self._connect(self._other) as other:
            tables = self._tables(one)
            for table in tables:
                was, now = self._exact(one, table), self._exact(other, table)
                assert was == now, f"{table}: {was} became {now}"
            return len(tables)

    def _connect(self, database: str) -> pymysql.Connection:
        options = {"init_command": "SET time_zone = '+00:00'", "charset": "utf8mb4", "read_timeout": 600}
        return pymysql.connect(host=self._host, port=self._port, user="root", database=database, **options)

    @staticmethod
    def _tables(connection: pymysql.Connection) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SHOW TABLES")
            return sorted(str(name) for (name,) in cursor.fetchall())

    @staticmethod
    def _columns(connection: pymysql.Connection, table: str) -> tuple[list[str], list[tuple[str, bool]]]:
        with connection.cursor() as cursor:
            cursor.execute(f"SHOW COLUMNS FROM `{table}`")
            columns = [str(row[0]) for row in cursor.fetchall()]
            cursor.execute(
                "SELECT column_name, data_type NOT LIKE '%%int' FROM information_schema.columns WHERE table_schema = "
                "DATABASE() AND table_name = %s AND column_key = 'PRI' ORDER BY ordinal_position",
                [table],
            )
            return columns, [(str(name), bool(texts)) for name, texts in cursor.fetchall()]

    @staticmethod
    def _exact(connection: pymysql.Connection, table: str) -> tuple[list[str], object]:
        """The lines of the table's statement, sorted, since migrations make indexes in any order; and its checksum."""
        with connection.cursor() as cursor:
            cursor.execute(f"SHOW CREATE TABLE `{table}`")
            [(_, text)] = cursor.fetchall()
            cursor.execute(f"CHECKSUM TABLE `{table}` EXTENDED")
            [(_, checksum)] = cursor.fetchall()
            return sorted(line.rstrip(",") for line in _BOOKKEEPING.sub("", str(text)).splitlines()), checksum
