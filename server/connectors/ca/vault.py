"""HashiCorp Vault and OpenBao: certificates of a PKI secrets engine.

A profile is a role. `sign-verbatim` keeps subject and names of the request, the security identifier among them; `sign` lets the
role decide, and carries what its parameters can say. Nobody can search by key here, and a revocation has no reason.

Source: the HTTP API of the PKI secrets engine (`/v1/MOUNT/sign`, `sign-verbatim`, `revoke`, `roles`), which OpenBao shares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from cryptography import x509
from cryptography.x509.oid import NameOID

from server.connectors.ca.outside import COMMON_FIELDS, OutsideAuthority, pem_request
from server.connectors.fields import CLIENT_HTTP_FIELDS
from server.connectors.http import Http
from server.ports.ca import Abilities, Names, Outcome, Reason, SignRequest
from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings
from shared.credential.names import UPN
from shared.secret import Secret

SMART_CARD_LOGON: Final = "1.3.6.1.4.1.311.20.2.2"
CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"
NOT_IN_PARAMETERS: Final = frozenset({"sid", "fascn"})
"""Names that `sign` has no parameter for."""


class VaultAuthority(OutsideAuthority):
    """It is a `CertificateAuthority`, `CanRevoke` and `CanListProfiles`."""

    FINDS = False

    def __init__(self, configured: Configured, around: Surroundings) -> None:
        """Take the configuration; nothing is asked yet.

        Raises:
            Invalid: a field cannot be used.
        """
        token = configured.secret("token")
        assert token is not None
        headers: dict[str, str | Secret] = {"X-Vault-Token": token, "X-Vault-Request": "true"}
        if configured.text("namespace"):
            headers["X-Vault-Namespace"] = configured.text("namespace")
        super().__init__(configured, around, Http(configured, around, headers=headers))
        self._mount = "/".join(quote(part, safe="") for part in configured.text("mount").split("/") if part)
        self._verbatim = configured.flag("verbatim")
        self._usages = configured.texts("key-usages") or ("DigitalSignature",)
        self._purposes = configured.texts("purposes") or (CLIENT_AUTH, SMART_CARD_LOGON)

    @property
    def abilities(self) -> Abilities:
        """What this certificate authority can do; a role decides about names that it is not told verbatim."""
        able = super().abilities
        if self._verbatim:
            return able
        return replace(able, names=tuple(each for each in able.names if each not in NOT_IN_PARAMETERS))

    async def ask(self, request: SignRequest) -> Outcome:
        """Have the request signed under a role."""
        how = "sign-verbatim" if self._verbatim else "sign"
        asked: dict[str, Any] = {"csr": pem_request(request), "format": "pem", **self._end(request)}
        if self._verbatim:
            asked |= {
                "key_usage": list(self._usages),
                "ext_key_usage": [],
                "ext_key_usage_oids": list(self._purposes),
            }
        else:
            asked |= _parameters(request.names)
        reply = await self.http.call(
            "POST",
            f"v1/{self._mount}/{how}/{quote(request.profile, safe='')}",
            json=asked,
            ok=(200, 400, 404),
            what="issue",
        )
        told = reply.object()
        if reply.status != 200:
            return self.refused(request, _errors(told))
        data = _data(told)
        return self.issued(request, data.get("certificate"), data.get("ca_chain") or ())

    async def look_for(self, request: SignRequest) -> Outcome | None:
        """Nothing is known of any request: certificates can be listed, and searched for nothing."""
        del request
        return None

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        """Revoke one certificate (DER), without its reason; doing it again changes nothing."""
        del reason
        serial = f"{self.own(certificate).serial_number:x}"
        serial = serial.zfill(len(serial) + len(serial) % 2)
        pairs = ":".join(serial[at : at + 2] for at in range(0, len(serial), 2))
        reply = await self.http.call(
            "POST",
            f"v1/{self._mount}/revoke",
            json={"serial_number": pairs},
            ok=(200, 400, 404),
            what="revoke",
            repeatable=True,
        )
        if reply.status != 200:
            raise self.refusal(reason="it does not know this certificate, or keeps none")

    async def offered_profiles(self) -> Sequence[str]:
        """Return the roles of this engine."""
        reply = await self.http.call(
            "GET", f"v1/{self._mount}/roles", query={"list": "true"}, ok=(200, 404), what="roles"
        )
        found = _data(reply.object()).get("keys") if reply.status == 200 else None
        return sorted(str(each) for each in found or ())

    async def greet(self) -> None:
        """Look our own token up."""
        await self._token()

    async def credential_ends(self) -> datetime | None:
        """Return when our token ends; None for one that does not."""
        told = (await self._token()).get("expire_time")
        return datetime.fromisoformat(str(told)) if told else None

    async def _token(self) -> Mapping[str, Any]:
        reply = await self.http.call("GET", "v1/auth/token/lookup-self", what="token")
        return _data(reply.object())

    def _end(self, request: SignRequest) -> dict[str, str]:
        if request.not_after is None:
            return {}
        return {"ttl": f"{max(1, int((request.not_after - self.clock.now()).total_seconds()))}s"}


def _parameters(names: Names) -> dict[str, Any]:
    """Return what `sign` is told of the names; the role says what it does with them."""
    subject = x509.Name.from_rfc4514_string(names.subject)
    common = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    found: dict[str, Any] = {"common_name": common[-1] if common else "", "exclude_cn_from_sans": True}
    if names.mail:
        found["alt_names"] = names.mail
    if names.upn:
        found["other_sans"] = f"{UPN.dotted_string};UTF8:{names.upn}"
    if names.card:
        found["uri_sans"] = names.card
    return found


def _data(told: Mapping[str, Any]) -> Mapping[str, Any]:
    data = told.get("data")
    return data if isinstance(data, dict) else {}


def _errors(told: Mapping[str, Any]) -> str:
    return "; ".join(str(each) for each in told.get("errors") or ())


FIELDS: Final = (
    *CLIENT_HTTP_FIELDS,
    *COMMON_FIELDS,
    Field(
        name="token",
        kind=FieldKind.SECRET,
        title="Token",
        required=True,
        help="With a policy for sign, revoke and roles of this engine.",
    ),
    Field(
        name="mount", kind=FieldKind.TEXT, title="Engine", default="pki", help="Where the engine is mounted."
    ),
    Field(name="namespace", kind=FieldKind.TEXT, title="Namespace", help="Where the server has namespaces."),
    Field(
        name="verbatim",
        kind=FieldKind.FLAG,
        title="Names as asked",
        default=True,
        help="Sign subject and names of the request (sign-verbatim); otherwise the role decides about them.",
    ),
    Field(
        name="key-usages",
        kind=FieldKind.TEXTS,
        title="Key usages",
        help="For names as asked; without them: DigitalSignature.",
    ),
    Field(
        name="purposes",
        kind=FieldKind.TEXTS,
        title="Purposes",
        help="Extended key usages (OIDs) for names as asked; without them: client authentication and smart card log-on.",
    ),
)
ABILITIES: Final = frozenset({Ability.ISSUE, Ability.REVOKE, Ability.PROFILES, Ability.SUBJECT_OVERRIDE})

VAULT: Final = Kind(
    name="vault",
    port=Port.CA,
    title="HashiCorp Vault",
    fields=FIELDS,
    abilities=ABILITIES,
    build=VaultAuthority,
    page="vault.md",
)
OPENBAO: Final = Kind(
    name="openbao",
    port=Port.CA,
    title="OpenBao",
    fields=FIELDS,
    abilities=ABILITIES,
    build=VaultAuthority,
    page="openbao.md",
)
KIND: Final = VAULT
