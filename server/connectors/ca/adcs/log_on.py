"""Who we are to AD CS: a principal with a keytab, a name with a password, or our TLS certificate alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from server.ports.connection import Configured, Field, FieldKind
from shared import errors
from shared.secret import Secret

FIELDS: Final = (
    Field(
        name="user",
        kind=FieldKind.TEXT,
        title="Name",
        help="Who we are there, with a password or a keytab: user@domain, or DOMAIN\\user.",
    ),
    Field(name="password", kind=FieldKind.SECRET, title="Password"),
    Field(
        name="keytab",
        kind=FieldKind.TEXT,
        title="Keytab",
        help="A keytab file on the server: log on by Kerberos as `user` (name@REALM) in place of a password.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOn:
    """A name with one of both; without a name, the TLS certificate says who we are."""

    user: str
    password: Secret | None
    keytab: Path | None


def log_on(configured: Configured) -> LogOn:
    """Return how we log on.

    Raises:
        Invalid: nothing says who we are, or two things do.
    """
    user, password, keytab = configured.text("user"), configured.secret("password"), configured.text("keytab")
    if bool(user) != (password is not None or bool(keytab)) or (keytab and password is not None):
        raise errors.Invalid(
            field="password", why="a name needs its password or its keytab, one of both, and they a name"
        )
    if not user and configured.secret("client-key") is None:
        why = "it has to know us by a certificate, by a password, or by a keytab"
        raise errors.Invalid(field="client-key", why=why)
    return LogOn(user=user, password=password, keytab=Path(keytab) if keytab else None)
