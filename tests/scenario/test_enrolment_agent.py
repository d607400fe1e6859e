"""A whole card by AD CS: an enrolment agent asks for the holder's account, and another connection revokes what it got."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from server.connectors.ca.adcs.wstep import KIND
from shared.credential.model import State
from shared.credential.reasons import Cause
from shared.piv.certificate import CertificateContainer
from shared.piv.ids import Slot
from shared.relay import OperationKind
from shared.secret import Secret
from tests.contract.ca import adcs_wstep, dogtag
from tests.contract.ca.adcs_wstep import ACCOUNTS, FOR_OTHERS, Account, Wstep, values
from tests.contract.ca.bench import connect
from tests.scenario.judging import PIN, WatchedCard, issue, put, said
from tests.scenario.lab import BOB, Holder, Lab

TEMPLATE: Final = f"""\
name = "employee"
title = "Employee badge"
directory = "people"

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "adcs"
profile = "{FOR_OTHERS}"
subject = "CN=${{user.name}},O=Example"
upn = "${{user.upn}}"
sid = "${{user.sid}}"
account = 'EXAMPLE\\${{user.user}}'
"""
BOBS: Final = Account("CN=Bob Smith,O=Example", BOB.attributes["upn"], BOB.attributes["sid"])
SOMEBODY_ELSES: Final = Account(BOBS.subject, BOBS.upn, "S-1-5-21-1004336348-1177238915-682003330-500")


@pytest.fixture
async def adcs(tmp_path: Path) -> AsyncIterator[Wstep]:
    made = Wstep(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def authority(adcs: Wstep, tmp_path: Path) -> AsyncIterator[Any]:
    """A connection whose certificates another one revokes: a different interface to the same certificate authority."""
    folder = tmp_path / "revoking"
    folder.mkdir()
    beside = dogtag.Dogtag(folder)
    beside.signer = adcs.signer
    await beside.start()
    revoking = dogtag.bench(beside).build()
    agent = {
        "agent-certificate": adcs.agent.pem,
        "agent-key": Secret.from_text(adcs.agent.key_pem),
        "profiles": (FOR_OTHERS,),
        "revoked-by": "revoking",
    }
    made = connect(KIND, values(adcs, **agent), {"revoking": revoking}.__getitem__)  # type: ignore[arg-type]  # values
    yield made
    await made.close()
    await revoking.close()
    await beside.stop()


async def started(authority: Any, template: str = TEMPLATE) -> Lab:
    made = await Lab.start(template=template)
    made.services.authorities["adcs"] = authority  # type: ignore[index]  # a dict, really
    return made


@pytest.fixture
async def lab(authority: Any) -> AsyncIterator[Lab]:
    made = await started(authority)
    yield made
    await made.close()


async def test_a_card_for_an_account(lab: Lab, adcs: Wstep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACCOUNTS, "EXAMPLE\\bsmith", BOBS)
    card = await put(lab, WatchedCard.fresh())
    assert (await issue(lab)).state == State.ISSUED
    assert adcs.enrolled_for == ["EXAMPLE\\bsmith"]
    (entry,) = adcs.signer.book
    content = card.memory.objects[Slot.AUTHENTICATION.certificate_object]
    assert CertificateContainer.from_bytes(content).certificate == entry.der
    activated = await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))
    assert activated.state == State.ACTIVE
    assert (await lab.perform(OperationKind.SUSPEND, reason=Cause.FORGOTTEN)).error is None
    assert (entry.revoked, entry.reason) == (True, "Certificate_Hold")
    assert (await lab.perform(OperationKind.REVOKE, reason=Cause.STOLEN)).error is None
    assert (entry.revoked, entry.reason) == (True, "Key_Compromise")


async def test_a_certificate_with_somebody_elses_sid_never_reaches_the_card(
    lab: Lab, adcs: Wstep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is right, and a domain controller would log on the administrator by it."""
    monkeypatch.setitem(ACCOUNTS, "EXAMPLE\\bsmith", SOMEBODY_ELSES)
    card = await put(lab, WatchedCard.fresh())
    assert "adcs" in said(await issue(lab), "certificate-rejected")
    assert Slot.AUTHENTICATION.certificate_object not in card.memory.objects
    assert len(adcs.signer.book) == 1


async def test_an_account_that_the_agent_may_not_enrol_for(
    lab: Lab, adcs: Wstep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adcs_wstep, "RESTRICTED", "EXAMPLE\\bsmith")
    await put(lab, WatchedCard.fresh())
    assert "may not enrol for this account" in said(await issue(lab), "connector-refused")
    assert adcs.signer.book == []


async def test_a_template_without_an_account_is_refused_before_a_card_is_touched(
    authority: Any, adcs: Wstep
) -> None:
    lab = await started(authority, TEMPLATE.replace("account = ", "# "))
    try:
        card = await put(lab, WatchedCard.fresh())
        assert "names none (account)" in said(await issue(lab), "template-impossible")
        assert card.writes == []
        assert adcs.seen == []
    finally:
        await lab.close()
