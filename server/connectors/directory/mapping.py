"""How directories of Microsoft write which certificate belongs to an account, in the forms that count as strong.

Sources: Microsoft KB5014754 (X509IssuerSerialNumber: the issuer's most significant part first, the serial number's bytes
reversed); Microsoft Entra, *certificate user IDs* (X509:<SKI>).
"""

from cryptography import x509

from shared import errors


def issuer_and_serial(certificate: bytes) -> str:
    """Return `X509:<I>…<SR>…` for a certificate (DER)."""
    read = x509.load_der_x509_certificate(certificate)
    issuer = ",".join(rdn.rfc4514_string() for rdn in read.issuer.rdns)
    number = read.serial_number
    serial = number.to_bytes((number.bit_length() + 7) // 8, "little").hex().upper()
    return f"X509:<I>{issuer}<SR>{serial}"


def key_identifier(certificate: bytes) -> str:
    """Return `X509:<SKI>…` for a certificate (DER).

    Raises:
        Invalid: it does not say its key's identifier.
    """
    read = x509.load_der_x509_certificate(certificate)
    try:
        found = read.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound as cause:
        raise errors.Invalid(field="certificate", why="it has no subject key identifier") from cause
    return f"X509:<SKI>{found.value.digest.hex().upper()}"
