"""The secrets of one card, derived in the key store each time they are needed. Every use leaves evidence."""

from typing import Final

from server.operations.journal import Journal
from server.ports.keystore import Derivation, KeyPurpose, KeyStore
from server.ports.store import AuditKind
from shared import errors
from shared.credential.model import FACTORY, OWNERS, RecordId, SecretKind, SecretVersion
from shared.piv.ids import FACTORY_PUK, ManagementAlgorithm
from shared.piv.management import ManagementKey, factory_key
from shared.secret import Secret

PUK_DIGITS: Final = 8
PUK_SOURCE_LENGTH: Final = 16
"""Bytes that a PUK is made of; far more than its digits, so that every PUK is as likely as any other."""


class CardSecrets:
    """Derive the management key and the PUK of one card."""

    def __init__(self, keystore: KeyStore, record_id: RecordId, journal: Journal) -> None:
        """Derive for `record_id`; evidence goes to `journal`."""
        self._keystore = keystore
        self._record_id = record_id
        self._journal = journal

    async def management_key(self, algorithm: ManagementAlgorithm, version: SecretVersion) -> ManagementKey:
        """Return the management key of this version; `FACTORY` is the well-known one.

        3DES keys are used as derived: cards that hold 3DES keys ignore parity.
        """
        if version == FACTORY:
            return factory_key(algorithm)
        key = await self._derive(
            SecretKind.MANAGEMENT_KEY, KeyPurpose.MANAGEMENT_KEY, version, algorithm.key_length
        )
        return ManagementKey(algorithm, key)

    async def puk(self, version: SecretVersion) -> bytes:
        """Return the PUK of this version: eight ASCII digits, never the well-known one.

        Raises:
            OwnersCode: it is not derived, and nobody here knows it.
        """
        if version == FACTORY:
            return FACTORY_PUK
        if version == OWNERS:
            raise errors.OwnersCode
        source = await self._derive(SecretKind.PUK, KeyPurpose.PUK, version, PUK_SOURCE_LENGTH)
        number = int.from_bytes(source.reveal(), "big")
        source.wipe()
        while True:
            number, rest = divmod(number, 10**PUK_DIGITS)
            digits = f"{rest:0{PUK_DIGITS}d}".encode()
            if digits != FACTORY_PUK:
                return digits

    async def _derive(
        self, kind: SecretKind, purpose: KeyPurpose, version: SecretVersion, length: int
    ) -> Secret:
        self._journal.evidence(
            AuditKind.KEY_USED,
            "derived",
            self._record_id,
            secret=kind.value,
            generation=version.generation,
            count=version.count,
        )
        return await self._keystore.derive(
            Derivation(
                purpose=purpose,
                subject=self._record_id,
                generation=version.generation,
                count=version.count,
                length=length,
            )
        )
