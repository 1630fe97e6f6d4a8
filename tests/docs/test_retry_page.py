"""The blocks of docs/retry.md run as they stand."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

import rome
from rome import errors

PAGE = (Path(__file__).parents[2] / "docs" / "retry.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


class Base(DeclarativeBase): ...


class Server(Base):
    __tablename__ = "servers"
    name: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]


class App:
    """In place of Flask, FastAPI and Celery: a decorator that keeps the function."""

    def post(self, _path: str) -> Any:
        return lambda function: function

    def task(self, **_options: object) -> Any:
        return lambda function: function


@pytest.fixture
def names(engine: sa.Engine) -> dict[str, Any]:
    """What the blocks take for granted."""
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Server(name="web-1", state="FREE")])
        session.commit()

    def take(session: Session, name: str) -> str:
        server = session.get_one(Server, name)
        server.state = "TAKEN"
        return server.state

    app = App()
    return {
        "engine": engine,
        "Server": Server,
        "rome": rome,
        "sa": sa,
        "Session": Session,
        "take": take,
        "app": app,
        "celery": app,
        "make_session": sessionmaker(engine),
    }


def test_blocks(names: dict[str, Any]) -> None:
    shown = []
    for block in BLOCKS:
        exec(block, names)
        if "def reserve_server" in block:
            shown.append(names["reserve_server"]("web-2"))
    assert names["reserved"] is True
    with Session(names["engine"]) as session:
        assert session.scalars(sa.select(Server.name)).all() == ["web-2"]
    assert shown == [{"state": "RESERVED"}, {"state": "TAKEN"}, None]
    assert names["also_when_away"](sa.exc.OperationalError("", None, errors.StoreUnavailableError("away")))


def test_defaults_are_those_of_the_code() -> None:
    [shown] = re.findall(r"rome\.run_transaction\(on, function, \*, (.*)\)\n", PAGE)
    defaults = inspect.signature(inspect.unwrap(sys.modules["rome.retry"].run_transaction)).parameters
    for part in shown.split(", "):
        name, _, value = part.partition("=")
        assert defaults[name].default == (rome.is_retryable if name == "retryable" else float(value))
