"""Microsoft Entra ID over Microsoft Graph, as an application of its own.

People are known by their object id. What is found by `$search` are words that begin with what is typed: Graph finds no
middles of words.

Sources: Microsoft Graph v1.0 (users, advanced query capabilities, paging, errors); OData 4.01 part 2, 5.1.1.14.1 (quotes in
literals).
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode
from uuid import UUID

from server.connectors.directory.entra_tokens import Tokens
from server.connectors.directory.mapping import key_identifier
from server.connectors.directory.memory import by_name
from server.connectors.http import Http
from server.connectors.reply import Reply, refusal
from server.ports.connection import Ability, Aspect, Finding, Verdict
from shared import errors
from shared.credential.model import HolderId, Person

PAGE: Final = 100
PAGES_MAX: Final = 100
MAX_WORDS: Final = 8
PHOTO_MAX: Final = 4 << 20
CERTIFICATE_IDS_MAX: Final = 10
"""How many `certificateUserIds` somebody may have."""

ATTRIBUTES: Final = {
    "name": "displayName",
    "user": "onPremisesSamAccountName",
    "upn": "userPrincipalName",
    "mail": "mail",
    "given-name": "givenName",
    "surname": "surname",
    "department": "department",
    "title": "jobTitle",
    "employee-id": "employeeId",
    "sid": "onPremisesSecurityIdentifier",
    "company": "companyName",
}
"""What templates call it, and Graph."""
SEARCHED: Final = ("displayName", "mail", "userPrincipalName")
EVENTUAL: Final = {"ConsistencyLevel": "eventual"}
"""Without it, Graph answers advanced questions with 400."""


class EntraDirectory:
    """Find people in a tenant."""

    def __init__(
        self,
        http: Http,
        tokens: Tokens,
        *,
        attributes: Mapping[str, str],
        photos: bool,
        writing: Tokens | None = None,
    ) -> None:
        """`http` reaches Graph; `attributes` are departures from `ATTRIBUTES`; `writing` has another application's right to write.

        Raises:
            Invalid: an attribute's name is none.
        """
        self._http = http
        self._tokens = tokens
        self._writing = writing
        self._photos = photos
        merged = {name: theirs for name, theirs in {**ATTRIBUTES, **attributes}.items() if theirs}
        for theirs in merged.values():
            if not theirs.isascii() or not theirs.replace("_", "").isalnum():
                raise errors.Invalid(field="attributes", why=f"no name of a property: {theirs}")
        self._attributes = merged
        self._select = ",".join(dict.fromkeys(("id", "accountEnabled", *merged.values())))

    @property
    def abilities(self) -> frozenset[Ability]:
        """Searching and leavers; photos and writing as it is configured."""
        more = ({Ability.PHOTO} if self._photos else set()) | (
            {Ability.WRITE_BACK} if self._writing else set()
        )
        return frozenset({Ability.SEARCH, Ability.LEAVERS} | more)

    async def search(self, text: str, limit: int) -> Sequence[Person]:
        """Return at most `limit` people that match, by name; an empty text matches everybody.

        Every word must begin a word of the name, the mail address or the UPN; one word alone may be the number.

        Raises:
            ConnectorUnreachable, ConnectorRefused, ConnectorAnswerWrong: see `Http`.
        """
        words = text.split()[:MAX_WORDS]
        if limit <= 0 or not "".join(words).isprintable():
            return ()
        found = await self._list({"$search": " AND ".join(map(_word, words))} if words else {}, limit)
        if len(words) == 1 and "employee-id" in self._attributes:
            wanted = {
                "$filter": f"{self._attributes['employee-id']} eq {_literal(words[0])}",
                "$count": "true",
            }
            found = [*await self._list(wanted, limit), *found]
        people = {person.holder: person for person in found}
        return sorted(people.values(), key=by_name)[:limit]

    async def get(self, holder: HolderId) -> Person | None:
        """Return the person with this object id, with their photo; None where there is none. Raises as `search`."""
        if not _is_id(holder):
            return None
        reply = await self._get(f"users/{holder}?{urlencode({'$select': self._select})}", ok=(200, 404))
        if reply.status == 404:
            return None
        person = self._person(reply.object())
        if person is None or person.holder != holder.lower():
            raise reply.wrong(reason="it is somebody else than was asked for")
        photo = await self._photo(holder) if self._photos else ""
        return person if not photo else _with(person, "photo", photo)

    async def match(self, attribute: str, value: str, limit: int) -> Sequence[Person]:
        """Return people with exactly this value; raises as `search`.

        Raises:
            NotSupported: there is no such attribute.
        """
        theirs = self._attributes.get(attribute)
        if theirs is None:
            raise errors.NotSupported(connection=self._http.connection, what=f"attribute {attribute}")
        if limit <= 0 or not value.strip() or not value.isprintable():
            return ()
        return await self._list({"$filter": f"{theirs} eq {_literal(value)}", "$count": "true"}, limit)

    async def publish(self, holder: HolderId, certificate: bytes) -> None:
        """Add the certificate's key identifier to those that the person may log on with.

        Raises:
            ConnectorRefused: no such person, no right, or there are ten of them already.
            NotSupported: nothing is written back here.
        """
        mine = key_identifier(certificate)
        known = await self._certificate_ids(holder)
        if known is None:
            raise self._refused(reason="no such person")
        if mine in known:
            return
        if len(known) >= CERTIFICATE_IDS_MAX:
            raise self._refused(
                reason=f"the person has {CERTIFICATE_IDS_MAX} certificate user ids, there is no room"
            )
        await self._write(holder, [*known, mine])

    async def withdraw(self, holder: HolderId, certificate: bytes) -> None:
        """Take it away; raises as `publish`, but nobody is no error."""
        mine = key_identifier(certificate)
        known = await self._certificate_ids(holder)
        if known is not None and mine in known:
            await self._write(holder, [each for each in known if each != mine])

    async def test(self) -> Sequence[Finding]:
        """Say whether we get a token, and find people."""
        try:
            await self._tokens.token(fresh=True)
        except errors.ConnectorError as problem:
            why = str(problem.facts["reason"])
            return (
                Finding(aspect=Aspect.CREDENTIALS, verdict=Verdict.FAILS, detail=why),
                Finding(aspect=Aspect.SEARCH, verdict=Verdict.SKIPPED),
            )
        works = Finding(aspect=Aspect.CREDENTIALS, verdict=Verdict.WORKS)
        try:
            people = await self.search("", 2)
        except errors.ConnectorError as problem:
            why = str(problem.facts["reason"])
            return (works, Finding(aspect=Aspect.SEARCH, verdict=Verdict.FAILS, detail=why))
        verdict = Verdict.WORKS if people else Verdict.FAILS
        detail = "people are found" if people else "nobody is found"
        return (works, Finding(aspect=Aspect.SEARCH, verdict=verdict, detail=detail))

    async def close(self) -> None:
        """Let go of open lines."""
        await self._http.close()
        await self._tokens.close()
        if self._writing is not None:
            await self._writing.close()

    # --- asking Graph ---------------------------------------------------------------------------------

    async def _list(self, wanted: Mapping[str, str], limit: int) -> list[Person]:
        """Follow pages, which stay at the same host, until there are enough."""
        query = {**wanted, "$select": self._select, "$top": str(min(PAGE, limit))}
        path = f"users?{urlencode(query, quote_via=quote)}"
        people: list[Person] = []
        for _ in range(PAGES_MAX):
            reply = await self._get(path, headers=EVENTUAL)
            page = reply.object()
            entries = page.get("value")
            if not isinstance(entries, list):
                raise reply.wrong(reason="it is no list of people")
            found = (self._person(entry) for entry in entries if isinstance(entry, dict))
            people += [person for person in found if person is not None]
            following = page.get("@odata.nextLink")
            if len(people) >= limit or not following:
                break
            if not isinstance(following, str):
                raise reply.wrong(reason="the address of the next page is none")
            path = following
        return people[:limit]

    async def _photo(self, holder: HolderId) -> str:
        reply = await self._get(f"users/{holder}/photo/$value", ok=(200, 404), limit=PHOTO_MAX)
        if reply.status == 404 or not reply.media_type.startswith("image/"):
            return ""
        return base64.b64encode(reply.body).decode("ascii")

    async def _get(
        self,
        path: str,
        *,
        ok: Sequence[int] = (200,),
        headers: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> Reply:
        """Ask; a token that is not taken any more is made anew, once."""
        allowed = {*ok, 401}
        for fresh in (False, True):
            reply = await self._http.call(
                "GET",
                path,
                headers={**(headers or {}), **_bearer(await self._tokens.token(fresh=fresh))},
                ok=allowed,
                what="users",
                limit=limit,
            )
            if reply.status != 401:
                return reply
        raise refusal(reply)

    async def _certificate_ids(self, holder: HolderId) -> list[str] | None:
        if self._writing is None:
            raise errors.NotSupported(connection=self._http.connection, what="writing back")
        if not _is_id(holder):
            return None
        reply = await self._get(
            f"users/{holder}?{urlencode({'$select': 'id,authorizationInfo'})}", ok=(200, 404)
        )
        if reply.status == 404:
            return None
        told = reply.object().get("authorizationInfo")
        known = told.get("certificateUserIds") if isinstance(told, dict) else None
        return [each for each in known or [] if isinstance(each, str)]

    async def _write(self, holder: HolderId, wanted: Sequence[str]) -> None:
        assert self._writing is not None
        await self._http.call(
            "PATCH",
            f"users/{holder}",
            json={"authorizationInfo": {"certificateUserIds": list(wanted)}},
            headers=_bearer(await self._writing.token()),
            ok=(204,),
            what="write back",
            repeatable=True,
        )

    def _person(self, entry: Mapping[str, Any]) -> Person | None:
        """Read a person; what is not of its type is left out, and whoever is not said to be enabled is not."""
        holder = entry.get("id")
        if not isinstance(holder, str) or not _is_id(holder):
            return None
        attributes = {
            name: value
            for name, theirs in self._attributes.items()
            if isinstance(value := entry.get(theirs), str) and value
        }
        both = f"{attributes.get('given-name', '')} {attributes.get('surname', '')}".strip()
        return Person(
            holder=HolderId(holder.lower()),
            name=attributes.get("name") or both or attributes.get("upn", ""),
            attributes=attributes,
            enabled=entry.get("accountEnabled") is True,
        )

    def _refused(self, *, reason: str) -> errors.ConnectorRefused:
        return errors.ConnectorRefused(connection=self._http.connection, reason=reason)


def _word(word: str) -> str:
    """Return what `$search` looks for: a word in any of the properties, as one clause."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return "(" + " OR ".join(f'"{name}:{escaped}"' for name in SEARCHED) + ")"


def _literal(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _bearer(token: Any) -> dict[str, Any]:
    return {"Authorization": type(token).from_text(f"Bearer {token.reveal().decode()}")}


def _with(person: Person, name: str, value: str) -> Person:
    return Person(
        holder=person.holder,
        name=person.name,
        attributes={**person.attributes, name: value},
        enabled=person.enabled,
        valid_until=person.valid_until,
    )
