"""The commands of Nova and Keystone on the databases of one server, in environments of their own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from romekit.environment import ROOT

PASSWORD = "sécret"
DATABASES = ("nova_api", "nova_cell0", "nova", "keystone")
USERS = ("admin", "usér 1", "usér 2", "usér 7")


def has_keystone() -> bool:
    """Whether Keystone's environment is there; `make .demo/keystone/venv/ready` makes it."""
    return (ROOT / "keystone/venv/bin/keystone-manage").exists()


class Services:
    """The services with their databases at one place.

    Args:
        place: a URL with {db} for the name of a database.
        folder: for configuration files.
    """

    def __init__(self, place: str, folder: Path) -> None:
        self._place, self._folder = place, folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._nova = folder / "nova.conf"
        self._nova.write_text(
            "[DEFAULT]\ntransport_url = fake:/\ndebug = false\n"
            f"[api_database]\nconnection = {self.url('nova_api')}\n[database]\nconnection = {self.url('nova')}\n"
        )
        keys = folder / "keys"
        keys.mkdir(exist_ok=True)
        for name in "01":
            (keys / name).write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
        self._keystone = folder / "keystone.conf"
        repositories = ("fernet_tokens", "fernet_receipts", "credential")
        self._keystone.write_text(
            f"[database]\nconnection = {self.url('keystone')}\n"
            + "".join(f"[{section}]\nkey_repository = {keys}\n" for section in repositories)
        )

    def url(self, database: str) -> str:
        """The URL of one of the databases."""
        return self._place.replace("{db}", database)

    def migrate(self, databases: Sequence[str] = DATABASES) -> None:
        """Make the schemas by the services' own commands."""
        commands = {
            "nova_api": [["nova-manage", "api_db", "sync"]],
            "nova_cell0": [],
            "nova": [["nova-manage", "db", "sync", "--local_cell"]],
            "keystone": [["keystone-manage", "db_sync"]],
        }
        for database in databases:
            for command in commands[database]:
                self._manage(command)
        if "nova_cell0" in databases:
            place = self._nova.read_text()
            self._nova.write_text(place.replace(self.url("nova") + "\n", self.url("nova_cell0") + "\n"))
            self._manage(commands["nova"][0])
            self._nova.write_text(place)

    def make_one_of_each(self) -> None:
        """Cells, one server with all that belongs to it; an administrator and a project."""
        self._manage(["nova-manage", "cell_v2", "map_cell0", "--database_connection", self.url("nova_cell0")])
        self._manage(["nova-manage", "cell_v2", "create_cell", "--name", "cell1"])
        self._module("romekit.transfer.nova_objects", "make", str(self._nova))
        if has_keystone():
            self._manage(["keystone-manage", "bootstrap", "--bootstrap-password", PASSWORD])

    def move_cells_here(self) -> None:
        """Tell Nova where its cells are now, as somebody who has moved the databases does."""
        listed = self._manage(["nova-manage", "cell_v2", "list_cells", "--verbose"])
        for line in listed.splitlines():
            fields = [field.strip() for field in line.split("|")]
            if len(fields) > 3 and fields[1] in ("cell0", "cell1"):
                database = {"cell0": "nova_cell0", "cell1": "nova"}[fields[1]]
                moved = [
                    "--cell_uuid",
                    fields[2],
                    "--database_connection",
                    self.url(database),
                    "--transport-url",
                    "none:///" if database == "nova_cell0" else "fake:/",
                ]
                self._manage(["nova-manage", "cell_v2", "update_cell", *moved])

    def shown(self) -> dict[str, Any]:
        """What the services' own objects show."""
        found = {"nova": json.loads(self._module("romekit.transfer.nova_objects", "read", str(self._nova)))}
        if has_keystone():
            arguments = (str(self._keystone), "default", PASSWORD, *USERS)
            found["keystone"] = json.loads(
                self._module("romekit.transfer.keystone_objects", *arguments, python=ROOT / "keystone/venv/bin/python")
            )
        return found

    def _manage(self, command: Sequence[str]) -> str:
        program, *arguments = command
        is_nova = program == "nova-manage"
        place = ROOT / ("venv/bin" if is_nova else "keystone/venv/bin")
        return _run([str(place / program), "--config-file", str(self._nova if is_nova else self._keystone), *arguments])

    def _module(self, module: str, *arguments: str, python: Path | str = sys.executable) -> str:
        return _run([str(python), "-W", "ignore", "-m", module, *arguments])


def _run(command: Sequence[str]) -> str:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "OS_NOVA_DISABLE_EVENTLET_PATCHING": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout[-2_000:]}{done.stderr[-4_000:]}")
    return done.stdout
