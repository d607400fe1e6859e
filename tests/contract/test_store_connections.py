"""What every store must do with connections."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from server.ports.connections import ConnectionRecord
from server.ports.store import AuditKind, AuditRecord, CertificateChanged, Store
from shared.credential.model import CertificateState
from tests.contract.stores import begin, conflict
from tests.server.store.examples import NOON, a_card, a_certificate, der


def a_connection(**changed: Any) -> ConnectionRecord:
    record = ConnectionRecord(
        name="people",
        kind="openldap",
        settings='{"host":"ldap.example"}',
        sealed=b"sealed",
        version=1,
        changed_at=NOON,
        changed_by="admin",
    )
    return replace(record, **changed)


def noted(event: str) -> AuditRecord:
    return AuditRecord(kind=AuditKind.SERVER, event=event, actor="admin", subject="people")


async def events(store: Store) -> list[str]:
    return [entry.record.event for entry in await store.audit.about("people")]


async def test_connections_are_kept_by_name(store: Store) -> None:
    await store.connections.put(a_connection(), noted("added"))
    await store.connections.put(a_connection(name="another", sealed=b""), noted("added"))
    kept = [a_connection(name="another", sealed=b""), a_connection()]
    assert list(await store.connections.all()) == kept


async def test_a_version_follows_the_one_before(store: Store) -> None:
    await store.connections.put(a_connection(), noted("added"))
    second = a_connection(version=2, settings="{}", sealed=b"other")
    await store.connections.put(second, noted("changed"))
    assert list(await store.connections.all()) == [second]
    for version in (1, 2, 4):  # there already, changed by somebody else meanwhile, skipped
        with conflict("connection"):
            await store.connections.put(a_connection(version=version), noted("changed"))
    assert list(await store.connections.all()) == [second]
    assert await events(store) == ["added", "changed"]


async def test_one_that_was_removed_is_gone_with_its_secrets(store: Store) -> None:
    await store.connections.put(a_connection(), noted("added"))
    for name, version in (("people", 2), ("nobody", 1)):
        with conflict("connection"):
            await store.connections.remove(name, version, noted("removed"))
    await store.connections.remove("people", 1, noted("removed"))
    assert not await store.connections.all()
    with conflict("connection"):
        await store.connections.put(a_connection(version=2), noted("changed"))
    await store.connections.put(a_connection(), noted("added"))
    assert await events(store) == ["added", "removed", "added"]


async def test_certificates_that_may_have_to_be_revoked_are_counted(store: Store) -> None:
    good = der(NOON + timedelta(days=1))
    certificates = [
        a_certificate(),
        a_certificate(state=CertificateState.CONFIRMED, certificate=good),
        a_certificate(state=CertificateState.HELD, certificate=good),
        a_certificate(state=CertificateState.CONFIRMED, certificate=der(NOON)),
        a_certificate(state=CertificateState.REVOKED, certificate=good),
        a_certificate(state=CertificateState.REFUSED),
        a_certificate(connection="another"),
    ]
    lease = await begin(store, a_card())
    await store.cards.apply(lease, [CertificateChanged(certificate=each) for each in certificates])
    counted = [
        await store.connections.certificates_of(name, NOON) for name in ("built-in", "another", "none")
    ]
    assert counted == [3, 1, 0]
