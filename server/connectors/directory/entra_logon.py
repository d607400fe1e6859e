"""Microsoft Entra ID that also says whether somebody is a holder: by a code that they type on another device.

What counts is the immutable id in the token that comes straight from the authority over TLS, never the name that somebody
typed.

Sources: [RFC 8628] 3.1 to 3.5 (device authorization grant); OpenID Connect Core 1.0, 3.1.3.7 (what is checked of a token that
comes straight from the token endpoint); Microsoft identity platform, *ID token claims* (oid, tid).
"""

import base64
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from server.connectors.directory.entra import EntraDirectory
from server.connectors.directory.entra_tokens import Tokens
from server.connectors.http import Http
from server.connectors.reply import Reply
from server.ports.connection import Ability
from server.ports.directory import CodeLogon, CodeOutcome, Known, NotKnown, Waiting
from shared import errors
from shared.clock import Clock
from shared.credential.model import HolderId
from shared.secret import Secret

GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER_S: Final = 5
LONGEST_S: Final = 1800
INTERVAL_MAX_S: Final = 60
SKEW_S: Final = 300
TOKEN_MAX: Final = 16384
REFUSALS: Final = {
    "authorization_declined": "it was declined on the other device",
    "access_denied": "it was declined on the other device",
    "expired_token": "nobody typed the code in time",
    "code_expired": "nobody typed the code in time",
    "bad_verification_code": "the code does not count",
}


class EntraWithLogon(EntraDirectory):
    """Find people in a tenant, and let them prove who they are on another device."""

    def __init__(
        self,
        http: Http,
        tokens: Tokens,
        *,
        attributes: Mapping[str, str],
        photos: bool,
        writing: Tokens | None,
        login: Http,
        tenant: str,
        client: str,
        clock: Clock,
    ) -> None:
        """`login` reaches the authority; `client` is the application that people log on to."""
        super().__init__(http, tokens, attributes=attributes, photos=photos, writing=writing)
        self._login = login
        self._tenant = tenant
        self._client = client
        self._clock = clock

    @property
    def abilities(self) -> frozenset[Ability]:
        """Log-ons too."""
        return super().abilities | {Ability.AUTHENTICATE}

    async def begin(self, holder: HolderId) -> CodeLogon:
        """Ask for a code; raises as `search`."""
        del holder  # who it is turns out at the end
        reply = await self._login.call(
            "POST",
            f"{self._tenant}/oauth2/v2.0/devicecode",
            form={"client_id": self._client, "scope": "openid profile"},
            what="code",
        )
        told = reply.object()
        code, address, handle = (
            _text(told, name) for name in ("user_code", "verification_uri", "device_code")
        )
        if not (code and handle and address.startswith("https://")):
            raise reply.wrong(reason="there is no code in it, or no address to type it at")
        whole = _text(told, "verification_uri_complete")
        lasts = _number(told, "expires_in", LONGEST_S)
        return CodeLogon(
            code=code,
            address=address,
            whole_address=whole if whole.startswith("https://") else "",
            ends_at=self._clock.now() + timedelta(seconds=lasts),
            interval_s=_number(told, "interval", INTERVAL_MAX_S) or SLOWER_S,
            handle=Secret.from_text(handle),
        )

    async def outcome(self, holder: HolderId, logon: CodeLogon) -> CodeOutcome:
        """Ask once what became of a code; raises as `search`."""
        if self._clock.now() >= logon.ends_at:
            return NotKnown(REFUSALS["expired_token"])
        reply = await self._login.call(
            "POST",
            f"{self._tenant}/oauth2/v2.0/token",
            form={"grant_type": GRANT, "client_id": self._client, "device_code": logon.handle},
            ok=(200, 400),
            what="outcome of a code",
        )
        told = reply.object()
        if reply.status == 200:
            return self._read(reply, told, holder)
        code = _text(told, "error")
        if code == "authorization_pending":
            return Waiting(logon.interval_s)
        if code == "slow_down":
            return Waiting(logon.interval_s + SLOWER_S)
        if code in REFUSALS:
            return NotKnown(REFUSALS[code])
        raise errors.ConnectorRefused(
            connection=reply.connection, reason="it does not let this application ask for codes"
        )

    async def close(self) -> None:
        """Let go of open lines."""
        await self._login.close()
        await super().close()

    def _read(self, reply: Reply, told: Mapping[str, Any], holder: HolderId) -> CodeOutcome:
        """Judge the token: from this authority, for us, now, and about this holder."""
        claims = _claims(_text(told, "id_token"))
        now = self._clock.now().timestamp()
        ends = claims.get("exp")
        tenant = _text(claims, "tid")
        if (
            claims.get("aud") != self._client
            or not tenant
            or claims.get("iss") != f"{self._login.base}/{tenant}/v2.0"
            or not isinstance(ends, int)
            or isinstance(ends, bool)
            or ends + SKEW_S < now
        ):
            raise reply.wrong(reason="the token is not from this authority, not for us, or over")
        if _is_uuid(self._tenant) and tenant.lower() != self._tenant.lower():
            return NotKnown("somebody of another tenant logged on")
        if _text(claims, "oid").lower() != holder.lower():
            return NotKnown("somebody else logged on")
        return Known(holder)


def _claims(token: str) -> Mapping[str, Any]:
    """Return what a token says; nothing where it is none. Its signature is TLS's: it came straight from the authority."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > TOKEN_MAX:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) else ""


def _number(told: Mapping[str, Any], name: str, most: int) -> int:
    value = told.get(name)
    return min(max(value, 0), most) if isinstance(value, int) and not isinstance(value, bool) else 0


def _is_uuid(text: str) -> bool:
    return len(text) == 36 and text.count("-") == 4
