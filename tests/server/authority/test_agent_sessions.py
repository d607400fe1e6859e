"""Log-ons through an ssh-agent: they prove possession, and nothing that passes for more or for another."""

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding

from server.authority.acting import require_proof
from server.authority.policy import OPERATION_RULES
from server.authority.sessions import Opened, SessionLimits
from server.ports.operators import LogonMethod, SessionEnd
from server.ports.store import CertificateChanged
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import CertificateState, State
from shared.logon import LogonPurpose
from shared.sessions import AgentProof, Leaving, LogonProof, Proof
from shared.ssh.keys import spki_of
from shared.ssh.sshsig import NAMESPACE, SshSignature
from tests.server.authority.agents import by_agent, wrapped
from tests.server.authority.logons import Office, Person, store_card
from tests.server.store.examples import EVIDENCE, NOON, a_certificate, a_credential, a_key


@pytest.fixture
async def office() -> Office:
    return await Office.open()


async def logged_on(office: Office) -> Opened:
    return await office.sessions.log_on(
        office.desk, by_agent(office.anna.key, await office.challenge(office.desk))
    )


async def refused(office: Office, proof: Proof, why: str) -> None:
    """Nobody is logged on; the caller is not told why, the record is."""
    with pytest.raises(errors.LogonRefused) as refusal:
        await office.sessions.log_on(office.desk, proof)
    assert refusal.value.facts == {}
    assert await office.store.sessions.live() == ()
    last = (await office.evidence())[-1].record
    assert (last.event, last.facts["why"]) == ("log-on-failed", why)


# --- what it gives --------------------------------------------------------------------------------------


async def test_the_key_of_the_operators_card_logs_on(office: Office) -> None:
    opened = await logged_on(office)
    session = opened.present.session
    assert (session.method, session.possession_only) == (LogonMethod.AGENT, True)
    assert opened.present.operator.name == "Anna Berg"
    begun = (await office.evidence())[-1].record
    assert (begun.event, begun.facts["method"]) == ("logged-on", "agent")
    assert office.sessions.stepped_up_until(session) is None


async def test_an_rsa_key_of_4096_bits_logs_on(office: Office) -> None:
    key = rsa.generate_private_key(65537, 4096)
    public_key = spki_of(key.public_key())
    name = x509.Name.from_rfc4514_string("CN=Anna Berg")
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7).not_valid_before(NOON)
    made = builder.not_valid_after(NOON + timedelta(days=1)).sign(key, SHA256())
    card = Person()
    card.certificate = made.public_bytes(Encoding.DER)
    credential = a_credential(state=State.ACTIVE)
    await store_card(office.store, card, credential)
    digest = hashlib.sha256(public_key).digest()
    await office.store.operators.add_key(
        office.operator.operator_id, a_key(digest=digest, credential_id=credential.credential_id), EVIDENCE
    )
    opened = await office.sessions.log_on(office.desk, by_agent(key, await office.challenge(office.desk)))
    assert opened.present.session.key_digest == digest


async def test_what_is_sensitive_is_refused_and_said(office: Office) -> None:
    caller = await office.admitted(await logged_on(office))
    for kind, needs in OPERATION_RULES.items():
        if needs.sensitive:
            with pytest.raises(errors.PresenceNeeded) as refusal:
                require_proof(caller, needs)
            assert refusal.value.facts == {"what": kind.value}
        else:
            require_proof(caller, needs)
    assert OPERATION_RULES[OperationKind.ISSUE].sensitive
    assert not OPERATION_RULES[OperationKind.SUSPEND].sensitive


async def test_it_is_not_proven_again(office: Office) -> None:
    caller = await office.admitted(await logged_on(office))
    with pytest.raises(errors.PresenceNeeded):
        await office.challenge(caller, LogonPurpose.STEP_UP)
    text = await office.challenge(office.desk)
    for proof in (by_agent(office.anna.key, text), office.anna.prove(text)):
        with pytest.raises(errors.PresenceNeeded):
            await office.sessions.step_up(caller, proof)
    present = await office.sessions.recheck(caller)
    assert present.session.possession_only


async def test_a_cards_session_is_not_proven_again_by_an_agent(office: Office) -> None:
    caller = await office.admitted(await office.log_on())
    text = await office.challenge(caller, LogonPurpose.STEP_UP)
    with pytest.raises(errors.LogonRefused):
        await office.sessions.step_up(caller, by_agent(office.anna.key, text))
    assert (await office.evidence())[-1].record.facts["why"] == "method"


async def test_it_lasts_shorter_without_a_call(office: Office) -> None:
    opened = await logged_on(office)
    office.later(minutes=4)
    await office.sessions.admit(opened.token.reveal(), office.desk)
    office.later(minutes=5)
    with pytest.raises(errors.SessionEnded):
        await office.sessions.admit(opened.token.reveal(), office.desk)
    assert (await office.evidence())[-1].record.facts["why"] == SessionEnd.IDLE.value


async def test_it_never_lasts_longer_than_a_cards() -> None:
    limits = SessionLimits(idle=timedelta(minutes=2), agent_idle=timedelta(minutes=5))
    assert limits.idle_of(LogonMethod.AGENT) == timedelta(minutes=2)


async def test_it_ends_with_its_line(office: Office) -> None:
    opened = await logged_on(office)
    await office.sessions.log_off(await office.admitted(opened), Leaving.DETACHED)
    ended = (await office.evidence())[-1].record
    assert (ended.event, ended.facts["why"], ended.facts["method"]) == ("ended", "detached", "agent")
    with pytest.raises(errors.SessionEnded):
        await office.sessions.admit(opened.token.reveal(), office.desk)


async def test_where_none_is_taken_none_is_judged() -> None:
    office = await Office.open(SessionLimits(agent_idle=timedelta()))
    text = await office.challenge(office.desk)
    with pytest.raises(errors.NotAllowed):
        await office.sessions.log_on(office.desk, by_agent(office.anna.key, text))
    opened = await office.sessions.log_on(office.desk, office.anna.prove(text))
    assert opened.present.session.method is LogonMethod.CARD


# --- what does not pass for it --------------------------------------------------------------------------


async def test_a_proof_is_good_once(office: Office) -> None:
    proof = by_agent(office.anna.key, await office.challenge(office.desk))
    opened = await office.sessions.log_on(office.desk, proof)
    await office.sessions.log_off(await office.admitted(opened))
    await refused(office, proof, "challenge")


async def test_a_proof_is_for_its_station_and_its_minute(office: Office) -> None:
    elsewhere = by_agent(office.anna.key, await office.challenge(office.other_desk))
    await refused(office, elsewhere, "challenge")
    late = by_agent(office.anna.key, await office.challenge(office.desk))
    office.later(seconds=60)
    await refused(office, late, "challenge")


async def test_a_key_that_is_nobodys_is_refused(office: Office) -> None:
    bob = Person()
    await store_card(office.store, bob, a_credential(state=State.ACTIVE))
    await refused(office, by_agent(bob.key, await office.challenge(office.desk)), "key")
    assert (await office.record()).failed_logons == 0


async def test_a_signature_that_names_another_key_is_refused(office: Office) -> None:
    text = await office.challenge(office.desk)
    forged = by_agent(Person().key, text)
    value = SshSignature(key=office.anna.key.public_key(), value=forged.signature[-70:])
    await refused(office, AgentProof(text=text, signature=bytes(value)), "signature")
    assert (await office.record()).failed_logons == 1


@pytest.mark.parametrize("namespace", [b"file", b"git", b"", NAMESPACE + b"x", NAMESPACE[:-1]])
async def test_another_namespace_is_refused(office: Office, namespace: bytes) -> None:
    text = await office.challenge(office.desk)
    await refused(office, wrapped(office.anna.key, text, namespace=namespace), "key")


async def test_the_same_wrapping_in_our_namespace_counts(office: Office) -> None:
    """What refuses the others is the namespace, not how the test makes them."""
    text = await office.challenge(office.desk)
    proof = wrapped(office.anna.key, text, namespace=NAMESPACE)
    assert (await office.sessions.log_on(office.desk, proof)).present.session.method is LogonMethod.AGENT


@pytest.mark.parametrize("algorithm", ["ssh-rsa", "rsa-sha2-256"])
async def test_weaker_digests_of_rsa_are_refused(office: Office, algorithm: str) -> None:
    key = rsa.generate_private_key(65537, 2048)
    text = await office.challenge(office.desk)
    proof = wrapped(key, text, namespace=NAMESPACE, rsa_algorithm=algorithm)
    await refused(office, proof, "key")


async def test_what_an_agent_signed_is_no_proof_by_a_card(office: Office) -> None:
    """Neither wrapped up, nor where an agent was made to sign the bare text with any digest that it knows."""
    certificate = office.anna.certificate
    text = await office.challenge(office.desk)
    made = by_agent(office.anna.key, text).signature
    await refused(office, LogonProof(text=text, certificate=certificate, signature=made), "signature")
    for digest in (SHA256(), SHA384(), SHA512()):
        office.later(minutes=5)  # failures have to wait
        text = await office.challenge(office.desk)
        signature = office.anna.key.sign(text, ec.ECDSA(digest))
        bare = LogonProof(text=text, certificate=certificate, signature=signature)
        await refused(office, bare, "signature")


async def test_what_a_card_signed_is_no_proof_by_an_agent(office: Office) -> None:
    text = await office.challenge(office.desk)
    await refused(office, AgentProof(text=text, signature=office.anna.prove(text).signature), "key")


async def test_a_key_whose_credential_does_not_count_is_refused(office: Office) -> None:
    await office.clerk.set_credential(State.SUSPENDED)
    await refused(office, by_agent(office.anna.key, await office.challenge(office.desk)), "credential")


async def test_it_ends_with_the_credential(office: Office) -> None:
    opened = await logged_on(office)
    await office.clerk.set_credential(State.REVOKED)
    with pytest.raises(errors.SessionEnded):
        await office.sessions.admit(opened.token.reveal(), office.desk)


async def test_a_key_whose_certificate_is_over_is_refused(office: Office) -> None:
    office.later(days=366)
    await refused(office, by_agent(office.anna.key, await office.challenge(office.desk)), "certificate")


async def test_a_key_without_a_certificate_on_a_card_is_refused(office: Office) -> None:
    bob = Person()
    credential = a_credential(state=State.ACTIVE)
    await store_card(office.store, Person(), credential)  # another key's certificate
    key = a_key(digest=bob.digest, credential_id=credential.credential_id)
    await office.store.operators.add_key(office.operator.operator_id, key, EVIDENCE)
    await refused(office, by_agent(bob.key, await office.challenge(office.desk)), "certificate")
    carol = Person()  # a key of no card at all
    await office.store.operators.add_key(office.operator.operator_id, a_key(digest=carol.digest), EVIDENCE)
    await refused(office, by_agent(carol.key, await office.challenge(office.desk)), "certificate")


async def test_a_certificate_that_was_revoked_counts_no_more(office: Office) -> None:
    revoked = a_certificate(
        public_key=office.anna.public_key, certificate=office.anna.certificate, state=CertificateState.REVOKED
    )
    card = await office.store.credentials.by_credential(office.clerk.credential.credential_id)
    assert card is not None
    request = card.certificates[0].request_id
    changed = CertificateChanged(certificate=replace(revoked, request_id=request))
    await office.store.cards.apply(office.clerk.lease, [changed])
    await refused(office, by_agent(office.anna.key, await office.challenge(office.desk)), "certificate")


async def test_failures_wait_whatever_proves(office: Office) -> None:
    """Whoever is locked out with a card does not get in through an agent."""
    text = await office.challenge(office.desk)
    for _ in range(3):
        text = await office.challenge(office.desk)
        forged = replace(Person().prove(text), certificate=office.anna.certificate)
        await refused(office, forged, "signature")
    with pytest.raises(errors.TooManyAttempts):
        await office.sessions.log_on(
            office.desk, by_agent(office.anna.key, await office.challenge(office.desk))
        )
