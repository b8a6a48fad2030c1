"""Users and their logins."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from acreage.backend.accounts.attempts import Attempts
from acreage.backend.database.tables import TokenRow, UserRow
from acreage.backend.errors import CredentialsInvalid, TokenInvalid
from acreage.core.database import Database
from acreage.core.errors import InvalidInput

_SCRYPT = {"n": 2**14, "r": 8, "p": 1}
_LEAST_PASSWORD, _LEAST_LETTERS = 8, 5
_GUESSED = (
    "password",
    "passwort",
    "password1",
    "password123",
    "12345678",
    "123456789",
    "changeme",
    "qwertyuiop",
)
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,100}")
_FROM_ONE_ADDRESS, _FOR_ONE_NAME = (60, 1.0), (10, 6.0)


@dataclass(frozen=True)
class User:
    """Who makes a request.

    Attributes:
        id: unique among all providers; letters, digits and `_ - . ~`, as openEO has it.
        name: to show.
        provider: `basic`, or the id of an OpenID Connect provider.
        trusted: whether code of this user may run without isolation from the machine.
    """

    id: str
    name: str
    provider: str
    trusted: bool = False


def user_id(provider: str, subject: str) -> str:
    """The id of a provider's user: no two users share one, whatever a subject holds.

    Names of accounts have no `~` (`accounts_of`), and neither has what is left of a subject.
    """
    if _NAME.fullmatch(subject):
        return f"{provider}~{subject}"
    return f"{provider}~~{hashlib.sha256(subject.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"


@dataclass(frozen=True)
class Passwords:
    """Accounts that the one who starts the server names; only hashes are kept.

    Attributes:
        hashes: by name, (salt, scrypt hash).
    """

    hashes: Mapping[str, tuple[bytes, bytes]] = field(repr=False)

    @staticmethod
    def of(accounts: Mapping[str, str], key: bytes | None = None) -> Passwords:
        """The hashes of passwords, by name.

        Args:
            accounts: passwords by name.
            key: of the storage: with the same key a password has the same hash after a restart.
        """
        made = {}
        for name, password in accounts.items():
            salt = hmac.digest(key, name.encode(), "sha256") if key else secrets.token_bytes(32)
            made[name] = (salt, _hash(password, salt))
        return Passwords(made)

    def check(self, name: str, password: str) -> None:
        """Refuse a wrong name or password, in the same time either way.

        Raises:
            CredentialsInvalid
        """
        salt, wanted = self.hashes.get(name, (b"\0" * 32, b""))
        if not hmac.compare_digest(_hash(password, salt), wanted):
            raise CredentialsInvalid("Name or password is wrong.")

    def mark(self, name: str, text: str) -> str:
        """What only the present password of a name makes of a text; empty where there is no such account."""
        _, kept = self.hashes.get(name, (b"", b""))
        return hmac.new(kept, text.encode(), "sha256").hexdigest()[:32] if kept else ""


def accounts_of(texts: Sequence[str], file: Path | None = None) -> dict[str, str]:
    """Passwords by name, of `NAME:PASSWORD` texts and of the lines of a file.

    Args:
        texts: options of the command line.
        file: a line an account; empty lines and those that begin with # are skipped.

    Raises:
        InvalidInput: one has no name or password, a name comes twice, or the file cannot be read.
    """
    accounts: dict[str, str] = {}
    for text in (*texts, *_lines(file)):
        name, sign, password = text.partition(":")
        if not sign or not name or not password:
            raise InvalidInput("An account needs a name and a password.", hint="Write it as NAME:PASSWORD.")
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"{name!r} cannot be the name of an account.", hint="Use letters, digits, _, - and dots."
            )
        if name in accounts:
            raise InvalidInput(f"There are two accounts {name!r}.")
        accounts[name] = password
    return accounts


def _lines(file: Path | None) -> list[str]:
    try:
        lines = [] if file is None else file.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        # Not the error's own text: of a file that is no text it would show a part.
        raise InvalidInput(f"The accounts in {file} cannot be read ({type(error).__name__}).") from error
    return [line.rstrip("\r") for line in lines if line.strip() and not line.startswith("#")]


def is_weak(name: str, password: str) -> bool:
    """Whether a password is too easy to guess for a server that others can reach."""
    plain = password.lower()
    guessed = name.lower() in plain or plain in _GUESSED or len(set(password)) < _LEAST_LETTERS
    return len(password) < _LEAST_PASSWORD or guessed


@dataclass(frozen=True)
class Accounts:
    """Users of the database, and tokens of logins by password.

    Attributes:
        database: of the server.
        passwords: of those who may log in by them.
        token_life: of a login.
        trusted: whether code of accounts may run without isolation. It could read what is other users': a
            server with several users trusts none of them.
    """

    database: Database
    passwords: Passwords
    token_life: timedelta
    trusted: bool = False
    _by_address: Attempts = field(default_factory=lambda: Attempts(*_FROM_ONE_ADDRESS), repr=False)
    _by_name: Attempts = field(default_factory=lambda: Attempts(*_FOR_ONE_NAME), repr=False)

    def log_in(self, name: str, password: str, address: str = "") -> str:
        """A new token for a name and password.

        Args:
            name: of the account.
            password: of the account.
            address: of whoever asks.

        Raises:
            CredentialsInvalid: they are wrong.
            TooManyRequests: they were wrong too often.
        """
        who = f"{address} {name[:200]}"
        self._by_address.begin(address)
        self._by_name.begin(who)
        self.passwords.check(name, password)
        self._by_address.succeeded(address)
        self._by_name.succeeded(who)
        user = self.known(User(name, name, "basic"))
        # The second half ends with the password that was given for it.
        half, now = secrets.token_urlsafe(32), datetime.now(UTC)
        token = f"{half}.{self.passwords.mark(name, half)}"
        with self.database.write() as session:
            session.execute(delete(TokenRow).where(TokenRow.expires < now))
            session.add(TokenRow(digest=_digest(token), user_id=user.id, expires=now + self.token_life))
        return token

    def by_token(self, token: str) -> User:
        """The user that a token was given to.

        Raises:
            TokenInvalid: it is unknown or has expired, or account or password are not those of the login.
        """
        with self.database.read() as session:
            query = select(UserRow, TokenRow.expires).join(TokenRow, TokenRow.user_id == UserRow.id)
            found = session.execute(query.where(TokenRow.digest == _digest(token))).first()
        user, expires = (None, None) if found is None else found
        expired = expires is None or expires < datetime.now(UTC)
        half, _, mark = token.partition(".")
        good = user is not None and hmac.compare_digest(
            mark.encode(), self.passwords.mark(user.id, half).encode() or b"no account"
        )
        if expired or user is None or not good:
            raise TokenInvalid("The access token is unknown or has expired.", hint="Log in again.")
        return User(user.id, user.name, user.provider, self.trusted)

    def trusts(self, user_id: str) -> bool:
        """Whether code of a user may run without isolation."""
        return self.trusted and user_id in self.passwords.hashes

    def known(self, user: User) -> User:
        """The same user, noted in the database at the first time."""
        with self.database.read() as session:
            if session.get(UserRow, user.id) is not None:
                return user
        try:
            with self.database.write() as session:
                session.add(
                    UserRow(
                        id=user.id,
                        name=user.name,
                        provider=user.provider,
                        created=datetime.now(UTC),
                        spent=0.0,
                    )
                )
        except IntegrityError:  # another request was first
            pass
        return user


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
