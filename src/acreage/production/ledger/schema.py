"""Tables of a ledger, as SQLAlchemy maps them. Times are seconds since 1970 in UTC."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import JSON, Float, ForeignKey, Index, Integer, String, Table, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = 1
"""Counts up with every change of the tables; a ledger of another version is refused (decision 28)."""


class Base(DeclarativeBase):
    """Of all tables."""


class ProductionRow(Base):
    """The one row that says what is produced, and which release made the ledger."""

    __tablename__ = "production"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    release: Mapped[str] = mapped_column(String(40))
    name: Mapped[str] = mapped_column(String(200))
    created: Mapped[float] = mapped_column(Float)
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    results: Mapped[str] = mapped_column(Text)


class BackEndRow(Base):
    """A back end that tiles are sent to."""

    __tablename__ = "backends"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(10), default="open")
    until: Mapped[float | None] = mapped_column(Float)
    note: Mapped[str] = mapped_column(Text, default="")
    parallel: Mapped[int | None] = mapped_column(Integer)
    found_parallel: Mapped[int | None] = mapped_column(Integer)
    factor: Mapped[float] = mapped_column(Float, default=1.0)
    cost_factor: Mapped[float] = mapped_column(Float, default=1.0)
    memory_factor: Mapped[float] = mapped_column(Float, default=1.0)
    spent: Mapped[float] = mapped_column(Float, default=0.0)
    changed: Mapped[float] = mapped_column(Float)


class TileRow(Base):
    """A tile: what was planned for it, and where it stands."""

    __tablename__ = "tiles"
    __table_args__ = (
        # What is next, for a back end that tiles are bound to or for any (null).
        Index("tiles_next", "state", "backend", "priority", "id"),
        Index("tiles_longest", "state", "backend", "core_seconds", "id"),
        Index("tiles_leased", "state", "lease_until"),
    )

    id: Mapped[str] = mapped_column(String(60), primary_key=True)
    crs: Mapped[str] = mapped_column(String(20))
    left: Mapped[float] = mapped_column(Float)
    bottom: Mapped[float] = mapped_column(Float)
    right: Mapped[float] = mapped_column(Float)
    top: Mapped[float] = mapped_column(Float)
    west: Mapped[float] = mapped_column(Float)
    south: Mapped[float] = mapped_column(Float)
    east: Mapped[float] = mapped_column(Float)
    north: Mapped[float] = mapped_column(Float)
    country: Mapped[str] = mapped_column(String(60), default="")
    zone: Mapped[str] = mapped_column(String(3), default="")
    cropland_share: Mapped[float | None] = mapped_column(Float)
    s2_items: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)
    s1_items: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)
    orbit: Mapped[str] = mapped_column(String(12), default="both")
    s1_coefficient: Mapped[str] = mapped_column(String(40), default="")
    s1_tolerance: Mapped[float] = mapped_column(Float, default=0.0)
    memory_mb: Mapped[int] = mapped_column(Integer, default=0)
    core_seconds: Mapped[float] = mapped_column(Float, default=0.0)
    cost: Mapped[float] = mapped_column(Float, default=0.0)
    priority: Mapped[float] = mapped_column(Float, default=0.0)
    backend: Mapped[str | None] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(10), default="waiting")
    reason: Mapped[str] = mapped_column(Text, default="")
    tries: Mapped[int] = mapped_column(Integer, default=0)
    not_before: Mapped[float] = mapped_column(Float, default=0.0)
    memory_now: Mapped[int | None] = mapped_column(Integer)
    attempt: Mapped[int | None] = mapped_column(Integer)
    """The attempt that is alive, or was verified."""
    lease_owner: Mapped[str | None] = mapped_column(String(80))
    lease_until: Mapped[float | None] = mapped_column(Float)
    lease_number: Mapped[int] = mapped_column(Integer, default=0)
    """Counts every lease that the tile ever had, so that an old one is told from the present."""
    changed: Mapped[float] = mapped_column(Float)


class AttemptRow(Base):
    """One batch job made for a tile, from the intention to its end."""

    __tablename__ = "attempts"
    __table_args__ = (
        Index("attempts_of_tile", "tile", "id"),
        Index("attempts_by_state", "state", "backend"),
        Index("attempts_closed", "closed_at"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    tile: Mapped[str] = mapped_column(ForeignKey("tiles.id"))
    backend: Mapped[str] = mapped_column(ForeignKey("backends.name"))
    token: Mapped[str] = mapped_column(String(100), unique=True)
    remote_id: Mapped[str | None] = mapped_column(String(300))
    state: Mapped[str] = mapped_column(String(10))
    memory_mb: Mapped[int] = mapped_column(Integer)
    profile: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    intended_at: Mapped[float] = mapped_column(Float)
    created_at: Mapped[float | None] = mapped_column(Float)
    started_at: Mapped[float | None] = mapped_column(Float)
    ended_at: Mapped[float | None] = mapped_column(Float)
    fetched_at: Mapped[float | None] = mapped_column(Float)
    verified_at: Mapped[float | None] = mapped_column(Float)
    closed_at: Mapped[float | None] = mapped_column(Float)
    """When it became verified, failed or abandoned."""
    cost: Mapped[float | None] = mapped_column(Float)
    cpu_seconds: Mapped[float | None] = mapped_column(Float)
    peak_memory_mb: Mapped[float | None] = mapped_column(Float)
    duration_s: Mapped[float | None] = mapped_column(Float)
    error_class: Mapped[str] = mapped_column(String(60), default="")
    error_text: Mapped[str] = mapped_column(Text, default="")
    paid: Mapped[bool] = mapped_column(default=False)


class EventRow(Base):
    """What happened, and when; written in the transaction of the change itself."""

    __tablename__ = "events"
    __table_args__ = (Index("events_of_tile", "tile", "id"), Index("events_at", "at"))

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[float] = mapped_column(Float)
    tile: Mapped[str | None] = mapped_column(String(60))
    attempt: Mapped[int | None] = mapped_column(Integer)
    backend: Mapped[str | None] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(40))
    text: Mapped[str] = mapped_column(Text, default="")
    data: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class ControlRow(Base):
    """A setting that a running runner reads at every step."""

    __tablename__ = "control"

    key: Mapped[str] = mapped_column(String(60), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)


# As tables: what is done for every step of every job skips the mapping, which takes most of its time.
TILES = cast(Table, TileRow.__table__)
ATTEMPTS = cast(Table, AttemptRow.__table__)
EVENTS = cast(Table, EventRow.__table__)
BACK_ENDS = cast(Table, BackEndRow.__table__)
