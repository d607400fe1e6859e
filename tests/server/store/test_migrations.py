"""A database of an older version keeps what is in it."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlcipher3
from alembic import command

from server.ports.evidence import canonical_facts, leaf_hash, microseconds
from server.store.database import connect, engine_over, open_store, upgrade_store
from server.store.migrate import configuration
from server.store.rules import words
from shared import errors
from shared.credential.model import (
    FACTORY,
    CardRecord,
    CertificateRecord,
    CertificateState,
    CredentialId,
    CredentialRecord,
    HolderId,
    OpenOperation,
    OperationId,
    PinState,
    RecordId,
    RequestId,
    SecretRecord,
    SecretVersion,
    State,
)
from shared.piv.ids import ManagementAlgorithm, Slot
from shared.secret import Secret
from tests.server.store.examples import BADGE, EVIDENCE, NOON, FixedClock, a_credential, der

KEY = bytes(range(32))
CARD, CREDENTIAL, RETIRED, OPERATION, REQUEST, REFUSED = (uuid4() for _ in range(6))
END = NOON.replace(microsecond=0) + timedelta(days=30)


def rows() -> Iterator[tuple[str, dict[str, Any]]]:
    """Return rows of version 1, as a server of that version wrote them."""
    noon = microseconds(NOON)
    template = {"template_name": BADGE.name, "template_version": 1, "template_digest": BADGE.digest}
    yield (
        "template",
        {"name": BADGE.name, "version": 1, "digest": BADGE.digest, "text": "", "applied_at": noon},
    )
    yield (
        "card",
        {
            "record_id": CARD.hex,
            "state": "active",
            "profile": "yubikey-5.4",
            "serial": 2**40,
            "virtual": 1,
            "management_algorithm": 12,
            "pin": "holder",
            "registered_at": noon,
        },
    )
    for kind, proven in (("management-key", 3), ("puk", 0)):
        values = {"proven_generation": proven, "proven_count": 0}
        yield "card_secret", {"record_id": CARD.hex, "kind": kind, **values}
    for credential_id, state in ((RETIRED, "retired"), (CREDENTIAL, "active")):
        yield (
            "credential",
            {
                "credential_id": credential_id.hex,
                "record_id": CARD.hex,
                "holder": "8D3F",
                "holder_name": "Zoë  STRASSE",
                **template,
                "state": state,
                "issued_at": noon,
                "activated_at": None,
            },
        )
    for request_id, state, content in ((REQUEST, "confirmed", der(END)), (REFUSED, "refused", b"\x30\x82")):
        yield (
            "certificate",
            {
                "request_id": request_id.hex,
                "record_id": CARD.hex,
                "slot": 0x9C,
                "connection": "built-in",
                "profile": "signature",
                "public_key": b"\x30",
                "state": state,
                "certificate": content,
            },
        )
    yield (
        "operation",
        {
            "operation_id": OPERATION.hex,
            "record_id": CARD.hex,
            "kind": "update",
            "holder": "8D3F",
            **template,
            "station_id": uuid4().hex,
            "began_at": noon,
            "ended_at": None,
            "code": "card-lost",
        },
    )
    yield (
        "lease",
        {
            "record_id": CARD.hex,
            "operation_id": OPERATION.hex,
            "station_id": uuid4().hex,
            "epoch": 7,
            "live": 0,
            "proven": 1,
            "expires_at": 0,
        },
    )
    yield (
        "audit",
        {
            "position": 0,
            "at": noon,
            "kind": EVIDENCE.kind.value,
            "event": EVIDENCE.event,
            "actor": EVIDENCE.actor,
            "subject": EVIDENCE.subject,
            "facts": canonical_facts(EVIDENCE.facts),
            "leaf": leaf_hash(NOON, EVIDENCE),
        },
    )


KEPT = CardRecord(
    record_id=RecordId(CARD),
    state=State.ACTIVE,
    profile="yubikey-5.4",
    serial=2**40,
    virtual=True,
    management_algorithm=ManagementAlgorithm.AES256,
    management_key=SecretRecord(proven=SecretVersion(3)),
    puk=SecretRecord(proven=FACTORY),
    pin=PinState.HOLDER,
    certificates=tuple(
        CertificateRecord(
            request_id=RequestId(request_id),
            slot=Slot.SIGNATURE,
            connection="built-in",
            profile="signature",
            public_key=b"\x30",
            state=state,
            certificate=content,
        )
        for request_id, state, content in (
            (REQUEST, CertificateState.CONFIRMED, der(END)),
            (REFUSED, CertificateState.REFUSED, b"\x30\x82"),
        )
    ),
    credential=CredentialRecord(
        credential_id=CredentialId(CREDENTIAL),
        holder=HolderId("8D3F"),
        holder_name="Zoë  STRASSE",
        template=BADGE,
        state=State.ACTIVE,
        issued_at=NOON,
    ),
    open_operation=OpenOperation(
        operation_id=OperationId(OPERATION),
        kind="update",
        holder=HolderId("8D3F"),
        template=BADGE,
        began_at=NOON,
    ),
)
"""What those rows mean to this program."""


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """Return an encrypted database of version 1 with rows in it."""
    path = tmp_path / "store.db"
    path.touch()
    connection = connect(path, Secret(KEY))
    engine = engine_over(connection)
    with engine.begin() as transaction:
        command.upgrade(configuration(transaction), "0001")
    for table, values in rows():
        places = ", ".join("?" * len(values))
        insert = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})"  # our own words
        connection.execute(insert, tuple(values.values()))
    engine.dispose()
    connection.close()
    return path


def test_an_old_database_is_not_served_before_it_is_upgraded(first: Path) -> None:
    with pytest.raises(errors.StoreUnavailable, match="tables of version 0001"):
        open_store(first, Secret(KEY), FixedClock())


def test_everything_is_there_after_an_upgrade_and_can_be_found(first: Path) -> None:
    upgrade_store(first, Secret(KEY))

    async def check() -> None:
        store = open_store(first, Secret(KEY), FixedClock())
        assert await store.cards.card(RecordId(CARD)) == KEPT
        assert list(await store.credentials.search("zoë straße", 5)) == [KEPT]
        assert list(await store.credentials.search("8d3f", 5)) == [KEPT]
        assert list(await store.credentials.expiring(END)) == [KEPT]
        assert list(await store.credentials.expiring(END - timedelta(seconds=1))) == []
        assert list(await store.credentials.ending(END)) == []
        assert list(await store.tasks.all()) == []
        (evidence,) = await store.audit.page(0, 10)
        assert (evidence.record, evidence.leaf) == (EVIDENCE, leaf_hash(NOON, EVIDENCE))
        await store.close()

    asyncio.run(check())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE card SET virtual = 2",
        "UPDATE card SET pin = 'x'",
        "UPDATE card SET puk_disclosed = 2",
        "UPDATE card SET state = 'x'",
        "UPDATE certificate SET state = 'x'",
        "UPDATE certificate SET slot = 1",
        "UPDATE certificate SET record_id = '0'",
        "UPDATE certificate SET request_id = '0'",
        "UPDATE credential SET pin_change_due = 2",
        "UPDATE credential SET state = 'active'",
        "UPDATE credential SET primary_id = '0'",
        "UPDATE credential SET template_version = 7",
        "UPDATE credential SET words = NULL",
        "UPDATE operation SET reason = NULL",
        "UPDATE operation SET record_id = '0'",
        "DELETE FROM card",
        "DELETE FROM operation",
        "DELETE FROM audit",
        "UPDATE audit SET event = 'x'",
        "INSERT INTO audit SELECT position + 2, at, kind, event, actor, subject, facts, leaf FROM audit",
        "INSERT INTO audit SELECT position + 1, at, 'x', event, actor, subject, facts, leaf FROM audit",
        "INSERT INTO operator VALUES ('0', '', NULL, 'operator', 'active', 0, NULL, -1, NULL)",
        "INSERT INTO operator_key VALUES (1, '', '0', 'card', NULL, 1)",
        "INSERT INTO operator_role VALUES ('0', 'normal')",
        "INSERT INTO passcode VALUES (2, '', '', 1, 1, 1, 0, NULL, 0, NULL, NULL, NULL, NULL, NULL)",
        "INSERT INTO passcode VALUES (1, '', '', 1, 1, 1, 0, NULL, 0, NULL, 'x', NULL, NULL, NULL)",
        "INSERT INTO unblock_code VALUES ('0', '', 0, 1)",
    ],
)
def test_what_the_tables_refuse_they_still_refuse(first: Path, statement: str) -> None:
    upgrade_store(first, Secret(KEY))
    connection = connect(first, Secret(KEY))
    with pytest.raises(sqlcipher3.IntegrityError):
        connection.execute(statement)
    connection.close()


def test_what_the_tables_take_now_they_take(first: Path) -> None:
    upgrade_store(first, Secret(KEY))
    connection = connect(first, Secret(KEY))
    for statement in (
        "UPDATE certificate SET state = 'held'",
        f"UPDATE credential SET replaces_id = '{RETIRED.hex}'",  # our own words
        "UPDATE credential SET state = 'unregistered' WHERE state = 'retired'",
        "INSERT INTO audit SELECT position + 1, at, 'session', event, actor, subject, facts, leaf FROM audit",
    ):
        connection.execute(statement)
    connection.close()


def test_a_cut_upgrade_leaves_the_old_database(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.store.database._check_references", _fail)
    with pytest.raises(errors.StoreUnavailable, match="cut here"):
        upgrade_store(first, Secret(KEY))
    monkeypatch.undo()
    with pytest.raises(errors.StoreUnavailable, match="tables of version 0001"):
        open_store(first, Secret(KEY), FixedClock())
    upgrade_store(first, Secret(KEY))
    asyncio.run(open_store(first, Secret(KEY), FixedClock()).close())


def _fail(_transaction: object) -> None:
    raise errors.StoreUnavailable(why="cut here")


def test_the_words_of_old_and_new_rows_are_made_alike(first: Path) -> None:
    """The migration keeps its own copy of how they are made: a script that was released never changes."""
    upgrade_store(first, Secret(KEY))
    connection = connect(first, Secret(KEY))
    made = {row[0] for row in connection.execute("SELECT words FROM credential").fetchall()}
    connection.close()
    assert made == {words(a_credential(holder=HolderId("8D3F"), holder_name="Zoë  STRASSE"))}
