"""The enrolment policy: which templates there are, who issues them, and what they demand of us.

Source: [MS-XCEP] 3.1.4.1 (GetPolicies).
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, SubElement  # builds messages

from server.connectors.ca.adcs.soap import nil

SPACE: Final = "http://schemas.microsoft.com/windows/pki/2009/01/enrollmentpolicy"
GET_POLICIES: Final = f"{SPACE}/IPolicy/GetPolicies"
GET_POLICIES_ANSWER: Final = f"{SPACE}/IPolicy/GetPoliciesResponse"
_P: Final = f"{{{SPACE}}}"

LONGEST_NAME: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A certificate authority of the policy; `enrols`: we may ask it for certificates."""

    certificate: bytes
    addresses: tuple[str, ...]
    enrols: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateTemplate:
    """A template, as the policy shows it to us. `agents` counts the signatures of enrolment agents that it demands."""

    name: str
    enrols: bool
    agents: int
    authorities: tuple[Authority, ...]


def question() -> Element:
    """Return the question for everything that our account may see."""
    content = Element(f"{_P}GetPolicies")
    client = SubElement(content, f"{_P}client")
    nil(client, f"{_P}lastUpdate")
    nil(client, f"{_P}preferredLanguage")
    nil(content, f"{_P}requestFilter")
    return content


def read(answer: Element) -> tuple[CertificateTemplate, ...]:
    """Return the templates of an answer.

    Raises:
        ValueError: it is none.
    """
    if answer.tag != f"{_P}GetPoliciesResponse" or answer.find(f"{_P}response") is None:
        raise ValueError
    authorities = dict(_authorities(answer))
    return tuple(
        _template(each, authorities) for each in answer.iterfind(f"{_P}response/{_P}policies/{_P}policy")
    )


def _authorities(answer: Element) -> Iterator[tuple[str, Authority]]:
    for each in answer.iterfind(f"{_P}cAs/{_P}cA"):
        uris = each.find(f"{_P}uris")
        addresses = [
            uri.findtext(f"{_P}uri", "").strip() for uri in (uris if uris is not None else ())
        ]  # its children are named cAURI, by some servers uri
        try:
            certificate = base64.b64decode(
                "".join(each.findtext(f"{_P}certificate", "").split()), validate=True
            )
        except binascii.Error as cause:
            raise ValueError from cause
        yield (
            each.findtext(f"{_P}cAReferenceID", "").strip(),
            Authority(
                certificate=certificate,
                addresses=tuple(address for address in addresses if address),
                enrols=_flag(each, f"{_P}enrollPermission"),
            ),
        )


def _template(policy: Element, authorities: dict[str, Authority]) -> CertificateTemplate:
    name = policy.findtext(f"{_P}attributes/{_P}commonName", "").strip()
    if not name or len(name) > LONGEST_NAME:
        raise ValueError
    wanted = policy.findtext(f"{_P}attributes/{_P}rARequirements/{_P}rASignatures", "").strip()
    issuers = [
        authorities[reference]
        for each in policy.iterfind(f"{_P}cAs/*")
        if (reference := (each.text or "").strip()) in authorities
    ]
    return CertificateTemplate(
        name=name,
        enrols=_flag(policy, f"{_P}attributes/{_P}permission/{_P}enroll"),
        agents=int(wanted or 0),
        authorities=tuple(issuers),
    )


def _flag(parent: Element, path: str) -> bool:
    """Read an xs:boolean; what is not there is false."""
    return parent.findtext(path, "").strip() in {"true", "1"}
