"""The virtual card is a PIV card for programs that know nothing of this project.

One tool personalises it through a real pcscd; then every tool judges it.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509

from shared.piv.ids import ProfileName, Slot
from shared.virtual.card import VirtualCard
from tests.peers.authority import SmallAuthority
from tests.peers.judges.opensc import change_pin_with_opensc, judge_with_opensc
from tests.peers.judges.openssl import judge_with_openssl
from tests.peers.judges.ssh import judge_with_ssh
from tests.peers.judges.subject import Subject
from tests.peers.judges.yubico import (
    judge_with_ykman,
    judge_with_yubico_piv_tool,
    read_certificate,
    ykman,
)
from tests.peers.pcscd import PcscReader
from tests.peers.personalise import PIN, personalise_with_ykman, personalise_with_yubico_piv_tool
from tests.peers.plugged import plugged

pytestmark = [pytest.mark.needs_pcscd, pytest.mark.needs_opensc]

ELLIPTIC: Final = {
    Slot.AUTHENTICATION: "ECCP256",
    Slot.SIGNATURE: "ECCP384",
    Slot.KEY_MANAGEMENT: "ECCP256",
    Slot.CARD_AUTHENTICATION: "ECCP256",
}
RSA: Final = {Slot.AUTHENTICATION: "RSA2048", Slot.SIGNATURE: "RSA2048"}


def _card(profile: ProfileName) -> VirtualCard:
    return VirtualCard.new(profile, serial=20114321, random=os.urandom)


def _judge(subject: Subject, authority: SmallAuthority) -> None:
    """Let everybody judge."""
    judge_with_yubico_piv_tool(subject)
    judge_with_ykman(subject)
    judge_with_opensc(subject)
    for slot in subject.certificates:
        read = read_certificate(subject.reader, slot)
        judge_with_openssl(read, root=authority.root, between=(), folder=subject.folder)


@pytest.mark.needs_sshd
@pytest.mark.parametrize("algorithms", [ELLIPTIC, RSA], ids=["elliptic", "rsa"])
@pytest.mark.parametrize(
    ("profile", "personalise"),
    [
        pytest.param(ProfileName.YUBIKEY_5_4, personalise_with_yubico_piv_tool, id="yubico-piv-tool"),
        pytest.param(ProfileName.YUBIKEY_5_7, personalise_with_ykman, id="ykman"),
    ],
)
def test_a_card_of_one_tool_satisfies_all_others(
    pcsc_reader: PcscReader,
    tmp_path: Path,
    profile: ProfileName,
    personalise: Callable[..., dict[Slot, x509.Certificate]],
    algorithms: dict[Slot, str],
) -> None:
    authority = SmallAuthority()
    with plugged(_card(profile), pcsc_reader):
        certificates = personalise(pcsc_reader.name, authority, algorithms, tmp_path)
        subject = Subject(reader=pcsc_reader.name, pin=PIN, certificates=certificates, folder=tmp_path)
        _judge(subject, authority)
        judge_with_ssh(subject)
        change_pin_with_opensc(subject, "135792")
        judge_with_opensc(replace(subject, pin="135792"))


def test_a_factory_card_is_recognised_as_one(pcsc_reader: PcscReader) -> None:
    with plugged(_card(ProfileName.YUBIKEY_5_7), pcsc_reader):
        said = ykman(pcsc_reader.name, "info")
    for secret in ("PIN", "PUK", "Management key"):
        assert f"WARNING: Using default {secret}!" in said


def test_the_judges_notice_a_wrong_certificate(pcsc_reader: PcscReader, tmp_path: Path) -> None:
    authority = SmallAuthority()
    with plugged(_card(ProfileName.YUBIKEY_5_7), pcsc_reader):
        only_9a = {Slot.AUTHENTICATION: "ECCP256"}
        certificates = personalise_with_ykman(pcsc_reader.name, authority, only_9a, tmp_path)
        own = certificates[Slot.AUTHENTICATION]
        other = authority.certify(own.public_key(), "Somebody Else")
        subject = Subject(
            reader=pcsc_reader.name,
            pin=PIN,
            certificates={Slot.AUTHENTICATION: other},
            folder=tmp_path,
        )
        for judge in (judge_with_yubico_piv_tool, judge_with_ykman, judge_with_opensc):
            with pytest.raises(AssertionError):
                judge(subject)
        with pytest.raises(AssertionError):
            judge_with_openssl(own, root=SmallAuthority().root, between=(), folder=tmp_path)
