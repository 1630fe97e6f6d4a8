"""Notes over HTTP: FastAPI, SQLAlchemy's AsyncSession, Rome.

    pip install '.[redis,asyncio]' 'fastapi[standard]'            # in a checkout of Rome
    NOTES_URL=rome+redis://127.0.0.1:6379/notes fastapi run examples/fastapi_notes/app.py

Without NOTES_URL the notes are in the file notes.rome. Any number of processes may serve the same database.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import rome

Sessions = async_sessionmaker[AsyncSession]


class Base(DeclarativeBase):
    """The declarative base."""


class Note(Base):
    """A note; its title is unique."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(unique=True)
    likes: Mapped[int] = mapped_column(default=0)


class NewNote(BaseModel):
    """What a client sends."""

    title: str


class ShownNote(BaseModel):
    """What a client gets."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    title: str
    likes: int


def create_app(url: str) -> FastAPI:
    """The application on one database, whose table it creates when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)
    app.post("/notes", status_code=201)(add_note)
    app.get("/notes")(list_notes)
    app.post("/notes/{note_id}/likes")(like_note)
    return app


def sessions_of(request: Request) -> Sessions:
    """The sessions of the application's engine."""
    sessions: Sessions = request.app.state.sessions
    return sessions


AppSessions = Annotated[Sessions, Depends(sessions_of)]


async def add_note(new: NewNote, sessions: AppSessions) -> ShownNote:
    """Add a note; 409 when there is one with this title."""

    async def add(session: AsyncSession) -> Note:
        note = Note(title=new.title)
        session.add(note)
        return note

    try:
        return ShownNote.model_validate(await rome.run_transaction_async(sessions, add))
    except IntegrityError as error:  # of the INSERT, or of COMMIT, when another request was first
        raise HTTPException(409, f"there is a note {new.title!r}") from error


async def list_notes(sessions: AppSessions) -> list[ShownNote]:
    """All notes, the oldest first."""
    async with sessions() as session:
        notes = await session.stream_scalars(select(Note).order_by(Note.id))
        return [ShownNote.model_validate(note) async for note in notes]


async def like_note(note_id: int, sessions: AppSessions) -> ShownNote:
    """Count one more like; none is lost, since a transaction that meets a conflict is run again."""

    async def like(session: AsyncSession) -> Note | None:
        note = await session.get(Note, note_id)
        if note is not None:
            note.likes += 1
        return note

    note = await rome.run_transaction_async(sessions, like)
    if note is None:
        raise HTTPException(404, f"there is no note {note_id}")
    return ShownNote.model_validate(note)


app = create_app(os.environ.get("NOTES_URL", "rome+lmdb:///notes.rome"))
