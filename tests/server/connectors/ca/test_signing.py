"""The stand-in for a private key: it signs, and does nothing else."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from server.connectors.ca.bootstrap import Issuers, bootstrap
from server.connectors.ca.builtin import BuiltinAuthority
from server.connectors.ca.signing import _stand_in
from server.connectors.keystore.memory import MemoryKeyStore
from server.store.memory import MemoryStore
from shared import errors
from shared.clock import SystemClock
from tests.server.connectors.ca.test_builtin import request

EC_KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
RSA_KEY = rsa.generate_private_key(65537, 2048).public_key()


@pytest.mark.parametrize("public", [EC_KEY, RSA_KEY], ids=["ec", "rsa"])
def test_it_shows_what_is_public(public: Any) -> None:
    stand_in: Any = _stand_in(public)[0]
    assert stand_in.public_key() == public
    assert stand_in.key_size == public.key_size
    assert isinstance(stand_in, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)


@pytest.mark.parametrize(
    "ask",
    [
        lambda key: key.private_bytes(),
        lambda key: key.private_numbers(),
        lambda key: key.__copy__(),
        lambda key: key.exchange(ec.ECDH(), EC_KEY),
    ],
)
def test_it_gives_nothing_away(ask: Callable[[Any], object]) -> None:
    stand_in: Any = _stand_in(EC_KEY)[0]
    assert stand_in.curve.name == "secp256r1"
    with pytest.raises(errors.NotSupported):
        ask(stand_in)


@pytest.mark.parametrize(
    "public",
    [
        ed25519.Ed25519PrivateKey.generate().public_key(),
        ec.generate_private_key(ec.SECP521R1()).public_key(),
    ],
    ids=["ed25519", "p521"],
)
def test_issuers_of_other_kinds(public: Any) -> None:
    with pytest.raises(errors.NotSupported):
        _stand_in(public)


async def issuers_of(keystore: MemoryKeyStore, store: MemoryStore, clock: SystemClock) -> Issuers:
    return await bootstrap(keystore, store.ledger, clock, "Example")


async def test_a_key_store_without_the_issuers_key() -> None:
    clock = SystemClock()
    store = MemoryStore(clock)
    issuers = await issuers_of(MemoryKeyStore(), store, clock)
    authority = BuiltinAuthority(
        connection="built-in",
        keystore=MemoryKeyStore(),
        ledger=store.ledger,
        audit=store.audit,
        clock=clock,
        issuers=issuers,
    )
    with pytest.raises(errors.NotSupported) as caught:
        await authority.issue([request("signature")])
    assert caught.value.facts["what"] == "signing key ca/issuing"


async def test_the_list_is_handed_out_again_until_something_is_revoked() -> None:
    clock = SystemClock()
    store, keystore = MemoryStore(clock), MemoryKeyStore()
    authority = BuiltinAuthority(
        connection="built-in",
        keystore=keystore,
        ledger=store.ledger,
        audit=store.audit,
        clock=clock,
        issuers=await issuers_of(keystore, store, clock),
    )
    first = await authority.crl()
    assert await authority.crl() == first
    events = [entry.record.event for entry in await store.audit.page(0, 100)]
    assert events.count("crl-signed") == 1
    assert x509.load_der_x509_crl(first).next_update_utc is not None
