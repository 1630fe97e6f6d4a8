"""The tables of the small benchmarks: servers much like Nova's, and what belongs to a server."""

from __future__ import annotations

import datetime as dt
from typing import cast

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

_EPOCH = dt.datetime(2026, 1, 1)


class Base(DeclarativeBase):
    """The declarative base."""


class Flavour(Base):
    """The size of a server."""

    __tablename__ = "bench_flavours"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(80))


class Image(Base):
    """What a server was booted from."""

    __tablename__ = "bench_images"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(80))


class Owner(Base):
    """Whom a server belongs to."""

    __tablename__ = "bench_owners"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(80))


class Server(Base):
    """24 columns, some 500 bytes, 3 indexes."""

    __tablename__ = "bench_servers"
    __table_args__ = (sa.Index("bench_servers_by_time", "created_at", "id"),)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    created_at: Mapped[dt.datetime]
    updated_at: Mapped[dt.datetime | None]
    deleted_at: Mapped[dt.datetime | None]
    deleted: Mapped[int]
    user_id: Mapped[str] = mapped_column(sa.String(255))
    project_id: Mapped[str] = mapped_column(sa.String(255))
    hostname: Mapped[str] = mapped_column(sa.String(255))
    host: Mapped[str | None] = mapped_column(sa.String(255))
    vm_state: Mapped[str] = mapped_column(sa.String(255))
    task_state: Mapped[str | None] = mapped_column(sa.String(255))
    power_state: Mapped[int]
    memory_mb: Mapped[int]
    vcpus: Mapped[int]
    root_gb: Mapped[int]
    launch_index: Mapped[int | None]
    progress: Mapped[int]
    reservation: Mapped[int] = mapped_column(index=True)
    display_name: Mapped[str] = mapped_column(sa.String(255))
    user_data: Mapped[str] = mapped_column(sa.Text)
    flavour_id: Mapped[int] = mapped_column(sa.Integer)
    image_id: Mapped[int] = mapped_column(sa.Integer)
    owner_id: Mapped[int] = mapped_column(sa.Integer)
    flavour: Mapped[Flavour] = relationship(primaryjoin="foreign(Server.flavour_id) == Flavour.id", viewonly=True)
    image: Mapped[Image] = relationship(primaryjoin="foreign(Server.image_id) == Image.id", viewonly=True)
    owner: Mapped[Owner] = relationship(primaryjoin="foreign(Server.owner_id) == Owner.id", viewonly=True)
    volume: Mapped[Volume] = relationship(
        primaryjoin="Server.id == foreign(Volume.server_id)", uselist=False, viewonly=True
    )
    tags: Mapped[list[Tag]] = relationship(primaryjoin="Server.id == foreign(Tag.server_id)", viewonly=True)


class Volume(Base):
    """A server's disk."""

    __tablename__ = "bench_volumes"
    server_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[int]


class Tag(Base):
    """A label of a server."""

    __tablename__ = "bench_tags"
    server_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tag: Mapped[str] = mapped_column(sa.String(80), primary_key=True)


SERVERS = cast(sa.Table, Server.__table__)


def server_values(number: int, group: int) -> dict[str, object]:
    """The row of the server with this number; `group` consecutive servers share an index key."""
    created = _EPOCH + dt.timedelta(seconds=number)
    return {
        "id": number,
        "uuid": f"{number:08x}-1234-4321-abcd-{number:012x}",
        "created_at": created,
        "updated_at": created,
        "deleted_at": None,
        "deleted": 0,
        "user_id": "fake",
        "project_id": "6f70656e737461636b20342065766572",
        "hostname": f"server-{number}",
        "host": "host1",
        "vm_state": "active",
        "task_state": None,
        "power_state": 1,
        "memory_mb": 512,
        "vcpus": 1,
        "root_gb": 1,
        "launch_index": 0,
        "progress": 0,
        "reservation": number // group,
        "display_name": f"server {number}",
        "user_data": "I2Nsb3VkLWNvbmZpZwo=" * 8,
        "flavour_id": 1 + number % 5,
        "image_id": 1 + number % 5,
        "owner_id": 1 + number % 5,
    }
