"""What the HRESULTs of AD CS mean, where an administrator can do something about them.

Source: [MS-ERREF] 2.1.1; winerror.h (facility certificate services).
"""

from typing import Final

UNANSWERED: Final = {
    0x80094006: "CERTSRV_E_SERVER_SUSPENDED",
    0x800706BA: "RPC_S_SERVER_UNAVAILABLE",
    0x800706BB: "RPC_S_SERVER_TOO_BUSY",
    0x800706BE: "RPC_S_CALL_FAILED",
}
"""The enrolment service did not reach its certificate authority, or lost its answer: nobody refused anything."""

REFUSALS: Final = {
    0x80070005: ("E_ACCESSDENIED", "our account has no right to this"),
    0x80070057: ("E_INVALIDARG", "it does not know this request"),
    0x80092009: ("CRYPT_E_NO_MATCH", "a signature of the request has no certificate"),
    0x80094001: ("CERTSRV_E_BAD_REQUESTSUBJECT", "the subject is malformed or too long"),
    0x80094003: ("CERTSRV_E_BAD_REQUESTSTATUS", "the request is in another state"),
    0x80094004: ("CERTSRV_E_PROPERTY_EMPTY", "it does not know this request"),
    0x80094009: ("CERTSRV_E_RESTRICTEDOFFICER", "our enrolment agent may not enrol for this account"),
    0x80094011: ("CERTSRV_E_ENROLL_DENIED", "our account may not enrol at this certificate authority"),
    0x80094012: ("CERTSRV_E_TEMPLATE_DENIED", "no permission to enrol for this template"),
    0x80094014: ("CERTSRV_E_ADMIN_DENIED_REQUEST", "an administrator denied it"),
    0x80094800: ("CERTSRV_E_UNSUPPORTED_CERT_TYPE", "this certificate authority does not offer the template"),
    0x80094801: ("CERTSRV_E_NO_CERT_TYPE", "the request names no template"),
    0x80094802: ("CERTSRV_E_TEMPLATE_CONFLICT", "the request names two templates"),
    0x80094803: ("CERTSRV_E_SUBJECT_ALT_NAME_REQUIRED", "the template needs alternative names"),
    0x80094804: (
        "CERTSRV_E_ARCHIVED_KEY_REQUIRED",
        "the template archives keys, and those of cards stay there",
    ),
    0x80094809: ("CERTSRV_E_SIGNATURE_POLICY_REQUIRED", "the template needs an enrolment agent's signature"),
    0x8009480A: ("CERTSRV_E_SIGNATURE_COUNT", "the template needs more signatures of enrolment agents"),
    0x8009480B: ("CERTSRV_E_SIGNATURE_REJECTED", "it does not accept our enrolment agent's signature"),
    0x8009480C: (
        "CERTSRV_E_ISSUANCE_POLICY_REQUIRED",
        "our enrolment agent's certificate lacks an issuance policy",
    ),
    0x8009480D: (
        "CERTSRV_E_SUBJECT_UPN_REQUIRED",
        "the account has no user principal name, and the template needs one",
    ),
    0x8009480F: ("CERTSRV_E_SUBJECT_DNS_REQUIRED", "the account has no DNS name, and the template needs one"),
    0x80094811: ("CERTSRV_E_KEY_LENGTH", "the key is shorter than the template demands"),
    0x80094812: (
        "CERTSRV_E_SUBJECT_EMAIL_REQUIRED",
        "the account has no mail address, and the template needs one",
    ),
}


def unsigned(code: int) -> int:
    """Return an HRESULT as it is written: the wire carries it signed."""
    return code & 0xFFFFFFFF


def named(code: int) -> str:
    """Return an HRESULT with its name and what it means; the number alone where we know no more."""
    code = unsigned(code)
    name, meaning = REFUSALS.get(code, (UNANSWERED.get(code, ""), ""))
    told = f"{name} (0x{code:08X})" if name else f"0x{code:08X}"
    return f"{told}: {meaning}" if meaning else told
