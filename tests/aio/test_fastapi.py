"""examples/fastapi_notes: the application answers, counts every like, and outlives a client that leaves."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import httpx
import pytest

import rome
from tests.aio.support import Hold

APP = Path(__file__).parents[2] / "examples" / "fastapi_notes" / "app.py"


@pytest.fixture(scope="module")
def notes() -> ModuleType:
    """The example's module."""
    spec = importlib.util.spec_from_file_location("fastapi_notes_app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where FastAPI looks up what annotations name
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def client_of(notes: ModuleType, url: str) -> AsyncIterator[httpx.AsyncClient]:
    app = notes.create_app(url)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        yield client


async def test_it_answers(notes: ModuleType, url: str) -> None:
    async with client_of(notes, url) as client:
        answer = await client.post("/notes", json={"title": "first"})
        assert (answer.status_code, answer.json()) == (201, {"id": 1, "title": "first", "likes": 0})
        assert (await client.post("/notes", json={"title": "first"})).status_code == 409
        assert (await client.post("/notes/9/likes")).status_code == 404
        assert (await client.get("/notes")).json() == [{"id": 1, "title": "first", "likes": 0}]


async def test_no_like_is_lost(notes: ModuleType, url: str) -> None:
    async with client_of(notes, url) as client:
        await client.post("/notes", json={"title": "popular"})
        answers = await asyncio.gather(*(client.post("/notes/1/likes") for _ in range(12)))
        assert [answer.status_code for answer in answers] == [200] * 12
        assert (await client.get("/notes")).json() == [{"id": 1, "title": "popular", "likes": 12}]


async def test_client_that_leaves_during_commit(notes: ModuleType, url: str, hold: Hold) -> None:
    async with client_of(notes, url) as client:
        async with hold("commit") as gate:
            leaving = asyncio.create_task(client.post("/notes", json={"title": "kept"}))
            await gate.is_reached()
            leaving.cancel()
            gate.open()
            await asyncio.gather(leaving, return_exceptions=True)
        assert leaving.cancelled()
        assert [note["title"] for note in (await client.get("/notes")).json()] == ["kept"]
    connection = rome.connect(url)
    assert connection.execute("SELECT title FROM note").fetchall() == [("kept",)]
    connection.close()
