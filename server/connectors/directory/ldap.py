"""LDAP directories: OpenLDAP, Active Directory, and what speaks like them.

Sources: [RFC 4511], [RFC 4513] 5.1.2 (a simple bind without a password is no log-on), [RFC 4515] (filters),
[MS-ADTS] 3.1.1.3.4.4 (nested groups), [MS-ERREF] 2.3 (why Active Directory refuses a log-on).
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from ldap3.utils.conv import escape_filter_chars

from server.connectors.directory.entry import person_from
from server.connectors.directory.ldap_check import CURRENT_TIME, Root, look
from server.connectors.directory.ldap_settings import LdapSettings as LdapSettings  # noqa: PLC0414  # what it is made from
from server.connectors.directory.ldap_settings import TlsMode as TlsMode  # noqa: PLC0414  # a word of the settings
from server.connectors.directory.memory import EXACT_ATTRIBUTES, PREFIX_ATTRIBUTES, by_name
from server.connectors.directory.wire import SUCCESS, Entry, Wire
from server.connectors.directory.wire import VerifiedTls as VerifiedTls  # noqa: PLC0414  # as above
from server.ports.connection import Ability, Finding, Surroundings
from server.ports.line import NoAnswer
from shared import errors
from shared.clock import SystemClock
from shared.credential.model import HolderId, Person
from shared.secret import Secret

T = TypeVar("T")

MAX_WORDS: Final = 8
"""Words of a search text that count; nobody types more, and each makes the filter longer."""

ATTRIBUTE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*(;[A-Za-z0-9-]+)*")

STATUS_ATTRIBUTES: Final = (
    "userAccountControl", "pwdAccountLockedTime", "nsAccountLock",
    "accountExpires", "pwdEndTime", "shadowExpire", "krbPrincipalExpiration",
)  # fmt: skip

LOG_ON: Final = "log-on"

NO_ATTRIBUTES: Final = "1.1"
"""Asks for entries without any attribute ([RFC 4511] 4.5.1.8)."""

INVALID_CREDENTIALS: Final = 49
WRONG_PASSWORD: Final = frozenset({"", "52e", "525"})
"""ERROR_LOGON_FAILURE, ERROR_NO_SUCH_USER, and directories that do not say."""
WHY_NOT: Final = {
    "530": "not at this time",
    "531": "not from here",
    "532": "the password has expired",
    "533": "the account is disabled",
    "701": "the account has expired",
    "773": "the password has to be changed",
    "775": "the account is locked",
}
"""What Active Directory adds to a refused log-on."""
_SUBCODE: Final = re.compile(r"\bdata ([0-9a-f]{1,8})\b")


class LdapDirectory:
    """Find people in an LDAP directory, and check their passwords."""

    def __init__(
        self, settings: LdapSettings, password: Secret | None, around: Surroundings | None = None
    ) -> None:
        """Take settings and password; nothing is asked before the first question, and everything through the line.

        Raises:
            Invalid: an attribute's name is none, the bind name or the password is empty.
            ConfigMissing: the file of certificate authorities, or the keytab, is not there.
        """
        self._settings = settings
        self._schema = settings.schema.with_attributes(settings.attributes).with_groups(
            tuple(map(escape_filter_chars, settings.groups))
        )
        for name in self._schema.attributes.values():
            if not ATTRIBUTE_NAME.fullmatch(name):
                raise errors.Invalid(field="attributes", why=f"no name of an attribute: {name}")
        self._line = around.line if around is not None else None
        self._clock = around.clock if around is not None else SystemClock()
        self._wire = Wire(settings, password)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ldap")

    @property
    def abilities(self) -> frozenset[Ability]:
        """Searching, log-ons and leavers; photos where an attribute has them."""
        photo = {Ability.PHOTO} if "photo" in self._schema.attributes else set()
        return frozenset({Ability.SEARCH, Ability.AUTHENTICATE, Ability.LEAVERS} | photo)

    async def search(self, text: str, limit: int) -> Sequence[Person]:
        """Return at most `limit` people that match, by name; an empty text matches everybody.

        Every word of the text must be part of the name, begin log-on name, UPN or mail, or be the number.

        Raises:
            ConnectorUnreachable: no connection, or no answer in time.
            ConnectorRefused: wrong password, no right, untrusted certificate, no such base.
        """
        if limit <= 0 or not _comparable(text):
            return ()
        people = await self._ask("search", lambda: self._find(self._search_filter(text), self._listed, limit))
        return sorted(people, key=by_name)

    async def get(self, holder: HolderId) -> Person | None:
        """Return the person with this immutable id, or None; raises as `search`."""
        wanted = self._schema.id_filter(holder)
        if wanted is None:
            return None
        people = await self._ask("get", lambda: self._find(wanted, list(self._schema.attributes), 2))
        return people[0] if len(people) == 1 else None

    async def match(self, attribute: str, value: str, limit: int) -> Sequence[Person]:
        """Return people with exactly this value; raises as `search`.

        Raises:
            NotSupported: the directory has no such attribute.
        """
        theirs = self._schema.attributes.get(attribute)
        if theirs is None:
            raise errors.NotSupported(connection=self._settings.connection, what=f"attribute {attribute}")
        if limit <= 0 or not value.strip() or not _comparable(value):
            return ()
        wanted = f"(&{self._schema.person_filter}({theirs}={escape_filter_chars(value)}))"
        return await self._ask("match", lambda: self._find(wanted, list(self._schema.attributes), limit))

    async def authenticate(self, holder: HolderId, password: Secret) -> bool:
        """Return whether the password logs this person on, by a bind that is used for nothing else.

        Raises:
            ConnectorUnreachable: as `search`.
            ConnectorRefused: as `search`; or the password cannot count now: `reason` says why where the directory does.
        """
        wanted = self._schema.id_filter(holder)
        secret = b"" if password.wiped else password.reveal()
        # a bind without a password is none ([RFC 4513] 5.1.2), and some servers stop reading at a zero
        if wanted is None or not secret or b"\0" in secret or not _is_text(secret):
            return False
        return await self._ask(LOG_ON, lambda: self._bind(wanted, password))

    async def test(self) -> Sequence[Finding]:
        """Say what works, from the name of the server to the right to search."""

        async def count() -> int:
            return len(await self.search("", 2))

        async def root() -> Root:
            return await self._in_thread(lambda: self._wire.ask_root([CURRENT_TIME]))

        return await look(self._settings, root, count, self._clock)

    async def close(self) -> None:
        """Leave the directory."""
        await self._in_thread(self._wire.close)
        self._executor.shutdown(wait=True)

    @property
    def _listed(self) -> list[str]:
        return [name for name in self._schema.attributes if name != "photo"]

    def _search_filter(self, text: str) -> str:
        return f"(&{self._schema.person_filter}{''.join(map(self._word, text.split()[:MAX_WORDS]))})"

    def _word(self, word: str) -> str:
        escaped = escape_filter_chars(word)
        attributes = self._schema.attributes
        parts = [f"({attributes['name']}=*{escaped}*)"] if "name" in attributes else []
        parts += [f"({attributes[name]}={escaped}*)" for name in PREFIX_ATTRIBUTES if name in attributes]
        parts += [f"({attributes[name]}={escaped})" for name in EXACT_ATTRIBUTES if name in attributes]
        return f"(|{''.join(parts)})"

    def _find(self, wanted: str, names: Sequence[str], limit: int) -> list[Person]:
        attributes = [
            self._schema.id_attribute,
            *STATUS_ATTRIBUTES,
            *(self._schema.attributes[name] for name in names),
        ]
        entries = self._wire.search(wanted, attributes, limit)
        people = (person_from(entry.values, self._schema) for entry in entries)
        return [person for person in people if person is not None]

    def _bind(self, wanted: str, password: Secret) -> bool:
        entries: list[Entry] = self._wire.search(wanted, [NO_ATTRIBUTES], 2)
        if len(entries) != 1 or not entries[0].dn:
            return False
        result = self._wire.bind_as(entries[0].dn, password)
        if result["result"] == INVALID_CREDENTIALS:
            return self._refused(result)
        self._wire.require(LOG_ON, result, SUCCESS)
        return True

    def _refused(self, result: Mapping[str, Any]) -> bool:
        found = _SUBCODE.search(str(result.get("message") or ""))
        code = found[1] if found else ""
        if code in WRONG_PASSWORD:
            return False
        why = WHY_NOT.get(code, f"code {code}")
        raise errors.ConnectorRefused(connection=self._settings.connection, reason=f"{LOG_ON}: {why}")

    async def _ask(self, what: str, work: Callable[[], T]) -> T:
        """Work through the line where there is one; every question and every change may be repeated, a log-on not."""
        if self._line is None:
            return await self._in_thread(work)

        async def act() -> T:
            try:
                return await self._in_thread(work)
            except errors.ConnectorUnreachable as cause:
                raise NoAnswer(reason=str(cause.facts["reason"])) from cause

        return await self._line.call(what, act, repeatable=what != LOG_ON)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _comparable(text: str) -> bool:
    r"""Whether a directory compares it as it is: they drop control characters first, and *\00* would match everybody.

    Source: [RFC 4518] 2.2.
    """
    return "".join(text.split()).isprintable()


def _is_text(secret: bytes) -> bool:
    """Whether it is UTF-8, as every password in a directory is ([RFC 4511] 4.2)."""
    try:
        secret.decode()
    except UnicodeDecodeError:
        return False
    return True
