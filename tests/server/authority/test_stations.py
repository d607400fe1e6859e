"""Tokens and requests, without a wire."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from server.authority.stations import LONGEST, Enrolment, JoinAddress, check_name, check_request
from shared import errors
from shared.joining import read_token
from shared.secret import Secret
from tests.server.rpc import pki
from tests.server.rpc.world import Authority, World

HOUR = timedelta(hours=1)


def enrolment(world: World, *, allow_lab: bool = True) -> Enrolment:
    return Enrolment(
        stations=world.store.stations,
        authority=Authority(world.root),
        clock=world.clock,
        address=JoinAddress(
            joining="here:1", stations="here:2", fingerprint=bytes(32), server_root=world.root.der
        ),
        allow_lab=allow_lab,
    )


def request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(pki.DER)


@pytest.mark.parametrize("name", ["x" * 65, "a\nb", " a", "a\x1b[31m"])
async def test_names_that_would_not_print_are_refused(name: str) -> None:
    with pytest.raises(errors.Invalid):
        await enrolment(World()).create_token(name, lab=False, valid_for=HOUR)
    with pytest.raises(errors.Invalid):
        check_name(name)


@pytest.mark.parametrize("time", [timedelta(), -HOUR, LONGEST + HOUR])
async def test_times_have_limits(time: timedelta) -> None:
    with pytest.raises(errors.Invalid):
        await enrolment(World()).create_token("Gate", lab=False, valid_for=time)


async def test_lab_tokens_only_where_the_settings_allow_them() -> None:
    strict = enrolment(World(), allow_lab=False)
    with pytest.raises(errors.NotAllowed):
        await strict.create_token("Gate", lab=True, valid_for=HOUR)
    assert await strict.create_token("Gate", lab=False, valid_for=HOUR)


async def test_the_record_does_not_hold_the_secret() -> None:
    world = World()
    secret = read_token(await enrolment(world).create_token("Gate", lab=False, valid_for=HOUR)).secret
    assert await world.store.stations.spend_token(secret.reveal(), world.clock.now()) is None
    shown = repr(await world.store.audit.page(0, 10))
    assert secret.reveal().hex() not in shown


async def test_a_malformed_request_does_not_spend_the_token() -> None:
    door = enrolment(World())
    secret = read_token(await door.create_token("Gate", lab=False, valid_for=HOUR)).secret.reveal()
    with pytest.raises(errors.Invalid):
        await door.join(peer="p", secret=Secret(secret), request=b"x", name="")
    joined = await door.join(peer="p", secret=Secret(secret), request=request(), name="")
    assert (joined.name, joined.address) == ("Gate", "here:2")


def test_a_request_for_a_p256_key_is_accepted() -> None:
    check_request(request())


def broken_signature() -> bytes:
    good = request()
    return good[:-1] + bytes([good[-1] ^ 1])


BAD_REQUESTS = {
    "nothing": b"",
    "noise": b"\x30\x03\x02\x01\x00",
    "another curve": request(ec.generate_private_key(ec.SECP384R1())),
    "RSA": request(rsa.generate_private_key(65537, 2048)),
    "signature of another text": broken_signature(),
    "too long": request() + bytes(2048),
    "trailing bytes": request() + b"\x00",
}


@pytest.mark.parametrize("raw", BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_other_requests_are_refused(raw: bytes) -> None:
    with pytest.raises(errors.Invalid):
        check_request(raw)
