"""A card that this project issued, for a person found over LDAPS, through a real PC/SC reader.

Nothing is replaced: a server process, mutual TLS, OpenLDAP, pcscd. Then programs that know nothing of us judge the
card, with the PIN that its holder chose.
"""

import os
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from kiosk.station.faces import Job
from shared.piv.ids import ProfileName, Slot
from shared.relay import OperationKind
from shared.virtual.card import VirtualCard
from tests.peers.desk import Desk, desk
from tests.peers.judges.opensc import change_pin_with_opensc, judge_with_opensc
from tests.peers.judges.openssl import judge_with_openssl
from tests.peers.judges.ssh import judge_with_ssh
from tests.peers.judges.subject import Subject
from tests.peers.judges.yubico import judge_with_ykman, judge_with_yubico_piv_tool, read_certificate
from tests.peers.pcscd import PcscReader
from tests.peers.plugged import plugged
from tests.peers.slapd import people, slapd
from tests.scenario.lab import Holder, Notes

pytestmark = [
    pytest.mark.needs_pcscd,
    pytest.mark.needs_opensc,
    pytest.mark.needs_slapd,
    pytest.mark.needs_sshd,
]

PEOPLE: Final = 200
PIN: Final = "739154"
NEXT_PIN: Final = "482615"

HEAD: Final = """\
name = "{name}"
title = "Peers"
directory = "people"
"""
CERTIFICATE: Final = """
[[certificate]]
slot = "{slot}"
algorithm = "{algorithm}"
ca = "built-in"
profile = "{profile}"
subject = "CN=${{user.name}},O=Peers"
"""
PROFILES: Final = {
    Slot.AUTHENTICATION: "piv-authentication",
    Slot.SIGNATURE: "signature",
    Slot.KEY_MANAGEMENT: "key-management",
    Slot.CARD_AUTHENTICATION: "card-authentication",
}


def _template(name: str, algorithms: dict[Slot, str]) -> str:
    tables = [
        CERTIFICATE.format(slot=slot.text, algorithm=algorithm, profile=PROFILES[slot])
        for slot, algorithm in algorithms.items()
    ]
    return HEAD.format(name=name) + "".join(tables)


ELLIPTIC: Final = dict.fromkeys(PROFILES, "P-256") | {Slot.SIGNATURE: "P-384"}
RSA: Final = {Slot.AUTHENTICATION: "RSA-2048", Slot.SIGNATURE: "RSA-2048"}


@pytest.mark.parametrize(
    ("profile", "algorithms"),
    [
        pytest.param(ProfileName.YUBIKEY_5_7, ELLIPTIC, id="yubikey-5.7-elliptic"),
        pytest.param(ProfileName.YUBIKEY_5_4, RSA, id="yubikey-5.4-rsa"),
    ],
)
async def test_third_parties_accept_an_issued_card(
    pcsc_reader: PcscReader, tmp_path: Path, profile: ProfileName, algorithms: dict[Slot, str]
) -> None:
    card = VirtualCard.new(profile, serial=20114321, random=os.urandom)
    with slapd(tmp_path / "slapd", people(PEOPLE)) as directory, plugged(card, pcsc_reader):
        async with desk(tmp_path, directory, [_template("peers", algorithms)]) as whole:
            name = await _issue_and_activate(whole, pcsc_reader.name)
            certificates = {slot: read_certificate(pcsc_reader.name, slot) for slot in algorithms}
            _judge(
                whole,
                Subject(reader=pcsc_reader.name, pin=PIN, certificates=certificates, folder=tmp_path),
                name,
            )
            await _change_pin(whole, pcsc_reader.name)


async def _issue_and_activate(whole: Desk, reader: str) -> str:
    """Find somebody, issue, let the holder choose a PIN; return the person's name."""
    found = await whole.station.find_people("Anna")
    person = found.people[0]
    job = Job(operation=OperationKind.ISSUE, reader=reader, holder=person.holder, template="peers")
    outcome = await whole.station.perform(job, Holder(), Notes())
    assert (outcome.error, outcome.state) == (None, "issued")
    job = Job(operation=OperationKind.ACTIVATE, reader=reader)
    outcome = await whole.station.perform(job, Holder(new_pins=[PIN]), Notes())
    assert (outcome.error, outcome.state) == (None, "active")
    return person.name


def _judge(whole: Desk, subject: Subject, name: str) -> None:
    """Let everybody judge, and leave the card with the PIN that it came with."""
    for certificate in subject.certificates.values():
        assert _common_name(certificate) == name
        judge_with_openssl(certificate, root=whole.root, between=[whole.issuing], folder=subject.folder)
    judge_with_yubico_piv_tool(subject)
    judge_with_ykman(subject)
    judge_with_opensc(subject)
    judge_with_ssh(subject)
    change_pin_with_opensc(subject, NEXT_PIN)


async def _change_pin(whole: Desk, reader: str) -> None:
    """Change the PIN that OpenSC set, through us: what a third party did to the PIN does not lock us out."""
    job = Job(operation=OperationKind.CHANGE_PIN, reader=reader)
    holder = Holder(current_pins=[PIN, NEXT_PIN], new_pins=["195537"])
    outcome = await whole.station.perform(job, holder, Notes())
    assert (outcome.error, outcome.state) == (None, "active")
    assert [problem.code if problem else None for problem in holder.problems] == [None, "pin-rejected", None]


def _common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
