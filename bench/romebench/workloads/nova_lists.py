"""Nova's own schema, objects and queries over many servers."""

from __future__ import annotations

import datetime as dt
import os
import time
from typing import Any

import sqlalchemy as sa
from romekit.databases import shorten_mysql_indexes
from sqlalchemy.pool import NullPool

from romebench import usage
from romebench.peers import tune_sqlite

_CHUNK = 1_000
_EPOCH = dt.datetime(2026, 1, 1)
PROJECT = "the project that is listed"


class NovaLists:
    """One cell database; runs in the peer's worker.

    The first servers belong to PROJECT and are complete: they have all the rows that a server can have.
    """

    def __init__(self, url: str, durable: bool) -> None:
        # Imported here, since only this process needs Nova, and the environment must be set before.
        os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "1"
        from nova import config, context, objects  # noqa: PLC0415
        from nova.db.main import api, models  # noqa: PLC0415

        tune_sqlite(durable=durable)
        config.parse_args(["romebench"], default_config_files=[], configure_db=False, init_rpc=False)
        config.CONF.set_override("connection", url, "database")
        api.configure(config.CONF)
        objects.register_all()
        self._api, self._models, self._objects = api, models, objects
        self._context = context.get_admin_context()
        self._engine: sa.Engine = api.get_engine()
        shorten_mysql_indexes(models.BASE.metadata)
        models.BASE.metadata.create_all(self._engine)

    def load(self, servers: int, complete: int, budget_s: float) -> int:
        """Insert servers, the first `complete` of them with their other rows; returns how many fitted in the budget."""
        tables = self._models.BASE.metadata.tables
        template = self._template()
        started = time.perf_counter()
        for start in range(1, servers + 1, _CHUNK):
            numbers = range(start, min(start + _CHUNK, servers + 1))
            with self._engine.begin() as connection:
                rows = [{**template, **_instance(number, number <= complete)} for number in numbers]
                connection.execute(sa.insert(tables["instances"]), rows)
            for name, make in _OTHERS.items():
                others = [row for number in numbers if number <= complete for row in make(_uuid(number))]
                if others:
                    with self._engine.begin() as connection:
                        connection.execute(sa.insert(tables[name]), others)
            if time.perf_counter() - started > budget_s:
                return numbers[-1]
        return servers

    def _template(self) -> dict[str, Any]:
        columns = self._models.BASE.metadata.tables["instances"].c
        return {column.name: None for column in columns if column.name not in ("id",)}

    def list(self) -> float:
        """Seconds that a detailed list of PROJECT's servers takes, as the API makes it."""
        started = time.perf_counter()
        found = self._objects.InstanceList.get_by_filters(
            self._context,
            {"project_id": PROJECT, "deleted": False},
            expected_attrs=["metadata", "system_metadata", "info_cache", "flavor", "numa_topology"],
            limit=_CHUNK,
        )
        seconds = time.perf_counter() - started
        assert len(found) == _CHUNK
        assert found[-1].flavor.vcpus == 1
        return seconds

    def rows(self) -> float:
        """Seconds until the driver alone, without SQLAlchemy, has delivered all columns of PROJECT's instances."""
        table = self._models.BASE.metadata.tables["instances"]
        query = sa.select(table).where(table.c.project_id == PROJECT)
        compiled = query.compile(self._engine, compile_kwargs={"render_postcompile": True})
        parameters: Any = compiled.params
        if compiled.positional:
            parameters = tuple(parameters[name] for name in compiled.positiontup or ())
        with self._engine.connect() as connection:
            dbapi_connection: Any = connection.connection.dbapi_connection
            cursor = dbapi_connection.cursor()
            started = time.perf_counter()
            cursor.execute(str(compiled), parameters)
            found = cursor.fetchall()
            seconds = time.perf_counter() - started
            cursor.close()
        assert len(found) == _CHUNK
        return seconds

    def open(self, count: int) -> float:
        """Seconds that opening a connection takes, as the mean of `count`."""
        engine = sa.create_engine(self._engine.url, poolclass=NullPool)
        opened = [engine.raw_connection()]  # SQLAlchemy asks the first one for the server's version
        started = time.perf_counter()
        opened += [engine.raw_connection() for _ in range(count)]
        seconds = time.perf_counter() - started
        for connection in opened:
            connection.close()
        return seconds / count

    def held(self, count: int) -> float:
        """Bytes that a connection that has read a row of each table takes in the client, as the mean of `count`.

        Only the first call's answer counts: later connections use the memory that earlier ones have freed.
        """
        engine = sa.create_engine(self._engine.url, poolclass=NullPool)
        queries = [sa.select(table).limit(1) for table in self._models.BASE.metadata.sorted_tables]
        opened: list[sa.Connection] = []

        def open_one() -> None:
            connection = engine.connect()
            opened.append(connection)
            for query in queries:
                connection.execute(query).all()
            connection.rollback()

        open_one()  # loads what all connections share
        before = usage.memory_bytes(os.getpid())
        for _ in range(count):
            open_one()
        taken = usage.memory_bytes(os.getpid()) - before
        for connection in opened:
            connection.close()
        return taken / count

    def page(self, number: int, size: int) -> float:
        """Seconds that Nova's own query for a page of all servers takes, by its marker."""
        started = time.perf_counter()
        found = self._api.instance_get_all_by_filters_sort(
            self._context,
            {"deleted": False},
            limit=size,
            marker=_uuid((number - 1) * size) if number > 1 else None,
            columns_to_join=[],
            sort_keys=["created_at", "id"],
            sort_dirs=["asc", "asc"],
        )
        seconds = time.perf_counter() - started
        assert len(found) == size
        assert found[0]["uuid"] == _uuid((number - 1) * size + 1)
        return seconds


def _uuid(number: int) -> str:
    return f"{number:08x}-1234-4321-abcd-{number:012x}"


def _instance(number: int, listed: bool) -> dict[str, Any]:
    return {
        "uuid": _uuid(number),
        "created_at": _EPOCH + dt.timedelta(seconds=number),
        "updated_at": _EPOCH + dt.timedelta(seconds=number),
        "launched_at": _EPOCH + dt.timedelta(seconds=number),
        "deleted": 0,
        "user_id": "fake",
        "project_id": PROJECT if listed else "another project",
        "image_ref": "155d900f-4e14-4e4c-a73d-069cbf4541e6",
        "vm_state": "active",
        "power_state": 1,
        "memory_mb": 512,
        "vcpus": 1,
        "root_gb": 1,
        "ephemeral_gb": 0,
        "hostname": f"server-{number}",
        "host": f"host{number % 100}",
        "node": f"host{number % 100}",
        "compute_id": 1 + number % 100,
        "reservation_id": f"r-{number:08x}",
        "launch_index": 0,
        "display_name": f"server {number}",
        "display_description": f"server {number}",
        "availability_zone": "nova",
        "root_device_name": "/dev/sda",
        "progress": 0,
        "auto_disk_config": True,
        "cleaned": 0,
        "hidden": False,
    }


_FLAVOR = """{"cur": {"nova_object.name": "Flavor", "nova_object.namespace": "nova", "nova_object.version": "1.2",
 "nova_object.data": {"id": 1, "name": "m1.tiny", "memory_mb": 512, "vcpus": 1, "root_gb": 1, "ephemeral_gb": 0,
 "flavorid": "1", "swap": 0, "rxtx_factor": 1.0, "vcpu_weight": 0, "disabled": false, "is_public": true,
 "extra_specs": {}, "description": null, "created_at": null, "updated_at": null, "deleted_at": null,
 "deleted": false}}, "old": null, "new": null}"""


def _info_cache(uuid: str) -> list[dict[str, Any]]:
    return [{"instance_uuid": uuid, "network_info": "[]", "created_at": _EPOCH, "deleted": 0}]


def _extra(uuid: str) -> list[dict[str, Any]]:
    return [{"instance_uuid": uuid, "flavor": _FLAVOR, "created_at": _EPOCH, "deleted": 0}]


def _metadata(uuid: str) -> list[dict[str, Any]]:
    return [{"instance_uuid": uuid, "key": "role", "value": "web", "created_at": _EPOCH, "deleted": 0}]


def _system_metadata(uuid: str) -> list[dict[str, Any]]:
    names = ("image_min_ram", "image_min_disk", "image_container_format", "image_disk_format", "boot_roles")
    return [
        {"instance_uuid": uuid, "key": name, "value": "reader,member", "created_at": _EPOCH, "deleted": 0}
        for name in names
    ]


_OTHERS = {
    "instance_info_caches": _info_cache,
    "instance_extra": _extra,
    "instance_metadata": _metadata,
    "instance_system_metadata": _system_metadata,
}
