"""Tables, as SQLAlchemy maps them; migrations/ has how they came to be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class Instant(TypeDecorator[datetime]):
    """A moment in UTC; SQLite forgets time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """As UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """With its time zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Of all tables."""


class UserRow(Base):
    """Who has logged in once."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    name: Mapped[str] = mapped_column(String(500))
    provider: Mapped[str] = mapped_column(String(100))
    created: Mapped[datetime] = mapped_column(Instant)
    spent: Mapped[float] = mapped_column(Float, default=0.0)
    budget: Mapped[float | None] = mapped_column(Float)
    """What the user may spend in all; null: as the server's setting says."""


class InstallationRow(Base):
    """The one row that says which installation this is: storage and bucket have the same name in them."""

    __tablename__ = "installation"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)


class TokenRow(Base):
    """A login by name and password. Only a hash of the token is kept."""

    __tablename__ = "tokens"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    expires: Mapped[datetime] = mapped_column(Instant, index=True)


class ProcessRow(Base):
    """A process that a user has stored."""

    __tablename__ = "processes"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    public: Mapped[bool] = mapped_column(default=False)
    updated: Mapped[datetime] = mapped_column(Instant)


class JobRow(Base):
    """A batch job."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_of_user", "user_id", "created", "id"),
        Index("jobs_waiting", "status", "queued"),
        Index("jobs_ended", "status", "ended"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    title: Mapped[str | None] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    process: Mapped[dict[str, Any]] = mapped_column(JSON)
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    plan: Mapped[str | None] = mapped_column(String(100))
    budget: Mapped[float | None] = mapped_column(Float)
    log_level: Mapped[str] = mapped_column(String(10), default="info")
    status: Mapped[str] = mapped_column(String(10), default="created")
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    created: Mapped[datetime] = mapped_column(Instant)
    updated: Mapped[datetime] = mapped_column(Instant)
    queued: Mapped[datetime | None] = mapped_column(Instant)
    started: Mapped[datetime | None] = mapped_column(Instant)
    ended: Mapped[datetime | None] = mapped_column(Instant)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    owner: Mapped[str | None] = mapped_column(String(60))
    """The server that runs it."""
    lease_until: Mapped[datetime | None] = mapped_column(Instant)
    cancel: Mapped[bool] = mapped_column(default=False)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    usage: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    estimate: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    costs: Mapped[float | None] = mapped_column(Float)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """What its process wrote: files with what is known of them."""
    result_bytes: Mapped[int | None] = mapped_column(BigInteger)
    results_deleted: Mapped[datetime | None] = mapped_column(Instant)
    """When its results went while its record stayed."""


class ServiceRow(Base):
    """A secondary web service."""

    __tablename__ = "services"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    title: Mapped[str | None] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    type: Mapped[str] = mapped_column(String(20))
    process: Mapped[dict[str, Any]] = mapped_column(JSON)
    configuration: Mapped[dict[str, Any]] = mapped_column(JSON)
    enabled: Mapped[bool] = mapped_column(default=True)
    plan: Mapped[str | None] = mapped_column(String(100))
    budget: Mapped[float | None] = mapped_column(Float)
    created: Mapped[datetime] = mapped_column(Instant)
    changed: Mapped[int] = mapped_column(Integer, default=0)
    """How often process or configuration were changed."""
