"""The listener that everybody may ask: revocation lists, issuers, and answers about single certificates, over HTTP.

Plain HTTP on purpose: everything here is signed, and whoever checks a certificate of the web server would need the list
first ([RFC 5280] section 8). It takes GET and HEAD of four documents and OCSP by GET and POST, in a few kilobytes, and nothing else.

Sources: [RFC 6960] appendix A (OCSP over HTTP), [RFC 5019] 6 (how long answers may be kept), [RFC 5280] 4.2.1.13 and
4.2.2.1 (a list or a certificate is one DER object with its media type).
"""

import base64
import binascii
from datetime import datetime
from email.utils import format_datetime
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from server.ports.publication import Published, Publishes
from shared import errors
from shared.clock import Clock
from shared.config import Address

MAX_QUESTION: Final = 4096
"""Bytes of an OCSP request: one about one certificate has about a hundred."""

OCSP: Final = "ocsp"
OCSP_REQUEST: Final = "application/ocsp-request"
OCSP_RESPONSE: Final = "application/ocsp-response"
MEDIA_TYPES: Final = {"crl": "application/pkix-crl", "cer": "application/pkix-cert"}
"""By the last part of a document's name ([RFC 2585] 4)."""

PUBLIC: Final = "public, max-age={seconds}, must-revalidate"


class Publishing:
    """One listener over what is published."""

    def __init__(self, published: Publishes, listen: Address, clock: Clock) -> None:
        """Serve `published` at `listen`, once started."""
        self._published = published
        self._listen = listen
        self._clock = clock
        application = web.Application(client_max_size=MAX_QUESTION)
        application.add_routes(
            [
                *(web.get(f"/{which.value}", self._document(which)) for which in Published),
                web.post(f"/{OCSP}", self._asked),
                web.get(f"/{OCSP}/{{question:.+}}", self._asked_in_the_address),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)
        self.port = listen.port

    async def start(self) -> None:
        """Take the address and serve; where its port is 0, `port` says which one it became.

        Raises:
            ConfigInvalid: the address cannot be had.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._listen.host, self._listen.port)
        try:
            await site.start()
        except OSError as cause:
            await self._runner.cleanup()
            raise errors.ConfigInvalid(file=str(self._listen), why=str(cause.strerror)) from cause
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Let the address go."""
        await self._runner.cleanup()

    def _document(self, which: Published) -> Handler:
        media_type = MEDIA_TYPES[which.value.rpartition(".")[2]]

        async def handler(_request: web.Request) -> web.Response:
            document = await self._published.document(which)
            headers = self._kept(document.made_at, document.fresh_until)
            return web.Response(body=document.content, content_type=media_type, headers=headers)

        return handler

    async def _asked(self, request: web.Request) -> web.Response:
        if request.content_type != OCSP_REQUEST:
            raise web.HTTPUnsupportedMediaType
        return await self._answer(await request.read(), may_be_kept=False)

    async def _asked_in_the_address(self, request: web.Request) -> web.Response:
        """Take the question from the path, in base64."""
        encoded = request.match_info["question"]
        if len(encoded) > MAX_QUESTION:
            raise web.HTTPRequestURITooLong
        try:
            question = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            question = b""  # the answer says that it cannot be read
        return await self._answer(question, may_be_kept=True)

    async def _answer(self, question: bytes, *, may_be_kept: bool) -> web.Response:
        answer = await self._published.status(question)
        kept = answer.fresh_until if may_be_kept else None
        headers = {"Cache-Control": "no-store"} if kept is None else self._kept(answer.made_at, kept)
        return web.Response(body=answer.content, content_type=OCSP_RESPONSE, headers=headers)

    def _kept(self, made_at: datetime, until: datetime) -> dict[str, str]:
        """Return the headers that say how long something may be kept."""
        seconds = max(0, int((until - self._clock.now()).total_seconds()))
        return {
            "Cache-Control": PUBLIC.format(seconds=seconds),
            "Last-Modified": format_datetime(made_at, usegmt=True),
            "Expires": format_datetime(until, usegmt=True),
        }
