"""What a station claims to have read: nothing that we did not write is vouched for by us."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from cryptography import x509

from shared.piv.ccc import Ccc
from shared.piv.chuid import Chuid
from shared.piv.fascn import FascN
from shared.piv.ids import Ins, ObjectId, ProfileName
from shared.piv.security_object import SecurityObject, verify
from shared.relay import OperationKind
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.cards import ListeningCard, listening
from tests.scenario.lab import BOB, Lab


def other_date(chuid: Chuid) -> Chuid:
    return replace(chuid, expires=date(2099, 1, 1))


def other_agency(chuid: Chuid) -> Chuid:
    return replace(chuid, fasc_n=FascN(agency="1234", system="0001", credential="000007"))


def unsigned(chuid: Chuid) -> Chuid:
    return replace(chuid, signature=b"")


def with_more(chuid: Chuid) -> Chuid:
    return replace(chuid, buffer_length=b"\xee\x02\x00\x00")


@pytest.mark.parametrize("forge", [other_date, other_agency, unsigned, with_more])
async def test_a_forged_chuid_is_written_anew_and_never_vouched_for(forge: Callable[[Chuid], Chuid]) -> None:
    lab = await Lab.start()
    try:
        await lab.insert(ProfileName.YUBIKEY_5_4, make=listening)
        await lab.settle()
        card = lab.readers.card("card")
        assert isinstance(card, ListeningCard)
        lab.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, ins=Ins.RESET_RETRY_COUNTER, at=1))
        cut = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
        assert cut.error is not None
        genuine = Chuid.from_bytes(card.memory.objects[ObjectId.CHUID])
        forged = bytes(forge(genuine))
        card._applet.memory = card.memory.with_object(ObjectId.CHUID, forged).with_object(
            ObjectId.CCC, bytes(Ccc(card_id=bytes(14)))
        )
        await lab.readers.insert("Reader 1", "card")
        await lab.settle()
        outcome = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
        assert outcome.error is None
        written = Chuid.from_bytes(card.memory.objects[ObjectId.CHUID])
        assert bytes(written) != forged
        assert (written.guid, written.fasc_n) == (genuine.guid, genuine.fasc_n)
        assert written.expires != date(2099, 1, 1)
        assert Ccc.from_bytes(card.memory.objects[ObjectId.CCC]).card_id == genuine.guid.bytes[:14]
        vouched = SecurityObject.from_bytes(card.memory.objects[ObjectId.SECURITY])
        held = {ObjectId(tag): content for tag, content in card.memory.objects.items()}
        verify(vouched, held, x509.load_der_x509_certificate(lab.services.signer.certificate))
    finally:
        await lab.close()
