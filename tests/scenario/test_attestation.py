"""A template that asks for attestation: a key that the vendor does not vouch for gets no certificate."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from kiosk.station.faces import Outcome
from server.operations.services import Services
from server.settings import ServerSettings
from server.wiring import Parts, initialise, open_parts
from shared import errors
from shared.clock import SystemClock
from shared.credential.model import State
from shared.piv.ids import PRIMARY_SLOTS, Algorithm, Origin, PinPolicyId, ProfileName, Slot, TouchPolicyId
from shared.relay import OperationKind
from shared.secret import Secret
from shared.virtual import vendor
from shared.virtual.applet import Applet
from shared.virtual.card import VirtualCard
from shared.virtual.keys import generate_key
from shared.virtual.lab import device_certificate, lab_root
from shared.virtual.memory import Memory, StoredKey
from shared.virtual.profiles import PROFILES
from tests.scenario.cards import holds_matching_keys, pooled
from tests.scenario.lab import BOB, Holder, Lab
from tests.scenario.templates import certificate, template

A, C, D, E = PRIMARY_SLOTS
ATTESTED = "[attestation]\nrequired = true\nroots = ['lab']"
ROOT = lab_root().public_bytes(Encoding.DER)
FOUR_KEYS = template(*(certificate(slot, Algorithm.P256) for slot in PRIMARY_SLOTS), tables=ATTESTED)
ONE_KEY = template(certificate(A, Algorithm.P256, pin=PinPolicyId.ONCE), tables=ATTESTED)


def trusting(root: bytes = ROOT) -> Callable[[Services], Services]:
    """Give the server a root for lab stations."""
    return lambda services: replace(services, lab_roots={"lab": root})


@asynccontextmanager
async def desk(
    text: str = FOUR_KEYS,
    profile: ProfileName = ProfileName.YUBIKEY_5_7,
    *,
    adapt: Callable[[Services], Services] = trusting(),  # noqa: B008  # a function, made once
) -> AsyncIterator[Lab]:
    """Start a lab with a new card in its reader."""
    lab = await Lab.start(template=text, adapt=adapt)
    try:
        await lab.insert(profile, make=pooled)
        yield lab
    finally:
        await lab.close()


async def issue(lab: Lab) -> Outcome:
    return await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="breadth")


def certificates_of_holders(lab: Lab) -> list[int]:
    """Return the serial numbers of what was signed for a request."""
    return [entry.serial for entry in lab.store._book.state.ledger.values() if entry.request_id is not None]


async def refused(lab: Lab) -> str:
    """Try to issue; nothing may have been asked of the certificate authority. Return why."""
    outcome = await issue(lab)
    assert outcome.error is not None
    assert outcome.error.code == "card-not-genuine"
    assert outcome.next_action == "use-another-card"
    assert certificates_of_holders(lab) == []
    (record,) = lab.store._book.state.cards.values()
    assert record.certificates == ()
    assert record.state is State.REGISTERED
    return str(outcome.error.facts["why"])


@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_4, ProfileName.YUBIKEY_5_0, ProfileName.YUBIKEY_5_7])
async def test_genuine_keys_are_certified(profile: ProfileName) -> None:
    async with desk(profile=profile) as lab:
        outcome = await issue(lab)
        assert outcome.error is None
        assert outcome.round_trips <= 8
        assert holds_matching_keys(lab.readers.card("card"), *PRIMARY_SLOTS)


@pytest.mark.parametrize("pin", [PinPolicyId.NEVER, PinPolicyId.ONCE, PinPolicyId.ALWAYS])
@pytest.mark.parametrize("touch", [TouchPolicyId.ALWAYS, TouchPolicyId.CACHED])
async def test_policies_are_vouched_for(pin: PinPolicyId, touch: TouchPolicyId) -> None:
    async with desk(template(certificate(A, Algorithm.P256, pin=pin, touch=touch), tables=ATTESTED)) as lab:
        assert (await issue(lab)).error is None


def touch_on_record(lab: Lab) -> TouchPolicyId | None:
    (record,) = lab.store._book.state.cards.values()
    return record.keys[A].touch


@pytest.mark.parametrize("touch", [TouchPolicyId.ALWAYS, TouchPolicyId.CACHED, TouchPolicyId.NEVER])
async def test_what_the_vendor_vouches_for_is_on_record(touch: TouchPolicyId) -> None:
    """And says the same of the key that takes its place, or is certified again."""
    async with desk(template(certificate(A, Algorithm.P256, touch=touch), tables=ATTESTED)) as lab:
        assert (await issue(lab)).error is None
        assert touch_on_record(lab) is touch
        assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["739154"]))).error is None
        for again in (OperationKind.RENEW, OperationKind.REISSUE):
            assert (await lab.perform(again, Holder(current_pins=["739154"]))).error is None
            assert touch_on_record(lab) is touch


async def test_what_nobody_verified_is_not_on_record() -> None:
    """The card makes a key that takes a touch, and would attest it: the template does not ask."""
    async with desk(template(certificate(A, Algorithm.P256, touch=TouchPolicyId.ALWAYS))) as lab:
        assert (await issue(lab)).error is None
        assert lab.readers.card("card").memory.keys[A].touch is TouchPolicyId.ALWAYS
        assert touch_on_record(lab) is None


async def test_a_key_that_is_gone_leaves_no_policy_behind() -> None:
    text = template(certificate(A, Algorithm.P256, touch=TouchPolicyId.ALWAYS), tables=ATTESTED)
    async with desk(text) as lab:
        assert (await issue(lab)).error is None
        assert (await lab.perform(OperationKind.REVOKE, reason="left")).error is None
        assert (await lab.perform(OperationKind.RETIRE, reason="left")).error is None
        assert touch_on_record(lab) is None


async def test_a_lab_root_counts_on_lab_stations_only() -> None:
    """From another station the template cannot be carried out, even were the card not said to be virtual."""
    lab = await Lab.start(template=FOUR_KEYS, lab=False, adapt=trusting())
    try:
        await lab.insert(ProfileName.YUBIKEY_5_7)
        before = lab.readers.card("card").memory
        assert getattr((await issue(lab)).error, "code", "") == "virtual-card-refused"
        slot = lab.readers._slot("Reader 1")
        slot.info = replace(slot.info, virtual=False)  # a station that lies
        lab.station._known["Reader 1"].info = slot.info
        outcome = await issue(lab)
        assert outcome.error is not None
        assert (outcome.error.code, outcome.error.facts["why"]) == (
            "template-impossible",
            "no attestation root lab",
        )
        assert lab.readers.card("card").memory == before
        assert not lab.store._book.state.cards
    finally:
        await lab.close()


async def test_a_template_whose_root_is_not_there_is_refused_untouched() -> None:
    async with desk(adapt=lambda services: services) as lab:
        before = lab.readers.card("card").memory
        assert getattr((await issue(lab)).error, "code", "") == "template-impossible"
        assert lab.readers.card("card").memory == before


@pytest.mark.parametrize("profile", [ProfileName.UNKNOWN])
async def test_a_card_that_cannot_attest_is_refused_untouched(profile: ProfileName) -> None:
    async with desk(profile=profile) as lab:
        before = lab.readers.card("card").memory
        assert getattr((await issue(lab)).error, "code", "") == "template-impossible"
        assert lab.readers.card("card").memory == before


async def test_another_root_does_not_count() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    now = SystemClock().now()
    name = lab_root().subject  # of the same name, even
    other = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(1)
        .public_key(key.public_key())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .sign(key, SHA256())
    )
    async with desk(adapt=trusting(other.public_bytes(Encoding.DER))) as lab:
        assert "root" in await refused(lab)


def change(lab: Lab, by: Callable[[Memory], Memory]) -> None:
    """Change what the card holds, behind everybody's back."""
    applet = lab.readers.card("card")._applet
    applet.memory = by(applet.memory)


async def test_the_serial_number_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk() as lab:
        monkeypatch.setitem(
            VirtualCard.transmit.__globals__["HANDLERS"], 0xF8, lambda *_: (4711).to_bytes(4, "big")
        )
        assert "another device" in await refused(lab)


class Swapping:
    """A card in the middle: it imports keys of its own where it is told to make them."""

    def __init__(self, origin: Origin, pin: PinPolicyId, touch: TouchPolicyId) -> None:
        self._like = (origin, pin, touch)

    def __call__(self, memory: Memory) -> Memory:
        origin, pin, touch = self._like
        for slot, key in memory.keys.items():
            if slot is not Slot.ATTESTATION:
                memory = memory.with_key(slot, replace(key, origin=origin, pin=pin, touch=touch))
        return memory


def deceive(monkeypatch: pytest.MonkeyPatch, by: Callable[[Memory], Memory]) -> None:
    """Let cards change their memory right before they attest."""

    def attest(applet: Applet, apdu: object) -> bytes:
        applet.memory = by(applet.memory)
        return vendor.attest(applet, apdu)  # type: ignore[arg-type]  # passed on

    monkeypatch.setitem(VirtualCard.transmit.__globals__["HANDLERS"], 0xF9, attest)


async def test_an_imported_key_gets_no_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    deceive(monkeypatch, Swapping(Origin.IMPORTED, PinPolicyId.ONCE, TouchPolicyId.NEVER))
    async with desk(ONE_KEY) as lab:
        assert "did not make" in await refused(lab)


@pytest.mark.parametrize(
    ("pin", "touch", "what"),
    [
        (PinPolicyId.NEVER, TouchPolicyId.NEVER, "PIN policy"),
        (PinPolicyId.ALWAYS, TouchPolicyId.NEVER, "PIN policy"),
        (PinPolicyId.ONCE, TouchPolicyId.CACHED, "touch policy"),
    ],
)
@pytest.mark.parametrize("said", [PinPolicyId.ONCE, None])
async def test_other_policies_than_the_templates(
    monkeypatch: pytest.MonkeyPatch,
    said: PinPolicyId | None,
    pin: PinPolicyId,
    touch: TouchPolicyId,
    what: str,
) -> None:
    """Also where the template says nothing: then the slot's own policy is meant."""
    deceive(monkeypatch, Swapping(Origin.GENERATED, pin, touch))
    async with desk(template(certificate(A, Algorithm.P256, pin=said), tables=ATTESTED)) as lab:
        assert what in await refused(lab)


async def test_an_attestation_of_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The card answers with a statement about a key that it really made, in another slot."""

    def other_slot(memory: Memory) -> Memory:
        made = StoredKey(
            algorithm=Algorithm.P256,
            private=generate_key(Algorithm.P256),
            origin=Origin.GENERATED,
            pin=PinPolicyId.ONCE,
        )
        return memory.with_key(A, made)

    deceive(monkeypatch, other_slot)
    async with desk(ONE_KEY) as lab:
        assert "another key" in await refused(lab)


async def test_firmware_whose_attestation_can_be_forged(monkeypatch: pytest.MonkeyPatch) -> None:
    weak = replace(PROFILES[ProfileName.YUBIKEY_4], version=(4, 3, 1))
    monkeypatch.setitem(PROFILES, ProfileName.YUBIKEY_4, weak)
    async with desk(ONE_KEY, ProfileName.YUBIKEY_4) as lab:
        assert "CVE-2017-15361" in await refused(lab)


async def test_rsa_keys_of_that_firmware_are_refused_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    weak = replace(PROFILES[ProfileName.YUBIKEY_4], version=(4, 2, 6))
    monkeypatch.setitem(PROFILES, ProfileName.YUBIKEY_4, weak)
    async with desk(template(certificate(A, Algorithm.RSA_2048)), ProfileName.YUBIKEY_4) as lab:
        before = lab.readers.card("card").memory
        outcome = await issue(lab)
        assert outcome.error is not None
        assert "CVE-2017-15361" in str(outcome.error.facts["why"])
        assert lab.readers.card("card").memory == before


async def test_a_key_put_in_between_two_insertions_is_made_anew() -> None:
    """A foreign key in a slot, after a cut: it gets no certificate, and the next insertion makes a new one."""
    async with desk(FOUR_KEYS, ProfileName.YUBIKEY_4) as lab:
        await lab.station.refresh("Reader 1")
        outages = lab.services.authorities["built-in"]
        issue_before = outages.issue

        async def down(_: object) -> object:
            raise errors.ConnectorUnreachable(connection="built-in", reason="test")

        outages.issue = down  # type: ignore[method-assign, assignment]  # a certificate authority that is down
        assert getattr((await issue(lab)).error, "code", "") == "connector-unreachable"
        outages.issue = issue_before  # type: ignore[method-assign]  # and is there again
        foreign = StoredKey(
            algorithm=Algorithm.P256,
            private=generate_key(Algorithm.P256),
            origin=Origin.IMPORTED,
            pin=PinPolicyId.ONCE,
        )
        change(lab, lambda memory: memory.with_key(A, foreign))
        assert getattr((await issue(lab)).error, "code", "") == "card-not-genuine"
        assert certificates_of_holders(lab) == []
        assert (await issue(lab)).error is None
        card = lab.readers.card("card")
        assert holds_matching_keys(card, *PRIMARY_SLOTS)
        assert card.memory.keys[A].origin is Origin.GENERATED
        assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["739154"]))).error is None


# --- where the roots come from -----------------------------------------------------------------------------


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def made_by(issuer: x509.Certificate) -> x509.Certificate:
    """Return some certificate below the lab root."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.load_der_x509_certificate(
        device_certificate(key.public_key(), version=(5, 7, 1), serial=bytes(16))
    )
    assert made.issuer == issuer.subject
    return made


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """Make a server, and close it again."""
    parts = await initialise(settings(tmp_path), PASSPHRASE, SystemClock())
    await parts.store.close()
    return tmp_path


PASSPHRASE = Secret.from_text("correct horse battery staple")


def settings(folder: Path) -> ServerSettings:
    return ServerSettings(data_folder=folder / "data", organisation="Example", names=("localhost",))


async def opened(folder: Path) -> Parts:
    parts = await open_parts(settings(folder), PASSPHRASE, SystemClock())
    await parts.store.close()
    return parts


async def test_roots_are_files_of_the_administrator(folder: Path) -> None:
    services = (await opened(folder)).services
    assert (services.attestation_roots, services.lab_roots) == ({}, {})
    vendors, labs = folder / "data" / "attestation", folder / "data" / "attestation-lab"
    vendors.mkdir()
    labs.mkdir()
    between = made_by(lab_root())
    (vendors / "acme.pem").write_bytes(pem(between, lab_root()))
    (vendors / "readme.txt").write_text("not a root")
    (labs / "lab.pem").write_bytes(pem(lab_root()))
    services = (await opened(folder)).services
    assert services.attestation_roots == {"acme": ROOT}
    assert services.attestation_intermediates == (between.public_bytes(Encoding.DER),)
    assert services.lab_roots == {"lab": ROOT}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"nonsense", "not a certificate in PEM"),
        (pem(lab_root(), lab_root()), "2 roots"),
        (pem(made_by(lab_root())), "0 roots"),
    ],
    ids=["nonsense", "two", "none"],
)
async def test_a_file_that_is_no_root_stops_the_server(folder: Path, content: bytes, why: str) -> None:
    vendors = folder / "data" / "attestation"
    vendors.mkdir()
    (vendors / "acme.pem").write_bytes(content)
    with pytest.raises(errors.ConfigInvalid) as caught:
        await opened(folder)
    assert str(caught.value.facts["file"]).endswith("acme.pem")
    assert why in str(caught.value.facts["why"])
