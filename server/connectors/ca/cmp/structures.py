"""The ASN.1 of the Certificate Management Protocol, as much of it as is spoken here.

Sources: [RFC 4210] appendix F (module PKIXCMP, explicit tags), [RFC 4211] (module PKIXCRMF, implicit tags), [RFC 9480].
"""

from typing import Final

from asn1crypto import algos, core, crl, csr, keys, x509

ACCEPTED: Final = 0
GRANTED_WITH_MODS: Final = 1
REJECTION: Final = 2
WAITING: Final = 3

PASSWORD_BASED_MAC: Final = "1.2.840.113533.7.66.13"  # noqa: S105  # an object identifier
IMPLICIT_CONFIRM: Final = "1.3.6.1.5.5.7.4.13"

FAILURES: Final = {
    0: "badAlg: an algorithm that it does not know",
    1: "badMessageCheck: our protection does not verify",
    2: "badRequest: not permitted or not supported",
    3: "badTime: the clocks differ too much",
    4: "badCertId: no such certificate",
    5: "badDataFormat: it could not read the message",
    6: "wrongAuthority: another authority is meant",
    7: "incorrectData: the requester's data is incorrect",
    8: "missingTimeStamp",
    9: "badPOP: possession of the key is not proven",
    10: "certRevoked: it is revoked already",
    11: "certConfirmed: it is confirmed already",
    12: "wrongIntegrity: a password instead of a signature, or the other way round",
    13: "badRecipientNonce",
    14: "timeNotAvailable",
    15: "unacceptedPolicy",
    16: "unacceptedExtension",
    17: "addInfoNotAvailable",
    18: "badSenderNonce",
    19: "badCertTemplate: the names or the key are not acceptable, or something is missing",
    20: "signerNotTrusted: it does not know who signed our message",
    21: "transactionIdInUse: the request is known already",
    22: "unsupportedVersion",
    23: "notAuthorized: our credential may not do this",
    24: "systemUnavail",
    25: "systemFailure",
    26: "duplicateCertReq",
}
"""PKIFailureInfo, by bit."""


class FreeText(core.SequenceOf):  # type: ignore[misc]  # the library has no types
    """Words for people."""

    _child_spec = core.UTF8String


class InfoTypeAndValue(core.Sequence):  # type: ignore[misc]
    """A remark in a header."""

    _fields = [("type", core.ObjectIdentifier), ("value", core.Any, {"optional": True})]


class InfoTypesAndValues(core.SequenceOf):  # type: ignore[misc]
    """Remarks in a header."""

    _child_spec = InfoTypeAndValue


class Header(core.Sequence):  # type: ignore[misc]
    """PKIHeader."""

    _fields = [
        ("pvno", core.Integer),
        ("sender", x509.GeneralName),
        ("recipient", x509.GeneralName),
        ("message_time", core.GeneralizedTime, {"explicit": 0, "optional": True}),
        ("protection_alg", algos.AlgorithmIdentifier, {"explicit": 1, "optional": True}),
        ("sender_kid", core.OctetString, {"explicit": 2, "optional": True}),
        ("recip_kid", core.OctetString, {"explicit": 3, "optional": True}),
        ("transaction_id", core.OctetString, {"explicit": 4, "optional": True}),
        ("sender_nonce", core.OctetString, {"explicit": 5, "optional": True}),
        ("recip_nonce", core.OctetString, {"explicit": 6, "optional": True}),
        ("free_text", FreeText, {"explicit": 7, "optional": True}),
        ("general_info", InfoTypesAndValues, {"explicit": 8, "optional": True}),
    ]


class PasswordBasedMac(core.Sequence):  # type: ignore[misc]
    """PBMParameter."""

    _fields = [
        ("salt", core.OctetString),
        ("owf", algos.DigestAlgorithm),
        ("iterations", core.Integer),
        ("mac", algos.HmacAlgorithm),
    ]


class StatusInfo(core.Sequence):  # type: ignore[misc]
    """PKIStatusInfo."""

    _fields = [
        ("status", core.Integer),
        ("text", FreeText, {"optional": True}),
        ("failures", core.BitString, {"optional": True}),
    ]


class CertTemplate(core.Sequence):  # type: ignore[misc]
    """CertTemplate of RFC 4211: what a certificate shall say, or which one is meant."""

    _fields = [
        ("serial_number", core.Integer, {"implicit": 1, "optional": True}),
        ("issuer", x509.Name, {"explicit": 3, "optional": True}),
        ("subject", x509.Name, {"explicit": 5, "optional": True}),
        ("public_key", keys.PublicKeyInfo, {"implicit": 6, "optional": True}),
        ("extensions", x509.Extensions, {"implicit": 9, "optional": True}),
    ]


class CertRequest(core.Sequence):  # type: ignore[misc]
    """CertRequest of RFC 4211."""

    _fields = [("id", core.Integer), ("template", CertTemplate)]


class ProofOfPossession(core.Choice):  # type: ignore[misc]
    """ProofOfPossession of RFC 4211; the one kind that is spoken here: the registration authority has verified it."""

    _alternatives = [("ra_verified", core.Null, {"implicit": 0})]


class CertReqMsg(core.Sequence):  # type: ignore[misc]
    """CertReqMsg of RFC 4211."""

    _fields = [("request", CertRequest), ("proof", ProofOfPossession, {"optional": True})]


class CertReqMessages(core.SequenceOf):  # type: ignore[misc]
    """CertReqMessages of RFC 4211."""

    _child_spec = CertReqMsg


class CertOrEncCert(core.Choice):  # type: ignore[misc]
    """A certificate; an encrypted one is for keys that the authority made."""

    _alternatives = [
        ("certificate", x509.Certificate, {"explicit": 0}),
        ("encrypted", core.Any, {"explicit": 1}),
    ]


class CertifiedKeyPair(core.Sequence):  # type: ignore[misc]
    """CertifiedKeyPair."""

    _fields = [
        ("certificate", CertOrEncCert),
        ("private_key", core.Any, {"explicit": 0, "optional": True}),
        ("publication", core.Any, {"explicit": 1, "optional": True}),
    ]


class CertResponse(core.Sequence):  # type: ignore[misc]
    """CertResponse."""

    _fields = [
        ("id", core.Integer),
        ("status", StatusInfo),
        ("pair", CertifiedKeyPair, {"optional": True}),
        ("info", core.OctetString, {"optional": True}),
    ]


class CertResponses(core.SequenceOf):  # type: ignore[misc]
    """Several of them."""

    _child_spec = CertResponse


class Certificates(core.SequenceOf):  # type: ignore[misc]
    """Certificates, in any order."""

    _child_spec = x509.Certificate


class CertRepMessage(core.Sequence):  # type: ignore[misc]
    """CertRepMessage."""

    _fields = [
        ("issuers", Certificates, {"explicit": 1, "optional": True}),
        ("responses", CertResponses),
    ]


class RevDetails(core.Sequence):  # type: ignore[misc]
    """RevDetails."""

    _fields = [("which", CertTemplate), ("entry", crl.CRLEntryExtensions, {"optional": True})]


class RevReqContent(core.SequenceOf):  # type: ignore[misc]
    """RevReqContent."""

    _child_spec = RevDetails


class StatusInfos(core.SequenceOf):  # type: ignore[misc]
    """Several of them."""

    _child_spec = StatusInfo


class RevRepContent(core.Sequence):  # type: ignore[misc]
    """RevRepContent."""

    _fields = [
        ("status", StatusInfos),
        ("certificates", core.Any, {"explicit": 0, "optional": True}),
        ("lists", core.Any, {"explicit": 1, "optional": True}),
    ]


class ErrorContent(core.Sequence):  # type: ignore[misc]
    """ErrorMsgContent."""

    _fields = [
        ("status", StatusInfo),
        ("code", core.Integer, {"optional": True}),
        ("details", FreeText, {"optional": True}),
    ]


class CertStatus(core.Sequence):  # type: ignore[misc]
    """CertStatus: a certificate was taken, or not."""

    _fields = [
        ("hash", core.OctetString),
        ("id", core.Integer),
        ("status", StatusInfo, {"optional": True}),
    ]


class CertConfirmContent(core.SequenceOf):  # type: ignore[misc]
    """CertConfirmContent."""

    _child_spec = CertStatus


class PollRequest(core.Sequence):  # type: ignore[misc]
    """Which request is asked about."""

    _fields = [("id", core.Integer)]


class PollReqContent(core.SequenceOf):  # type: ignore[misc]
    """PollReqContent."""

    _child_spec = PollRequest


class PollReply(core.Sequence):  # type: ignore[misc]
    """Ask again after so many seconds."""

    _fields = [
        ("id", core.Integer),
        ("check_after", core.Integer),
        ("reason", FreeText, {"optional": True}),
    ]


class PollRepContent(core.SequenceOf):  # type: ignore[misc]
    """PollRepContent."""

    _child_spec = PollReply


class Body(core.Choice):  # type: ignore[misc]
    """PKIBody, the kinds that are spoken here."""

    _alternatives = [
        ("ip", CertRepMessage, {"explicit": 1}),
        ("cr", CertReqMessages, {"explicit": 2}),
        ("cp", CertRepMessage, {"explicit": 3}),
        ("p10cr", csr.CertificationRequest, {"explicit": 4}),
        ("rr", RevReqContent, {"explicit": 11}),
        ("rp", RevRepContent, {"explicit": 12}),
        ("pkiconf", core.Null, {"explicit": 19}),
        ("error", ErrorContent, {"explicit": 23}),
        ("certConf", CertConfirmContent, {"explicit": 24}),
        ("pollReq", PollReqContent, {"explicit": 25}),
        ("pollRep", PollRepContent, {"explicit": 26}),
    ]


class ProtectedPart(core.Sequence):  # type: ignore[misc]
    """What the protection of a message is over."""

    _fields = [("header", Header), ("body", Body)]


class Message(core.Sequence):  # type: ignore[misc]
    """PKIMessage."""

    _fields = [
        ("header", Header),
        ("body", Body),
        ("protection", core.OctetBitString, {"explicit": 0, "optional": True}),
        ("extra_certs", Certificates, {"explicit": 1, "optional": True}),
    ]
