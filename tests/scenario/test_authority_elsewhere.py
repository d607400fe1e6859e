"""A whole card by a certificate authority that is somewhere else: over TLS, with approvals, lost answers and wrong certificates."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from shared.credential.model import State
from shared.piv.certificate import CertificateContainer
from shared.piv.ids import ObjectId, Slot
from tests.contract.ca import ejbca
from tests.contract.ca.ejbca import Ejbca
from tests.contract.ca.web import Trouble
from tests.scenario.judging import WatchedCard, issue, put, said
from tests.scenario.lab import Lab

OUTSIDE = """\
name = "employee"
title = "Employee badge"
directory = "people"

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "ejbca"
profile = "Person/ENDUSER"
subject = "CN=${user.name},O=Example"
upn = "${user.upn}"
sid = "${user.sid?}"

[[certificate]]
slot = "9C"
algorithm = "RSA-2048"
ca = "ejbca"
profile = "Person/ENDUSER"
subject = "CN=${user.name},O=Example"
mail = "${user.mail}"
"""


@pytest.fixture
async def double(tmp_path: Path) -> AsyncIterator[Ejbca]:
    made = Ejbca(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def authority(double: Ejbca) -> AsyncIterator[Any]:
    made = ejbca.bench(double).build()
    yield made
    await made.close()


@pytest.fixture
async def lab(authority: Any) -> AsyncIterator[Lab]:
    made = await Lab.start(template=OUTSIDE)
    made.services.authorities["ejbca"] = authority  # type: ignore[index]  # a dict, really
    yield made
    await made.close()


def on_card(card: WatchedCard) -> set[bytes]:
    found = set()
    for slot in (Slot.AUTHENTICATION, Slot.SIGNATURE):
        content = card.memory.objects.get(slot.certificate_object)
        if content is not None:
            found.add(CertificateContainer.from_bytes(content).certificate)
    return found


async def test_a_card_is_issued(lab: Lab, double: Ejbca) -> None:
    card = await put(lab, WatchedCard.fresh())
    assert (await issue(lab)).state == State.ISSUED
    assert on_card(card) == {entry.der for entry in double.signer.book}
    assert not any(entry.revoked for entry in double.signer.book)
    (logon,) = [
        entry.certificate
        for entry in double.signer.book
        if any(each.oid.dotted_string == "1.3.6.1.4.1.311.25.2" for each in entry.certificate.extensions)
    ]
    names = logon.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [type(name) for name in names] == [x509.OtherName], "the log-on name, and nothing of the card"


async def test_an_approval_there(lab: Lab, double: Ejbca) -> None:
    card = await put(lab, WatchedCard.fresh())
    double.trouble = Trouble.PENDING
    for _ in range(2):
        assert "lets the request wait" in said(await issue(lab), "certificate-pending")
    double.approved = True
    assert (await issue(lab)).state == State.ISSUED
    assert on_card(card) == {entry.der for entry in double.signer.book}
    assert len(double.signer.book) == 2


async def test_a_lost_answer_makes_no_second_certificate(lab: Lab, double: Ejbca) -> None:
    card = await put(lab, WatchedCard.fresh())
    double.trouble, double.only = Trouble.LOST, "pkcs10enroll"
    said(await issue(lab), "connector-unreachable")
    double.trouble = Trouble.NONE
    assert (await issue(lab)).state == State.ISSUED
    assert on_card(card) == {entry.der for entry in double.signer.book}
    assert len(double.signer.book) == 2


@pytest.mark.parametrize("trouble", [Trouble.OTHER_KEY, Trouble.NONSENSE])
async def test_a_wrong_certificate_never_reaches_the_card(lab: Lab, double: Ejbca, trouble: Trouble) -> None:
    card = await put(lab, WatchedCard.fresh())
    double.trouble = trouble
    sentence = said(await issue(lab), "certificate-rejected")
    assert "ejbca" in sentence
    assert on_card(card) == set()
    assert ObjectId.SECURITY not in card.memory.objects


async def test_whoever_issues_is_told_what_may_stay_valid(lab: Lab) -> None:
    assert [each.unrevocable for each in await lab.station.templates()] == [()]
    await lab.apply(OUTSIDE.replace('ca = "ejbca"', 'ca = "ejbca"\naccept-unrevocable = true', 1), version=2)
    assert [each.unrevocable for each in await lab.station.templates()] == [("ejbca",)]
