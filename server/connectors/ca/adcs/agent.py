"""Enrolment on behalf of somebody: an enrolment agent signs the request that the card signed, and says for whom it is.

Source: [MS-WCCE] 3.2.2.6.2.1.2.1 (enrol on behalf of), 2.2.2.6 (CMS), 2.2.2.7.10 (enrolment name and value); [RFC 5652] 5.
"""

import hashlib
from datetime import datetime
from typing import Any, Final

from asn1crypto import cms, core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from server.connectors.tls import certificates_in
from shared import errors
from shared.secret import Secret

CERTIFICATE_REQUEST_AGENT: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.1")
"""The purpose of an enrolment agent's certificate."""
NAME_AND_VALUE: Final = "1.3.6.1.4.1.311.13.2.1"
REQUESTER: Final = "requestername"


class _NameAndValue(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    """EnrollmentNameValuePair ::= SEQUENCE { name BMPString, value BMPString }"""  # noqa: D415  # ASN.1

    _fields = [("name", core.BMPString), ("value", core.BMPString)]  # noqa: RUF012  # how asn1crypto declares it


class Agent:
    """An enrolment agent: its certificate and its key."""

    def __init__(self, certificates: str, key: Secret) -> None:
        """Take its certificate with its chain (PEM), and its key (PEM, not encrypted).

        Raises:
            Invalid: they cannot be read, are no pair, or the certificate is no enrolment agent's.
        """
        self._chain = tuple(certificates_in(certificates))
        try:
            loaded = load_pem_private_key(key.reveal(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
            raise errors.Invalid(field="agent-key", why="it cannot be read: PEM, not encrypted") from cause
        if not isinstance(loaded, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise errors.Invalid(field="agent-key", why="neither RSA nor a curve of NIST")
        if not self._chain or self._chain[0].public_key() != loaded.public_key():
            raise errors.Invalid(field="agent-certificate", why="its key is another one")
        if CERTIFICATE_REQUEST_AGENT not in _purposes(self._chain[0]):
            why = "it is not for an enrolment agent (Certificate Request Agent)"
            raise errors.Invalid(field="agent-certificate", why=why)
        self._key = loaded

    @property
    def ends(self) -> datetime:
        """Until when its certificate is good."""
        return self._chain[0].not_valid_after_utc

    def sign(self, request: bytes, account: str) -> bytes:
        """Return CMS (DER) around a PKCS#10 request, for an account as its domain knows it, not by its principal name."""
        signed = cms.CMSAttributes(
            [
                {"type": "content_type", "values": ["data"]},
                {"type": "message_digest", "values": [hashlib.sha256(request).digest()]},
                _attribute(NAME_AND_VALUE, _NameAndValue({"name": REQUESTER, "value": account})),
            ]
        )
        content = {
            "version": "v1",
            "digest_algorithms": [{"algorithm": "sha256"}],
            "encap_content_info": {"content_type": "data", "content": request},
            "certificates": [
                asn1_x509.Certificate.load(each.public_bytes(Encoding.DER)) for each in self._chain
            ],
            "signer_infos": [self._signer(signed)],
        }
        wrapped = cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(content)})
        encoded: bytes = wrapped.dump()
        return encoded

    def _signer(self, signed: Any) -> dict[str, object]:
        own = asn1_x509.Certificate.load(self._chain[0].public_bytes(Encoding.DER))
        sid = cms.IssuerAndSerialNumber({"issuer": own.issuer, "serial_number": own.serial_number})
        content: bytes = signed.untag().dump()
        if isinstance(self._key, rsa.RSAPrivateKey):
            algorithm = "sha256_rsa"
            signature = self._key.sign(content, PKCS1v15(), hashes.SHA256())
        else:
            algorithm = "sha256_ecdsa"
            signature = self._key.sign(content, ec.ECDSA(hashes.SHA256()))
        return {
            "version": "v1",
            "sid": cms.SignerIdentifier({"issuer_and_serial_number": sid}),
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": signed,
            "signature_algorithm": {"algorithm": algorithm},
            "signature": signature,
        }


def _attribute(kind: str, value: Any) -> Any:
    """Return an attribute of a kind that asn1crypto does not know."""
    values = core.SetOf([value], spec=type(value)).dump()
    encoded = core.ObjectIdentifier(kind).dump() + values
    return cms.CMSAttribute.load(core.Sequence(contents=encoded).dump())


def _purposes(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except (x509.ExtensionNotFound, ValueError):
        return []
