"""A card that this project issued logs its holder on by Kerberos, and does not after it was revoked.

Nothing is replaced: a server process with its directory over LDAPS and its published revocation lists, pcscd, OpenSC's
PKCS#11 module under MIT's `kinit`; an Active Directory domain controller, and a Kerberos server that checks the lists
(which Samba 4.17 does not).
"""

import os
import urllib.request
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509

from kiosk.station.faces import Job
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from shared.virtual.card import VirtualCard
from tests.peers.desk import Desk, desk
from tests.peers.kerberos import Kdc, client
from tests.peers.pcscd import PcscReader
from tests.peers.plugged import plugged
from tests.peers.ports import free_ports
from tests.peers.samba import REALM as DOMAIN
from tests.peers.samba import controlling, disable, samba
from tests.peers.slapd import people, slapd
from tests.scenario.lab import Holder, Notes

pytestmark = [
    pytest.mark.needs_pcscd,
    pytest.mark.needs_opensc,
    pytest.mark.needs_slapd,
    pytest.mark.needs_kerberos,
]

PIN: Final = "739154"
REALM: Final = "PEERS.TEST"
TEMPLATE: Final = """\
name = "log-on"
title = "Log-on by card"
directory = "people"

[[certificate]]
slot = "9A"
algorithm = "RSA-2048"
ca = "built-in"
profile = "smart-card-logon"
subject = "CN=${user.name},O=Peers"
upn = "${user.user}@PEERS.TEST"
"""
IN_THE_DOMAIN: Final = TEMPLATE.replace("${user.user}@PEERS.TEST", "${user.upn}") + 'sid = "${user.sid}"\n'
WITH_RSA: Final = '\n[server.ca]\nalgorithm = "RSA-3072"\n'
"""Heimdal in Samba 4.17 verifies nothing on curves."""
PUBLISHED: Final = """
[server.ca]
listen = "127.0.0.1:{port}"
"""


@pytest.mark.needs_samba
async def test_a_card_logs_on_somebody_of_an_active_directory(
    pcsc_reader: PcscReader, tmp_path: Path, short_folder: Path
) -> None:
    card = VirtualCard.new(ProfileName.YUBIKEY_5_4, serial=20114323, random=os.urandom)
    with plugged(card, pcsc_reader):
        with samba(short_folder / "samba", people(6)) as directory:
            async with desk(tmp_path, directory, [IN_THE_DOMAIN], settings=WITH_RSA) as whole:
                user = await _issue_and_activate(whole, pcsc_reader.name)
        with controlling(directory, issuers=[whole.root, whole.issuing]):
            folder = tmp_path / "client"
            folder.mkdir()
            kdc = x509.load_pem_x509_certificate((directory.folder / "kdc.pem").read_bytes())
            anchors = [kdc, whole.root, whole.issuing]
            domain = client(folder, DOMAIN, host=directory.host, port=88, anchors=anchors)
            status, screen = domain.log_on(user, PIN)
            assert status == 0, f"{screen}\n{domain.trace}"
            assert "PKINIT client verified DH reply" in domain.trace
            assert f"{user}@{DOMAIN}" in domain.tickets()
            status, screen = domain.log_on("u0006", PIN)
            assert status != 0, "somebody else's card"
            with directory.administrator() as administrator:
                disable(administrator, directory.people[0])
            status, screen = domain.log_on(user, PIN)
            assert status != 0, screen
            assert "revoked" in screen + domain.trace, f"{screen}\n{domain.trace}"


async def test_a_card_logs_its_holder_on_until_it_is_revoked(pcsc_reader: PcscReader, tmp_path: Path) -> None:
    card = VirtualCard.new(ProfileName.YUBIKEY_5_4, serial=20114322, random=os.urandom)
    port = free_ports()
    with slapd(tmp_path / "slapd", people(5)) as directory, plugged(card, pcsc_reader):
        settings = PUBLISHED.format(port=port)
        async with desk(tmp_path, directory, [TEMPLATE], settings=settings) as whole:
            user = await _issue_and_activate(whole, pcsc_reader.name)
            (tmp_path / "kdc").mkdir()
            kdc = Kdc(tmp_path / "kdc", REALM, [whole.root, whole.issuing], [user])
            with kdc.running(_lists(port)):
                status, screen = kdc.realm.log_on(user, PIN)
                assert status == 0, f"{screen}\n{kdc.realm.trace}"
                assert "PKINIT client verified DH reply" in kdc.realm.trace
                assert f"{user}@{REALM}" in kdc.realm.tickets()
            await _report_stolen(whole)
            with kdc.running(_lists(port)):
                status, screen = kdc.realm.log_on(user, PIN)
                assert status != 0, screen
                assert "certificate revoked" in kdc.refusals, f"{screen}\n{kdc.refusals}"


def _lists(port: int) -> list[x509.CertificateRevocationList]:
    """Fetch the lists as the Kerberos server's administrator would."""
    lists = []
    for name in ("issuing.crl", "root.crl"):
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/{name}", timeout=10
        ) as answer:  # our own server
            lists.append(x509.load_der_x509_crl(answer.read()))
    return lists


async def _issue_and_activate(whole: Desk, reader: str) -> str:
    """Issue to somebody and let the holder choose a PIN; return the user's name."""
    found = await whole.station.find_people("Bob")
    person = found.people[0]
    job = Job(operation=OperationKind.ISSUE, reader=reader, holder=person.holder, template="log-on")
    outcome = await whole.station.perform(job, Holder(), Notes())
    assert (outcome.error, outcome.state) == (None, "issued")
    job = Job(operation=OperationKind.ACTIVATE, reader=reader)
    outcome = await whole.station.perform(job, Holder(new_pins=[PIN]), Notes())
    assert (outcome.error, outcome.state) == (None, "active")
    return "bob"


async def _report_stolen(whole: Desk) -> None:
    """Revoke the credential while its card is elsewhere: the certificate stays on it."""
    (found,) = (await whole.station.find_credentials("Bob")).credentials
    decided = await whole.station.decide(found.record_id, OperationKind.REVOKE, "stolen")
    assert (decided.state, decided.facts["waiting"]) == ("revoked", 0)
