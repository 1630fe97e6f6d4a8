"""Many servers, users and projects from one of each, in MariaDB itself: INSERT .. SELECT from its rows and a sequence.

What one row and its copies differ in is made from the sequence's number by SQL; the rest is as the services wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Engine, inspect

DOMAIN = "default"
PROJECTS_PER_SERVER, USERS_PER_SERVER = 0.1, 0.2


def _uuid(salt: str = "", *, of: str = "seq") -> str:
    """An expression: a UUID that belongs to a number."""
    digest = f"MD5(CONCAT('{salt}', {of}))"
    parts = (
        f"SUBSTR({digest}, 1, 8)",
        f"SUBSTR({digest}, 9, 4)",
        f"CONCAT('4', SUBSTR({digest}, 14, 3))",
        f"CONCAT('8', SUBSTR({digest}, 18, 3))",
        f"SUBSTR({digest}, 21, 12)",
    )
    return f"CONCAT_WS('-', {', '.join(parts)})"


_SERVER = _uuid()
_HEX = "MD5(CONCAT('{}', {}))"
_NAMES = "CONCAT(ELT(1 + seq MOD 5, 'web-', 'größe-', 'サーバー ', 'сервер', 'a_b%'), seq)"
_TIME = "'2024-02-29 23:59:59' + INTERVAL seq * 37 SECOND"
_IS_DELETED = "seq MOD 10 = 3"


def servers(cell: Engine, api: Engine, count: int) -> None:
    """Copies of the one server of Nova's, with all that belongs to it; every tenth is soft-deleted."""
    projects, users = (max(1, int(count * share)) for share in (PROJECTS_PER_SERVER, USERS_PER_SERVER))
    owner = {
        "project_id": f"IF(seq <= 150, project_id, {_HEX.format('project', f'seq MOD {projects}')})",
        "user_id": _HEX.format("user", f"seq MOD {users}"),
    }
    belongs = {"instance_uuid": _SERVER}
    deleted = {
        "deleted": f"IF({_IS_DELETED}, id + seq, 0)",
        "deleted_at": f"IF({_IS_DELETED}, {_TIME} + INTERVAL 1 DAY, NULL)",
        "created_at": _TIME,
        "updated_at": f"IF(seq MOD 3, {_TIME} + INTERVAL 1 HOUR, NULL)",
    }
    tables: dict[str, Mapping[str, str]] = {
        "instances": {
            **owner,
            **deleted,
            "uuid": _SERVER,
            "display_name": _NAMES,
            "hostname": "CONCAT('host-', seq)",
            "host": "IF(seq MOD 100 = 99, NULL, CONCAT('compute-', seq MOD 500))",
            "node": "IF(seq MOD 100 = 99, NULL, CONCAT('compute-', seq MOD 500))",
            "vm_state": f"IF({_IS_DELETED}, 'deleted', ELT(1 + seq MOD 4, 'active', 'stopped', 'error', 'active'))",
            "task_state": "ELT(1 + seq MOD 40, 'rebooting', 'migrating')",
            "reservation_id": "CONCAT('r-', LPAD(LOWER(HEX(seq DIV 3)), 8, '0'))",
            "locked": "seq MOD 50 = 7",
            "locked_by": "IF(seq MOD 50 = 7, ELT(1 + seq MOD 2, 'owner', 'admin'), NULL)",
            "launched_at": f"{_TIME} + INTERVAL 1 MINUTE",
            "terminated_at": f"IF({_IS_DELETED}, {_TIME} + INTERVAL 1 DAY, NULL)",
            "user_data": "IF(seq MOD 4, user_data, IF(seq MOD 1000, NULL, REPEAT(user_data, 100)))",
            "compute_id": "IF(seq = 5, 9223372036854775807, compute_id)",
        },
        "instance_extra": {**belongs, **deleted},
        "instance_info_caches": {
            **belongs,
            **deleted,
            "network_info": "REPLACE(network_info, '10.0.0.7', CONCAT('10.1.', seq DIV 250, '.', seq MOD 250))",
        },
        "instance_system_metadata": {**belongs, **deleted},
        "instance_metadata": {**belongs, **deleted},
        "block_device_mapping": {**belongs, **deleted, "uuid": _uuid("volume"), "volume_id": _uuid("volume id")},
        "instance_actions": {**belongs, "request_id": "CONCAT('req-', " + _uuid("request") + ")", **owner},
        "tags": {"resource_id": _SERVER},
        "virtual_interfaces": {**belongs, "uuid": _uuid("port"), "address": "CONCAT('fa:16:3e:', seq)"},
    }
    with cell.begin() as connection:
        for table, values in tables.items():
            _multiply(connection, table, count, values)
        _multiply(connection, "instance_faults", count // 10, {"instance_uuid": _uuid(of="seq * 7")})
        connection.exec_driver_sql(
            "INSERT INTO instance_actions_events (created_at, event, action_id, start_time, result, host, details) "
            "SELECT a.created_at, e.event, a.id, e.start_time, 'Success', 'compute-7', NULL "
            "FROM instance_actions a, instance_actions_events e WHERE a.id <> e.action_id"
        )
    with api.begin() as connection:
        _multiply(connection, "instance_mappings", count, {**belongs, **owner})
        _multiply(connection, "request_specs", count, belongs)


def users(keystone: Engine, count: int) -> None:
    """Copies of Keystone's administrator and its project: for each, a user with a password, roles in two projects."""
    projects, people = (max(1, int(count * share)) for share in (PROJECTS_PER_SERVER, USERS_PER_SERVER))
    user, project = _HEX.format("user", "seq"), _HEX.format("project", f"seq MOD {projects}")
    with keystone.begin() as connection:
        _multiply(
            connection,
            "project",
            projects,
            {
                "id": _HEX.format("project", "seq MOD 1000000"),
                "name": "CONCAT(ELT(1 + seq MOD 3, 'projet é ', 'проект ', 'p'), seq)",
                "description": "IF(seq MOD 5, REPEAT('größe ', seq MOD 50), NULL)",
                "enabled": "seq MOD 20 <> 1",
                "parent_id": "IF(seq MOD 4, parent_id, id)",
            },
            where="name = 'admin'",
        )
        made = {
            "user": {
                "id": user,
                "extra": 'IF(seq MOD 2, extra, \'{"email": "é@x"}\')',
                "last_active_at": "'2025-12-31' - INTERVAL seq MOD 400 DAY",
            },
            "local_user": {
                "user_id": user,
                "name": "CONCAT('usér ', seq)",
                "failed_auth_at": "IF(seq MOD 9, NULL, '2025-01-01')",
            },
            "assignment": {"actor_id": user, "target_id": project},
        }
        for table, values in made.items():
            _multiply(connection, table, people, values)
        # An ENUM in the primary key, whose order is not that of its texts.
        for kind, salt in (("GroupProject", "group"), ("UserDomain", "other"), ("GroupDomain", "third")):
            connection.exec_driver_sql(
                f"INSERT INTO assignment SELECT '{kind}', MD5(CONCAT('{salt}', seq)), target_id, role_id, seq MOD 2 "
                f"FROM (SELECT * FROM assignment ORDER BY actor_id LIMIT 1) AS one, seq_1_to_{people}"
            )
        connection.exec_driver_sql(
            "INSERT INTO password (local_user_id, self_service, password_hash, created_at_int, created_at) "
            "SELECT local_user.id, 1, one.password_hash, one.created_at_int + local_user.id, one.created_at "
            "FROM local_user, (SELECT * FROM password LIMIT 1) AS one WHERE local_user.id <> one.local_user_id"
        )


def _multiply(connection: Connection, table: str, count: int, values: Mapping[str, str], where: str = "TRUE") -> None:
    """Add `count` copies of a table's rows, with these columns by expressions over `seq`; ids are new."""
    if not count:
        return
    named = [
        column["name"]
        for column in inspect(connection).get_columns(table)
        if column["name"] in values or column.get("autoincrement") is not True
    ]
    columns = ", ".join(f"`{name}`" for name in named)
    expressions = ", ".join(values.get(name, f"`{name}`") for name in named)
    connection.exec_driver_sql(
        f"INSERT INTO `{table}` ({columns}) SELECT {expressions} "
        f"FROM (SELECT * FROM `{table}` WHERE {where}) AS one, seq_1_to_{count}".replace("%", "%%")
    )
