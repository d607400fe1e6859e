"""Connections to outside systems, looked after by administrators: added, changed, tested and removed while the server runs.

A change is built first and stored after that: what cannot be built is never kept. Every change leaves evidence with the names of
the fields that it touched, and never their values. A connection that is needed is not removed.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from server.authority import connection_values as values_of
from server.authority.admin import ACTOR
from server.authority.connection_views import (
    ConnectionView,
    LinkedConnection,
    Live,
    Source,
    abilities_of,
    credential_ends,
    secret_fields,
)
from server.ports.audit import AuditKind, AuditRecord
from server.ports.connection import (
    Aspect,
    CanClose,
    CanTest,
    Configured,
    Finding,
    Kind,
    Port,
    Surroundings,
    Value,
    Verdict,
)
from server.ports.connections import ConnectionRecord
from server.ports.keystore import KeyStore
from server.ports.store import Store
from shared import errors
from shared.clock import Clock
from shared.credential.template_reading import parse_template
from shared.errors import Fact

TEST_TIMEOUT_S: Final = 60.0


class Connections:
    """The service, over the store, the key store and the live connections."""

    def __init__(
        self,
        store: Store,
        keystore: KeyStore,
        live: Live,
        kinds: Mapping[str, Kind],
        clock: Clock,
        actor: Callable[[], str] = lambda: ACTOR,
    ) -> None:
        """`kinds` are all that there are; `actor` tells how evidence calls whoever asks."""
        self._store = store
        self._keystore = keystore
        self._live = live
        self._kinds = kinds
        self._clock = clock
        self._actor = actor
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Bring every connection of the record to life; one that cannot be is kept with what is wrong."""
        waiting = {record.name: record for record in await self._store.connections.all()}
        ready: dict[str, tuple[Kind, Configured]] = {}
        for record in waiting.values():
            kind = self._kinds.get(record.kind)
            if kind is None:
                unknown = errors.NotSupported(what=f"the kind {record.kind}")
                self._live.fail(record.name, _no_kind(record.kind), unknown)
                continue
            try:
                ready[record.name] = (
                    kind,
                    values_of.configured(record.name, kind, await self._values(record)),
                )
            except errors.KioskError as problem:
                self._live.fail(record.name, kind, problem)
        for name in _those_referred_to_first(ready):
            self._live.restore(*ready[name])

    async def all(self) -> Sequence[ConnectionView]:
        """Return every connection, by port and name."""
        records = {record.name: record for record in await self._store.connections.all()}
        named = await self._templates()
        return [await self._view(each, records.get(each.name), named) for each in self._live.linked]

    async def add(self, name: str, kind: str, values: Mapping[str, Value]) -> ConnectionView:
        """Add a connection and use it at once; raises as `ConnectionsService.add`."""
        async with self._changing:
            values_of.check_name(name)
            if self._live.named(name) is not None:
                raise errors.Invalid(field="name", why=f"there is a connection {name} already")
            return await self._keep(name, self._kind(kind), values, None)

    async def edit(self, name: str, values: Mapping[str, Value], unset: Sequence[str]) -> ConnectionView:
        """Change a connection and use it at once; raises as `ConnectionsService.edit`."""
        async with self._changing:
            record = await self._record(name)
            kept = {key: value for key, value in (await self._values(record)).items() if key not in unset}
            return await self._keep(name, self._kind(record.kind), {**kept, **values}, record)

    async def remove(self, name: str) -> None:
        """Forget a connection and its secrets; raises as `ConnectionsService.remove`."""
        async with self._changing:
            record = await self._record(name)
            kind = self._kind(record.kind)
            await self._require_unneeded(name, kind)
            facts: dict[str, Fact] = {"kind": record.kind, "version": record.version}
            await self._store.connections.remove(name, record.version, self._noted("removed", name, facts))
            self._live.drop(name)

    async def test(self, name: str) -> Sequence[Finding]:
        """Try a connection, changing nothing at its other end."""
        linked = self._live.named(name)
        if linked is None:
            raise errors.Invalid(field="name", why=f"there is no connection {name}")
        if linked.problem is not None or linked.connector is None:
            why = str(linked.problem.facts.get("why") or linked.problem.code) if linked.problem else ""
            return [Finding(aspect=Aspect.CONFIGURATION, verdict=Verdict.FAILS, detail=why)]
        works = Finding(aspect=Aspect.CONFIGURATION, verdict=Verdict.WORKS)
        if not isinstance(linked.connector, CanTest):
            return [works]
        try:
            async with asyncio.timeout(TEST_TIMEOUT_S):
                found = await linked.connector.test()
        except TimeoutError:
            late = f"no end within {TEST_TIMEOUT_S:.0f} seconds"
            return [works, Finding(aspect=Aspect.CONNECTION, verdict=Verdict.FAILS, detail=late)]
        return found if any(each.aspect is Aspect.CONFIGURATION for each in found) else [works, *found]

    # --- parts --------------------------------------------------------------------------------------

    async def _keep(
        self, name: str, kind: Kind, values: Mapping[str, Value], before: ConnectionRecord | None
    ) -> ConnectionView:
        """Build first, store then, use after that."""
        wanted = values_of.configured(name, kind, values)
        tried = self._live.try_out(kind, wanted)
        if isinstance(tried.connector, CanClose):
            await tried.connector.close()
        given = {key: value for key, value in values.items() if key in wanted.values}
        secrets = values_of.secrets_of(given)
        record = ConnectionRecord(
            name=name,
            kind=kind.name,
            settings=values_of.settings_text(given),
            sealed=await self._keystore.seal(values_of.sealing_context(name), values_of.secrets_text(secrets))
            if secrets
            else b"",
            version=before.version + 1 if before else 1,
            changed_at=self._clock.now(),
            changed_by=self._actor(),
        )
        facts = await self._facts(record, given, before)
        await self._store.connections.put(record, self._noted("changed" if before else "added", name, facts))
        self._live.connect(kind, wanted)
        linked = self._live.named(name)
        assert linked is not None
        return await self._view(linked, record, await self._templates())

    async def _facts(
        self, record: ConnectionRecord, given: Mapping[str, Value], before: ConnectionRecord | None
    ) -> dict[str, Fact]:
        """Return what evidence tells of a change: which fields, never what is in them."""
        old = await self._values(before) if before else {}
        changed = sorted(key for key in {*old, *given} if old.get(key) != given.get(key))
        return {
            "kind": record.kind,
            "version": record.version,
            "fields": ", ".join(changed),
            "digest": hashlib.sha256(record.settings.encode()).hexdigest(),
        }

    def _noted(self, event: str, name: str, facts: dict[str, Fact]) -> AuditRecord:
        return AuditRecord(
            kind=AuditKind.SERVER, event=f"connection-{event}", actor=self._actor(), subject=name, facts=facts
        )

    def _kind(self, name: str) -> Kind:
        kind = self._kinds.get(name)
        if kind is None:
            raise errors.NotSupported(what=f"the kind {name}")
        return kind

    async def _record(self, name: str) -> ConnectionRecord:
        """Return a connection that is kept here."""
        found = next((each for each in await self._store.connections.all() if each.name == name), None)
        if found is None:
            fixed = self._live.named(name) is not None
            why = "it comes with the server or from kiosk.toml" if fixed else f"there is no connection {name}"
            raise errors.Invalid(field="name", why=why)
        return found

    async def _values(self, record: ConnectionRecord) -> dict[str, Value]:
        """Return what was configured, secrets opened; `KeyStoreDamaged` where they do not open."""
        values = values_of.read_settings(record.settings)
        if record.sealed:
            opened = await self._keystore.unseal(values_of.sealing_context(record.name), record.sealed)
            values |= values_of.read_secrets(opened)
        return values

    async def _templates(self) -> dict[tuple[Port, str], list[str]]:
        """Return which templates name which connection, by their newest versions and those of open credentials."""
        found: dict[tuple[Port, str], list[str]] = {}
        stored = {each.ref: each for each in await self._store.templates.all_latest()}
        for ref in await self._store.credentials.templates_in_use() - stored.keys():
            if older := await self._store.templates.version(ref):
                stored[ref] = older
        for ref, each in sorted(stored.items(), key=lambda item: (item[0].name, -item[0].version)):
            template = parse_template(each.text)
            places = {(Port.DIRECTORY, template.directory)}
            places |= {(Port.CA, spec.ca) for spec in template.certificates}
            for place in places:
                names = found.setdefault(place, [])
                if ref.name not in names:
                    names.append(ref.name)
        return found

    async def _require_unneeded(self, name: str, kind: Kind) -> None:
        """Refuse to remove what is needed."""
        if templates := (await self._templates()).get((kind.port, name)):
            raise errors.NotAllowed(what=f"this while templates name it: {', '.join(templates)}")
        for each in self._live.linked:
            if each.configured and name in [each.configured.text(refers) for refers in each.kind.refers]:
                raise errors.NotAllowed(what=f"this while the connection {each.name} refers to it")
        if count := await self._store.connections.certificates_of(name, self._clock.now()):
            raise errors.NotAllowed(
                what=f"this while {count} certificates by it are good: it has to revoke them"
            )
        if count := await self._store.write_backs.count(name):
            raise errors.NotAllowed(what=f"this while {count} certificates are in it: it has to forget them")

    async def _view(
        self,
        linked: LinkedConnection,
        record: ConnectionRecord | None,
        templates: Mapping[tuple[Port, str], Sequence[str]],
    ) -> ConnectionView:
        source = (
            Source.RECORD
            if record
            else Source.SETTINGS
            if linked.line or linked.kind.fields
            else Source.SERVER
        )
        values = values_of.read_settings(record.settings) if record else {}
        return ConnectionView(
            name=linked.name,
            kind=linked.kind.name,
            port=linked.kind.port,
            source=source,
            abilities=abilities_of(linked),
            version=record.version if record else 0,
            changed_at=record.changed_at if record else None,
            changed_by=record.changed_by if record else "",
            values=values,
            secrets=secret_fields(linked),
            templates=tuple(templates.get((linked.kind.port, linked.name), ())),
            line=linked.line.state if linked.line else None,
            credential_ends=await credential_ends(linked),
            problem=linked.problem,
        )


def _those_referred_to_first(ready: Mapping[str, tuple[Kind, Configured]]) -> list[str]:
    """Return names in an order in which each comes after those that it refers to; a ring is left for `restore` to refuse."""
    order: list[str] = []

    def visit(name: str, above: frozenset[str]) -> None:
        if name in order or name in above or name not in ready:
            return
        kind, wanted = ready[name]
        for refers in kind.refers:
            visit(wanted.text(refers), above | {name})
        order.append(name)

    for name in ready:
        visit(name, frozenset())
    return order


def _no_kind(name: str) -> Kind:
    """Stand in for a kind that this program does not have: of a newer one, or of one with another connector."""

    def build(_configured: Configured, _around: Surroundings) -> NoReturn:
        raise errors.NotSupported(what=f"the kind {name}")

    return Kind(name=name, port=Port.CA, title=name, fields=(), abilities=frozenset(), build=build, page="")
