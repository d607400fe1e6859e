"""What every certificate authority does, whatever its product: asked, found, revoked, and when things go wrong."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from server.connectors.kinds import AUTHORITY
from server.ports.ca import (
    CanHold,
    CanListProfiles,
    CanRevoke,
    CertificateAuthority,
    Issued,
    Pending,
    Reason,
    Refused,
    Unanswered,
    Unfit,
)
from server.ports.connection import Ability, Aspect, CanClose, Kind, Verdict
from shared import errors
from shared.clock import SystemClock
from shared.credential.certificates import check_certificate, check_names, needed_usage
from shared.piv.ids import Slot
from tests.contract.ca import (
    adcs_certsrv,
    adcs_wstep,
    builtin,
    cmp,
    digicert,
    django_ca,
    dogtag,
    ejbca,
    entrust,
    est,
    real_step_ca,
    step_ca,
    vault,
)
from tests.contract.ca.bench import ANNA, Bench, Key
from tests.contract.ca.signer import make
from tests.contract.ca.web import Double, Trouble

PRODUCTS: Final[dict[Kind, tuple[type[Double | builtin.BuiltIn], Callable[[Any], Bench]]]] = {
    product.KIND: (product, bench_of)
    for product, bench_of in (
        (adcs_certsrv.Certsrv, adcs_certsrv.bench),
        (adcs_wstep.Wstep, adcs_wstep.bench),
        (builtin.BuiltIn, builtin.bench),
        (cmp.Cmp, cmp.bench),
        (digicert.DigicertOne, digicert.bench),
        (digicert.Platform8, digicert.bench),
        (dogtag.Dogtag, dogtag.bench),
        (ejbca.Ejbca, ejbca.bench),
        (entrust.Entrust, entrust.bench),
        (est.Est, est.bench),
        (step_ca.StepCa, step_ca.bench),
        (vault.Vault, vault.bench),
        (vault.OpenBao, vault.bench),
    )
}
RSA_KEY: Final = rsa.generate_private_key(65537, 2048)


REAL: Final = django_ca.DjangoCa.KIND
"""A server that is no double: it makes no trouble on demand."""
REAL_STEP_CA: Final = "real_step_ca"
"""Another one, which is there where `tests.optional.step_ca` has built it."""


def able(*abilities: Ability, outside: bool = False, troubles: bool = False) -> pytest.MarkDecorator:
    """Run a test for the authorities that can do all of this; `outside`: not the built-in one, `troubles`: doubles alone."""
    chosen: list[Any] = [kind for kind in PRODUCTS if kind.abilities.issuperset(abilities)]
    if outside or troubles:
        chosen = [kind for kind in chosen if kind is not AUTHORITY]
    if not troubles and REAL.abilities.issuperset(abilities):
        chosen.append(pytest.param(REAL, marks=pytest.mark.xdist_group("django-ca")))
    if (
        not troubles
        and real_step_ca.PROGRAM in os.environ
        and step_ca.StepCa.KIND.abilities.issuperset(abilities)
    ):
        chosen.append(REAL_STEP_CA)
    return pytest.mark.parametrize("bench", chosen, ids=_name_of, indirect=True)


def _name_of(chosen: Kind | str) -> str:
    return chosen if isinstance(chosen, str) else chosen.name


@pytest.fixture(scope="module")
def django(tmp_path_factory: pytest.TempPathFactory) -> Iterator[django_ca.Server]:
    with django_ca.Server(tmp_path_factory.mktemp("django-ca")).running() as server:
        yield server


@pytest.fixture(scope="module")
def step(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real_step_ca.Server]:
    program = Path(os.environ[real_step_ca.PROGRAM])
    with real_step_ca.Server(program, tmp_path_factory.mktemp("step-ca")).running() as server:
        yield server


@pytest.fixture
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    if request.param is REAL:
        yield django_ca.bench(django_ca.DjangoCa(request.getfixturevalue("django")))
        return
    if request.param == REAL_STEP_CA:
        yield real_step_ca.bench(real_step_ca.RealStepCa(request.getfixturevalue("step")))
        return
    product, bench_of = PRODUCTS[request.param]
    double = product(tmp_path)
    await double.start()
    yield bench_of(double)
    await double.stop()


@pytest.fixture
async def authority(bench: Bench) -> AsyncIterator[Any]:
    made = bench.build()
    yield made
    await let_go(made)


async def let_go(made: Any) -> None:
    if isinstance(made, CanClose):
        await made.close()


async def one(authority: CertificateAuthority, request: Any) -> Any:
    (outcome,) = await authority.issue([request])
    return outcome


async def issued(authority: CertificateAuthority, request: Any) -> bytes:
    outcome = await one(authority, request)
    assert isinstance(outcome, Issued), outcome
    return outcome.certificate


@able(Ability.ISSUE)
async def test_it_can_do_what_its_kind_says(bench: Bench, authority: Any) -> None:
    says = bench.kind.abilities
    assert authority.abilities.revoke == (Ability.REVOKE in says) == isinstance(authority, CanRevoke)
    assert authority.abilities.hold == (Ability.HOLD in says) == isinstance(authority, CanHold)
    assert authority.abilities.find == (Ability.FIND in says)
    assert isinstance(authority, CanListProfiles) == (Ability.PROFILES in says)
    assert bench.profile in authority.abilities.profiles
    assert (await authority.trust()) == bench.double.chain_der


@able(Ability.ISSUE)
@pytest.mark.parametrize(
    "make_key",
    [lambda: ec.generate_private_key(ec.SECP256R1()), lambda: RSA_KEY],
    ids=["p256", "rsa"],
)
async def test_what_comes_back_passes_the_check(
    bench: Bench, authority: Any, make_key: Callable[[], Key]
) -> None:
    request = bench.request(make_key())
    names = request.names
    required, allowed = check_names(upn=names.upn, mail=names.mail)
    check_certificate(
        await issued(authority, request),
        connection=bench.kind.name,
        public_key=request.public_key,
        subject=names.subject,
        trust=await authority.trust(),
        now=SystemClock().now(),
        usage=needed_usage(Slot.AUTHENTICATION, request.public_key),
        required=required,
        allowed=allowed,
    )


@able(Ability.ISSUE)
async def test_four_together_keep_their_order(bench: Bench, authority: Any) -> None:
    requests = [bench.request() for _ in range(4)]
    outcomes = await authority.issue(requests)
    assert len(await bench.double.book()) == 4
    for request, outcome in zip(requests, outcomes, strict=True):
        assert isinstance(outcome, Issued)
        key = x509.load_der_x509_certificate(outcome.certificate).public_key()
        assert key == x509.load_der_x509_csr(request.request).public_key()


@able(Ability.ISSUE)
async def test_a_key_that_did_not_sign_its_request_is_refused(bench: Bench, authority: Any) -> None:
    request = bench.request()
    tampered = replace(request, request=request.request[:-1] + bytes([request.request[-1] ^ 1]))
    assert isinstance(await one(authority, tampered), Refused)
    assert isinstance(await one(authority, replace(request, request=b"")), Refused)
    assert await bench.double.book() == []


@able(Ability.ISSUE)
async def test_profiles_that_are_hidden_or_not_there_are_refused(bench: Bench, authority: Any) -> None:
    asked = bench.double.asked()
    outcome = await one(authority, bench.request(profile="Hidden/ONE"))
    assert isinstance(outcome, Refused)
    assert "no profile Hidden/ONE" in outcome.reason
    assert bench.double.asked() == asked, "nobody was asked"
    assert isinstance(await one(authority, bench.request(profile=bench.unknown)), Refused)
    assert await bench.double.book() == []


@able(Ability.ISSUE, troubles=True)
async def test_a_denial_is_told_without_names(bench: Bench, authority: Any) -> None:
    bench.double.trouble = Trouble.DENIED
    outcome = await one(authority, bench.request())
    assert isinstance(outcome, Refused)
    assert len(outcome.reason) > 10
    assert not any(each in outcome.reason for each in ("Anna", "anna", "Berg"))


@able(Ability.PROFILES)
async def test_profiles_are_found_out(bench: Bench, authority: Any) -> None:
    assert tuple(await authority.offered_profiles()) == bench.offered


# --- found again ----------------------------------------------------------------------------------------


@able(Ability.FIND)
async def test_what_was_issued_is_found_after_a_restart(bench: Bench, authority: Any) -> None:
    request = bench.request()
    certificate = await issued(authority, request)
    again = bench.build()
    found = await again.find(request)
    assert isinstance(found, Issued)
    assert found.certificate == certificate
    assert await again.find(bench.request()) is None
    await let_go(again)


@able(Ability.FIND, troubles=True)
async def test_a_lost_answer_is_found(bench: Bench, authority: Any) -> None:
    bench.double.trouble = Trouble.LOST
    bench.double.only = bench.issuing
    request = bench.request()
    assert isinstance(await one(authority, request), Unanswered)
    assert len(await bench.double.book()) == 1, "asked once"
    bench.double.trouble = Trouble.NONE
    found = await authority.find(request)
    assert isinstance(found, Issued)
    assert found.certificate == (await bench.double.book())[0].der


@able(Ability.PENDING, troubles=True)
async def test_a_request_waits_over_a_restart(bench: Bench, authority: Any) -> None:
    bench.double.trouble = Trouble.PENDING
    request = bench.request()
    outcome = await one(authority, request)
    assert isinstance(outcome, Pending)
    assert outcome.reference
    waiting = replace(request, reference=outcome.reference)
    assert isinstance(await authority.find(waiting), Pending)
    again = bench.build()
    assert isinstance(await again.find(waiting), Pending)
    bench.double.approved = True
    found = await again.find(waiting)
    assert isinstance(found, Issued)
    assert found.certificate == (await bench.double.book())[0].der
    assert await again.find(waiting) == found, "and once more, where that answer was lost"
    assert len(await bench.double.book()) == 1
    await again.close()


# --- revoked --------------------------------------------------------------------------------------------


@able(Ability.REVOKE)
async def test_revoking(bench: Bench, authority: Any) -> None:
    first, second = bench.request(), bench.request()
    certificate, other = await issued(authority, first), await issued(authority, second)
    await authority.revoke(certificate, Reason.KEY_COMPROMISE)
    await authority.revoke(certificate, Reason.SUPERSEDED)
    entry, untouched = await bench.double.book()
    assert entry.der == certificate
    assert entry.revoked
    if Ability.REASONS in bench.kind.abilities:
        assert entry.reason == bench.words["keyCompromise"]
    assert not untouched.revoked
    if authority.abilities.find:
        assert isinstance(await authority.find(first), Refused)
        found = await authority.find(second)
        assert isinstance(found, Issued)
        assert found.certificate == other


@able(Ability.REASONS)
@pytest.mark.parametrize("reason", [each for each in Reason if each is not Reason.CERTIFICATE_HOLD])
async def test_every_reason_is_one_there(bench: Bench, authority: Any, reason: Reason) -> None:
    await authority.revoke(await issued(authority, bench.request()), reason)
    assert (await bench.double.book())[0].revoked


@able(Ability.REVOKE)
async def test_foreign_certificates_are_not_revoked(bench: Bench, authority: Any) -> None:
    asked = bench.double.asked()
    for foreign in (b"junk", make("CN=Anna Berg,O=Example").der):
        with pytest.raises(errors.ConnectorRefused):
            await authority.revoke(foreign, Reason.SUPERSEDED)
    assert bench.double.asked() == asked


@able(Ability.HOLD, Ability.RELEASE)
async def test_hold_and_release(bench: Bench, authority: Any) -> None:
    certificate = await issued(authority, bench.request())

    async def told() -> tuple[bool, str]:
        (entry,) = await bench.double.book()
        return entry.revoked, entry.reason

    await authority.hold(certificate)
    await authority.hold(certificate)
    assert await told() == (True, bench.words["certificateHold"])
    await authority.release(certificate)
    await authority.release(certificate)
    assert not (await told())[0]
    await authority.hold(certificate)
    await authority.revoke(certificate, Reason.KEY_COMPROMISE)
    assert await told() == (True, bench.words["keyCompromise"])
    await authority.hold(certificate)
    assert await told() == (True, bench.words["keyCompromise"]), "one that is revoked stays revoked"
    with pytest.raises(errors.ConnectorRefused, match="revoked for good"):
        await authority.release(certificate)


# --- when things go wrong -------------------------------------------------------------------------------


@able(Ability.ISSUE, outside=True)
async def test_a_credential_without_rights(bench: Bench) -> None:
    stranger = bench.stranger()
    outcome = await one(stranger, bench.request())
    assert isinstance(outcome, Refused)
    assert "credential" in outcome.reason
    with pytest.raises(errors.ConnectorRefused) as refused:
        await stranger.greet()
    assert refused.value.facts["connection"] == stranger.connection
    assert await bench.double.book() == []
    await stranger.close()


@able(Ability.ISSUE, outside=True)
async def test_a_credential_that_is_good(bench: Bench, authority: Any) -> None:
    await authority.greet()
    assert await bench.double.book() == []


@able(Ability.ISSUE, outside=True)
async def test_a_test_says_what_works(bench: Bench, authority: Any) -> None:
    found = {each.aspect: each for each in await authority.test()}
    assert found[Aspect.CREDENTIALS].verdict is Verdict.WORKS
    assert found[Aspect.CLOCK].verdict is Verdict.WORKS
    if bench.offered:
        assert found[Aspect.PROFILES].verdict is Verdict.FAILS
        assert bench.unknown in found[Aspect.PROFILES].detail
    assert (await bench.double.book()) == [], "nothing was issued for it"
    stranger = bench.stranger()
    refused = {each.aspect: each for each in await stranger.test()}
    assert refused[Aspect.CREDENTIALS].verdict is Verdict.FAILS
    assert refused[Aspect.ENROL].verdict is Verdict.SKIPPED
    await stranger.close()


@able(Ability.ISSUE, troubles=True)
async def test_a_test_of_what_is_down(bench: Bench, authority: Any) -> None:
    bench.double.trouble = Trouble.RESET
    found = {each.aspect: each.verdict for each in await authority.test()}
    assert found[Aspect.TLS] is Verdict.WORKS
    assert found[Aspect.CREDENTIALS] is Verdict.FAILS
    assert found[Aspect.PROFILES] is Verdict.SKIPPED
    await bench.double.stop()
    found = {each.aspect: each.verdict for each in await authority.test()}
    assert found[Aspect.CONNECTION] is Verdict.FAILS
    assert found[Aspect.CREDENTIALS] is Verdict.SKIPPED


NO_ANSWER: Final = [
    Trouble.BUSY,
    Trouble.TOO_MANY,
    Trouble.RESET,
    Trouble.TRUNCATED,
    Trouble.GARBLED,
    Trouble.HTML,
    Trouble.GATEWAY,
    Trouble.ENDLESS,
]


@able(Ability.ISSUE, troubles=True)
@pytest.mark.parametrize("trouble", NO_ANSWER)
async def test_no_answer_is_no_refusal(bench: Bench, authority: Any, trouble: Trouble) -> None:
    """It is not known what became of the request, and one trouble takes nothing from what comes after it."""
    bench.double.trouble, bench.double.only = trouble, bench.issuing
    outcome = await one(authority, bench.request())
    assert isinstance(outcome, Unanswered), outcome
    assert "BEGIN" not in outcome.reason
    assert len(await bench.double.book()) <= 1, "never sent twice after it may have arrived"
    bench.double.trouble = Trouble.NONE
    fresh = bench.build()
    assert await issued(fresh, bench.request())
    await fresh.close()


@able(Ability.ISSUE, troubles=True)
@pytest.mark.parametrize("trouble", [Trouble.OTHER_KEY, Trouble.NONSENSE])
async def test_a_wrong_certificate_is_unfit(bench: Bench, authority: Any, trouble: Trouble) -> None:
    bench.double.trouble = trouble
    outcome = await one(authority, bench.request())
    assert isinstance(outcome, Unfit), outcome
    assert outcome.why in {"another public key", "it cannot be read"}


@able(Ability.ISSUE, troubles=True)
async def test_no_secret_and_no_name_in_an_error(bench: Bench, authority: Any) -> None:
    for trouble in (Trouble.RESET, Trouble.HTML, Trouble.DENIED, Trouble.GARBLED):
        bench.double.trouble = trouble
        outcome = await one(authority, bench.request())
        told = repr(outcome) + repr(authority)
        assert not any(each in told for each in ("Anna", ANNA.upn, "PRIVATE", "long and random"))
