"""GENERAL AUTHENTICATE: the management key in both directions, and the slots' keys at work.

Source: [SP 800-73-5] part 2, section 3.2.4 and appendix A (examples of each dialogue).
"""

import hmac
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from shared.iso7816.apdu import Apdu
from shared.iso7816.status import SW
from shared.piv.ids import KeyRef, ManagementAlgorithm, PinPolicyId, Slot
from shared.virtual.applet import Applet
from shared.virtual.keys import agree, compute, usable_slot
from shared.virtual.memory import ManagementKey
from shared.virtual.security import Expecting, Refused
from shared.virtual.tlv import fields, only, put

_WITNESS: Final = 0x80
_CHALLENGE: Final = 0x81
_RESPONSE: Final = 0x82
_EXPONENTIATION: Final = 0x85
_TEMPLATE: Final = 0x7C
_ECB: Final = modes.ECB()  # noqa: S305  # one random block, as the standard says


def general_authenticate(applet: Applet, apdu: Apdu) -> bytes:
    """Authenticate with the management key (9B), or use the key of a slot."""
    template = fields(only(apdu.data, _TEMPLATE))
    if apdu.p2 == KeyRef.MANAGEMENT:
        return _management(applet, apdu.p1, template)
    applet.security.pending = None
    return _slot(applet, apdu, template)


def _management(applet: Applet, algorithm: int, template: dict[int, bytes]) -> bytes:
    """Do one half of a mutual or single authentication with 9B."""
    security, key = applet.security, applet.memory.management
    pending, security.pending = security.pending, None
    if template == {_CHALLENGE: b""} and not algorithm:
        # OpenSC's source of random numbers: it knows no other way and never answers the challenge
        return _begin(applet, key, template)
    if (algorithm or ManagementAlgorithm.TDES) != key.algorithm:
        raise Refused(SW.INCORRECT_PARAMETERS)
    if any(tag in template and not template[tag] for tag in (_WITNESS, _CHALLENGE)):
        return _begin(applet, key, template)
    security.managed = False
    if pending is None:
        raise Refused(SW.CONDITIONS_NOT_SATISFIED)
    expecting, value = pending
    given = template.get(_WITNESS if expecting is Expecting.WITNESS else _RESPONSE)
    if given is None:
        raise Refused(SW.INCORRECT_DATA)
    challenge = template.get(_CHALLENGE)
    if expecting is Expecting.WITNESS and (challenge is None or len(challenge) != len(value)):
        raise Refused(SW.INCORRECT_DATA)
    if not hmac.compare_digest(given, value):
        raise Refused(SW.SECURITY_STATUS_NOT_SATISFIED)
    security.managed = True
    if challenge is None or expecting is Expecting.RESPONSE:
        return b""
    return put(_TEMPLATE, put(_RESPONSE, _encrypt(key, challenge)))


def _begin(applet: Applet, key: ManagementKey, template: dict[int, bytes]) -> bytes:
    """Hand out a witness (encrypted) or a challenge (in clear).

    Source: [SP 800-73-5] part 2, appendix A.1 and A.2.
    """
    block = applet.random(key.algorithm.block_length)
    if template.get(_WITNESS) == b"":
        applet.security.pending = (Expecting.WITNESS, block)
        return put(_TEMPLATE, put(_WITNESS, _encrypt(key, block)))
    applet.security.pending = (Expecting.RESPONSE, _encrypt(key, block))
    return put(_TEMPLATE, put(_CHALLENGE, block))


def _slot(applet: Applet, apdu: Apdu, template: dict[int, bytes]) -> bytes:
    """Sign, decrypt or agree on a secret with a slot's key."""
    slot = usable_slot(applet, apdu.p2)
    key = applet.memory.keys.get(slot)
    if slot is Slot.ATTESTATION:
        raise Refused(SW.INCORRECT_PARAMETERS)
    if key is None:
        raise Refused(SW.REFERENCE_NOT_FOUND)
    if apdu.p1 != key.algorithm:
        raise Refused(SW.INCORRECT_PARAMETERS)
    if template.get(_RESPONSE) != b"" or len(template) != 2:
        raise Refused(SW.INCORRECT_DATA)
    security = applet.security
    if (key.pin is PinPolicyId.ONCE and not security.pin) or (
        key.pin is PinPolicyId.ALWAYS and not security.pin_just_now
    ):
        raise Refused(SW.SECURITY_STATUS_NOT_SATISFIED)
    if _CHALLENGE in template:
        result = compute(key, template[_CHALLENGE])
    elif _EXPONENTIATION in template:
        result = agree(key, template[_EXPONENTIATION])
    else:
        raise Refused(SW.INCORRECT_DATA)
    return put(_TEMPLATE, put(_RESPONSE, result))


def _encrypt(key: ManagementKey, block: bytes) -> bytes:
    """Encrypt one block with the management key."""
    value = key.value.reveal()
    cipher = TripleDES(value) if key.algorithm is ManagementAlgorithm.TDES else AES(value)
    encryptor = Cipher(cipher, _ECB).encryptor()
    return encryptor.update(block) + encryptor.finalize()
