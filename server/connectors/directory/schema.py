"""How products call what templates call `user`, `mail` or `sid`, as data.

Sources: [RFC 2798] (inetOrgPerson), [RFC 4530] (entryUUID), [MS-ADTS] 3.1.1 (objectGUID, objectSid,
userAccountControl, accountExpires), the password policy draft (pwdAccountLockedTime, pwdEndTime), [RFC 2307]
(shadowExpire), [RFC 4517] 3.3.13 (GeneralizedTime); 389 Directory Server, *Administration Guide* (nsUniqueId,
nsAccountLock); FreeIPA's schema (ipaUniqueID, ipaNTSecurityIdentifier), MIT Kerberos' (krbPrincipalExpiration).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, unique
from typing import Final
from uuid import UUID

ACCOUNT_DISABLED: Final = 0x2
"""ADS_UF_ACCOUNTDISABLE in userAccountControl."""

LOCKED_FOR_GOOD: Final = b"000001010000Z"
"""pwdAccountLockedTime of an account that only an administrator opens again."""


NO_END: Final = frozenset({0, 0x7FFF_FFFF_FFFF_FFFF})
"""accountExpires of an account that does not end."""

FILE_TIME: Final = datetime(1601, 1, 1, tzinfo=UTC)
"""Where accountExpires begins to count, in steps of 100 nanoseconds."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Where shadowExpire begins to count, in days."""


@unique
class IdForm(Enum):
    """How the immutable id is stored."""

    TEXT = "text"
    UUID_TEXT = "uuid"
    """entryUUID: a UUID in text."""
    GUID = "guid"
    """objectGUID: 16 bytes, the first three fields little-endian."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """One product's names. `attributes` maps the names that templates use to the directory's."""

    id_attribute: str
    id_form: IdForm
    person_filter: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    binary: frozenset[str] = frozenset()
    """Attributes (by the directory's name) that are not text: photos."""
    group_rule: str = ""
    """The matching rule by which `memberOf` counts groups in groups; without one the directory counts them itself."""

    def with_filter(self, wanted: str) -> "Schema":
        """Return the schema with another filter for people; an empty one leaves it as it is."""
        return replace(self, person_filter=wanted) if wanted else self

    def with_groups(self, groups: Sequence[str]) -> "Schema":
        """Return the schema for members of any of these groups only: their names, escaped for a filter."""
        if not groups:
            return self
        members = "".join(f"(memberOf{self.group_rule}={group})" for group in groups)
        return replace(self, person_filter=f"(&{self.person_filter}(|{members}))")

    def with_attributes(self, overrides: Mapping[str, str]) -> "Schema":
        """Return the schema with some attributes called otherwise; an empty name leaves one out."""
        merged = {name: value for name, value in {**self.attributes, **overrides}.items() if value}
        return replace(self, attributes=merged)

    def id_value(self, raw: bytes) -> str:
        """Return the immutable id as text.

        Raises:
            ValueError: not of the form that the product writes.
        """
        match self.id_form:
            case IdForm.GUID:
                return str(UUID(bytes_le=raw))
            case IdForm.UUID_TEXT:
                return str(UUID(raw.decode("ascii")))
            case IdForm.TEXT:
                return raw.decode()

    def id_filter(self, holder: str) -> str | None:
        r"""Return a filter for the immutable id, every byte as \xx; None where no entry can have this id."""
        if self.id_form is IdForm.TEXT:
            raw = holder.encode()
        else:
            try:
                value = UUID(holder)
            except ValueError:
                return None
            raw = value.bytes_le if self.id_form is IdForm.GUID else str(value).encode()
        escaped = "".join(f"\\{byte:02x}" for byte in raw)
        return f"(&{self.person_filter}({self.id_attribute}={escaped}))" if raw else None


OPENLDAP: Final = Schema(
    id_attribute="entryUUID",
    id_form=IdForm.UUID_TEXT,
    person_filter="(objectClass=inetOrgPerson)",
    attributes={
        "name": "cn",
        "user": "uid",
        "mail": "mail",
        "given-name": "givenName",
        "surname": "sn",
        "department": "departmentNumber",
        "title": "title",
        "employee-id": "employeeNumber",
        "photo": "jpegPhoto",
    },
    binary=frozenset({"jpegPhoto"}),
)

DIRECTORY_SERVER_389: Final = replace(OPENLDAP, id_attribute="nsUniqueId", id_form=IdForm.TEXT)

FREEIPA: Final = replace(
    OPENLDAP,
    id_attribute="ipaUniqueID",
    attributes={
        **OPENLDAP.attributes,
        "upn": "krbCanonicalName",
        "sid": "ipaNTSecurityIdentifier",
    },
)

ACTIVE_DIRECTORY: Final = Schema(
    id_attribute="objectGUID",
    id_form=IdForm.GUID,
    person_filter="(&(objectCategory=person)(objectClass=user))",
    attributes={
        "name": "displayName",
        "user": "sAMAccountName",
        "upn": "userPrincipalName",
        "mail": "mail",
        "given-name": "givenName",
        "surname": "sn",
        "department": "department",
        "title": "title",
        "employee-id": "employeeID",
        "sid": "objectSid",
        "photo": "thumbnailPhoto",
    },
    binary=frozenset({"thumbnailPhoto"}),
    group_rule=":1.2.840.113556.1.4.1941:",
)


def decode_sid(raw: bytes) -> str:
    """Return a binary security identifier in its text form S-1-….

    Source: [MS-DTYP] 2.4.2.2 (revision, count, six bytes of authority, then 32-bit little-endian numbers).
    Raises:
        ValueError: lengths do not fit.
    """
    if len(raw) < 8 or raw[0] != 1 or len(raw) != 8 + 4 * raw[1]:
        message = f"a security identifier of {len(raw)} bytes"
        raise ValueError(message)
    authority = int.from_bytes(raw[2:8], "big")
    parts = [int.from_bytes(raw[start : start + 4], "little") for start in range(8, len(raw), 4)]
    return "-".join(["S-1", str(authority), *(str(part) for part in parts)])


def is_enabled(values: Mapping[str, Sequence[bytes]]) -> bool:
    """Read from an entry (names in lower case) whether the account may be used; in doubt it may not."""
    control = values.get("useraccountcontrol")
    if control:
        return control[0].isdigit() and not int(control[0]) & ACCOUNT_DISABLED
    if any(value.lower() != b"false" for value in values.get("nsaccountlock", ())):
        return False
    return LOCKED_FOR_GOOD not in values.get("pwdaccountlockedtime", ())


def valid_until(values: Mapping[str, Sequence[bytes]]) -> datetime | None:
    """Read from an entry (names in lower case) when the account ends; None where it does not, long ago in doubt.

    Where several attributes say so, the earliest counts.
    """
    ends = [
        end
        for name, read in (
            ("accountexpires", _file_time),
            ("pwdendtime", _generalized),
            ("shadowexpire", _days),
            ("krbprincipalexpiration", _generalized),
        )
        for value in values.get(name, ())[:1]
        if (end := _read(read, value)) is not None
    ]
    return min(ends, default=None)


def _read(read: Callable[[str], datetime | None], value: bytes) -> datetime | None:
    try:
        return read(value.decode("ascii"))
    except (ValueError, OverflowError):
        return EPOCH


def _file_time(text: str) -> datetime | None:
    steps = int(text)
    return None if steps in NO_END else FILE_TIME + timedelta(microseconds=steps // 10)


def _generalized(text: str) -> datetime:
    return datetime.strptime(text.partition(".")[0].rstrip("Z"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _days(text: str) -> datetime | None:
    days = int(text)
    return None if days <= 0 else EPOCH + timedelta(days=days)
