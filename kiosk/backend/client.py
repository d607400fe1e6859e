"""The server over gRPC with mutual TLS."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Final, TypeVar
from uuid import UUID

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from kiosk.backend.channel import open_channel
from kiosk.backend.failures import failure_of
from kiosk.backend.identity import StationIdentity
from kiosk.backend.stream import last_word, speak
from kiosk.backend.token import HeldToken
from kiosk.ports import LineEnds, LinkState
from shared import errors
from shared.clock import Clock
from shared.console import CardHints, CardView, Comparison, Found, ServerView, TemplateView
from shared.credential.lifecycle import OperationKind
from shared.credentials import CodeView, DecisionView, FoundCredentials
from shared.errors import KioskError
from shared.logon import LogonPurpose
from shared.proto import (
    console_pb2,
    console_pb2_grpc,
    credentials_pb2_grpc,
    operations_pb2,
    operations_pb2_grpc,
    rehearsals_pb2_grpc,
    self_service_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
    stations_pb2,
    stations_pb2_grpc,
)
from shared.proto.convert_console import (
    decode_card,
    decode_found,
    decode_server,
    decode_templates,
    encode_hints,
    encode_question,
    encode_search,
)
from shared.proto.convert_credentials import (
    decode_decided,
    decode_found_credentials,
    decode_read_out,
    decode_unblock_code,
    encode_decision,
    encode_find,
    encode_help,
)
from shared.proto.convert_rehearsal import decode_rehearsal, encode_request
from shared.proto.convert_sessions import (
    decode_challenge,
    decode_logged_on,
    decode_session,
    encode_leaving,
    encode_proof,
)
from shared.proto.convert_sessions import encode_question as encode_session_question
from shared.proto.convert_sight import decode_comparison
from shared.proto.convert_turns import decode_server_turn
from shared.rehearsal import Rehearsal, RehearsalRequest
from shared.relay import Done, Failed, ServerTurn, StationTurn
from shared.sessions import Leaving, Proof, SessionView
from shared.station_profile import Face

CALL_TIMEOUT_S: Final = 10.0
"""One question and its answer; a directory may take its time."""
REHEARSAL_TIMEOUT_S: Final = 60.0
"""A dry run at the least: the first one with long RSA keys makes them."""
DECISION_TIMEOUT_S: Final = 30.0
"""A decision waits for certificate authorities for a while."""
FACE: Final = "kiosk-face"
"""Metadata with the face that this line speaks for."""
OLD_LINE_S: Final = 1800.0
"""How long an operation may go on over the line of an identity that was renewed."""

R = TypeVar("R")
_SHUTDOWN: Final = grpc.ChannelConnectivity.SHUTDOWN
_STATES: Final = {
    grpc.ChannelConnectivity.READY: LinkState.CONNECTED,
    grpc.ChannelConnectivity.TRANSIENT_FAILURE: LinkState.LOST,
}


class GrpcBackend:
    """`kiosk.ports.Backend` over one channel that reconnects by itself."""

    def __init__(
        self,
        identity: StationIdentity,
        clock: Clock,
        server: str = "",
        *,
        face: Face = Face.CLI,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        """Speak as `identity` with its server, or with the one at `server` (host:port) under the same root.

        Made inside a running event loop, which it belongs to. `face` is what it speaks for. `call_timeout_s` bounds every single call; an
        operation's stream has no limit.
        """
        self._timeout_s = call_timeout_s
        self._face = face
        self.readers: Callable[[], int] = int
        self._server = server or identity.server
        self._clock = clock
        self._token = HeldToken()
        self._closing: set[asyncio.Task[None]] = set()
        self._open(identity)

    def _open(self, identity: StationIdentity) -> None:
        self._identity = identity
        self._channel = open_channel(identity, self._server)
        self._operations = operations_pb2_grpc.OperationsStub(self._channel)
        self._console = console_pb2_grpc.ConsoleStub(self._channel)
        self._rehearsals = rehearsals_pb2_grpc.RehearsalsStub(self._channel)
        self._stations = stations_pb2_grpc.StationsStub(self._channel)
        self._credentials = credentials_pb2_grpc.CredentialsStub(self._channel)
        self._sessions = sessions_pb2_grpc.SessionsStub(self._channel)
        self._self_service = self_service_pb2_grpc.SelfServiceStub(self._channel)

    @property
    def _metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return ((FACE, self._face.value), *self._token.metadata)

    @property
    def logged_on(self) -> bool:
        """Whether an operator is; a session is bound to the certificate with which it began."""
        return bool(self._token.metadata)

    async def renew(self, request: bytes) -> bytes:
        """Have a request (PKCS#10, DER) for this station's next certificate certified; return it, DER."""
        message = stations_pb2.RenewRequest(request=request)
        call = self._stations.Renew(message, timeout=self._timeout_s, metadata=self._metadata)
        return (await self._call(call)).certificate

    async def adopt(self, identity: StationIdentity) -> None:
        """Speak as this identity from now on; what runs on the old line ends there."""
        before = self._channel
        self._open(identity)
        ending = asyncio.create_task(before.close(OLD_LINE_S))
        self._closing.add(ending)
        ending.add_done_callback(self._closing.discard)

    async def who_am_i(self) -> ServerView:
        """Return how the server knows this station."""
        request = stations_pb2.WhoAmIRequest(
            version=version("issuance-kiosk"), readers=self.readers(), face=self._face.value
        )
        call = self._stations.WhoAmI(request, timeout=self._timeout_s, metadata=self._metadata)
        return decode_server(await self._call(call))

    async def look_up(self, hints: CardHints) -> CardView:
        """Return what the record says of a card."""
        stub = self._self_service if self._token.of_holder else self._console
        call = stub.LookUpCard(encode_hints(hints), timeout=self._timeout_s, metadata=self._metadata)
        return decode_card(await self._call(call))

    async def compare(self, hints: CardHints, template: str) -> Comparison:
        """Return how a card differs from a template: the one of its credential where none is named."""
        call = self._console.CompareCard(
            encode_question(hints, template), timeout=self._timeout_s, metadata=self._metadata
        )
        return decode_comparison(await self._call(call))

    async def find_people(self, text: str, limit: int, directory: str = "") -> Found:
        """Search one directory, or all of them."""
        call = self._console.FindPeople(
            encode_search(text, limit, directory), timeout=self._timeout_s, metadata=self._metadata
        )
        return decode_found(await self._call(call))

    async def templates(self) -> Sequence[TemplateView]:
        """Return the templates that this station may issue."""
        call = self._console.ListTemplates(
            console_pb2.ListTemplatesRequest(), timeout=self._timeout_s, metadata=self._metadata
        )
        return decode_templates(await self._call(call))

    async def rehearse_issue(self, request: RehearsalRequest) -> Rehearsal:
        """Return what issuing a card would do."""
        timeout = max(self._timeout_s, REHEARSAL_TIMEOUT_S)
        call = self._rehearsals.RehearseIssue(
            encode_request(request), timeout=timeout, metadata=self._metadata
        )
        return decode_rehearsal(await self._call(call))

    async def find_credentials(self, text: str, limit: int) -> FoundCredentials:
        """Search credentials by their holders, whether or not their cards are here."""
        message = encode_find(text, limit)
        if self._token.of_holder:
            call = self._self_service.ListCredentials(
                message, timeout=self._timeout_s, metadata=self._metadata
            )
        else:
            call = self._credentials.Find(message, timeout=self._timeout_s, metadata=self._metadata)
        return decode_found_credentials(await self._call(call))

    async def decide(self, record_id: UUID, operation: OperationKind, reason: str) -> DecisionView:
        """Suspend, resume, revoke or delete a credential whose card is not here."""
        stub = self._self_service if self._token.of_holder else self._credentials
        call = stub.Decide(
            encode_decision(record_id, operation, reason),
            timeout=DECISION_TIMEOUT_S,
            metadata=self._metadata,
        )
        return decode_decided(await self._call(call))

    async def read_out(self, record_id: UUID) -> CodeView:
        """Tell the code that unblocks a card far away, which is disclosed from then on."""
        call = self._credentials.ReadOut(
            encode_help(record_id), timeout=self._timeout_s, metadata=self._metadata
        )
        return decode_read_out(await self._call(call))

    async def make_unblock_code(self, record_id: UUID) -> CodeView:
        """Make a code with which a holder unblocks the card at a station, once."""
        call = self._credentials.MakeUnblockCode(
            encode_help(record_id), timeout=self._timeout_s, metadata=self._metadata
        )
        return decode_unblock_code(await self._call(call))

    async def operation(self, turns: AsyncIterator[StationTurn]) -> AsyncGenerator[ServerTurn, None]:
        """Open one operation's stream, say `turns`, and yield what the server says.

        Raises:
            ServerUnreachable: the line was down before the server said anything.
            ConnectionLost: it was cut before `Done` or `Failed`.
            KioskError: the server's own error, or whatever `turns` raised.
        """
        call = self._operations.Run(metadata=self._metadata)
        speech = asyncio.create_task(speak(call, turns))
        heard = ended = False
        try:
            while not ended:
                turn = await self._hear(call, speech, heard=heard)
                heard, ended = True, isinstance(turn, Done | Failed)
                yield turn
        finally:
            speech.cancel()
            await asyncio.wait({speech})
            if not speech.cancelled():
                speech.exception()  # it was raised above, or the line's end is the cause of it
            if ended:
                await last_word(call)
            if not call.done():
                call.cancel()

    # --- who is logged on -------------------------------------------------------------------------------

    @property
    def ends(self) -> LineEnds:
        """Who speaks with whom: TLS has checked that the server's certificate has this name."""
        certificate = x509.load_pem_x509_certificate(self._identity.certificate)
        return LineEnds(server=host_of(self._server), station=certificate.fingerprint(SHA256()))

    @property
    def token(self) -> HeldToken:
        """The session whose token goes with every call."""
        return self._token

    async def challenge(self, purpose: LogonPurpose) -> bytes:
        """Ask for a text that the operator's key is to sign."""
        question = encode_session_question(purpose, self.ends.server)
        call = self._sessions.Challenge(question, timeout=self._timeout_s, metadata=self._metadata)
        return decode_challenge(await self._call(call))

    async def log_on(self, proof: Proof) -> SessionView:
        """Begin a session; from now on its token goes with every call."""
        request = sessions_pb2.LogOnRequest(proof=encode_proof(proof))
        call = self._sessions.LogOn(request, timeout=self._timeout_s, metadata=self._metadata)
        reply = decode_logged_on(await self._call(call))
        self._token.keep(reply.token)
        return reply.session

    async def step_up(self, proof: Proof) -> SessionView:
        """Prove the operator's key again, as it was proven at the log-on."""
        request = sessions_pb2.StepUpRequest(proof=encode_proof(proof))
        call = self._sessions.StepUp(request, timeout=self._timeout_s, metadata=self._metadata)
        return decode_session(await self._call(call))

    async def log_off(self, why: Leaving = Leaving.LOGGED_OFF) -> None:
        """Forget the token at once, then tell the server."""
        metadata = self._metadata
        self._token.forget()
        request = encode_leaving(why)
        await self._call(self._sessions.LogOff(request, timeout=self._timeout_s, metadata=metadata))

    async def who_is(self) -> SessionView:
        """Return who is logged on; `LogonNeeded` where nobody is."""
        request = sessions_pb2.WhoIsRequest()
        call = self._sessions.WhoIs(request, timeout=self._timeout_s, metadata=self._metadata)
        return decode_session(await self._call(call))

    def when_ended(self, told: Callable[[], None]) -> None:
        """Call `told` when the server says that the session has ended; its token is forgotten by then."""
        self._token.when_ended(told)

    @property
    def of_holder(self) -> bool:
        """Whether a holder is logged on, who asks a service of their own."""
        return self._token.of_holder

    async def ask(
        self, question: Callable[[grpc.aio.Channel, float, Sequence[tuple[str, str | bytes]]], Awaitable[R]]
    ) -> R:
        """Put one question over the present channel, with the time it may take and what goes with every call."""
        return await self._call(question(self._channel, self._timeout_s, self._metadata))

    # --- the line ---------------------------------------------------------------------------------------

    async def link(self) -> AsyncGenerator[LinkState, None]:
        """Report the line's state now and at every change; ends when the line is closed.

        Attempts to reconnect are not reported: the line stays lost until it is back.
        """
        shown: LinkState | None = None
        watched = None
        while watched is not self._channel:  # closed, where no other one took its place
            watched = self._channel
            with suppress(grpc.aio.UsageError, asyncio.InvalidStateError):  # the channel was closed
                while (state := watched.get_state(try_to_connect=True)) is not _SHUTDOWN:
                    seen = _STATES.get(state, shown if shown is LinkState.LOST else LinkState.CONNECTING)
                    if seen is not shown:
                        shown = seen
                        yield seen
                    await watched.wait_for_state_change(state)

    async def close(self) -> None:
        """Close the line; running operations are cut."""
        for ending in self._closing:
            ending.cancel()
        await asyncio.gather(self._channel.close(), *self._closing, return_exceptions=True)

    async def _call(self, call: Awaitable[R]) -> R:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise self._failure(error) from error

    async def _hear(
        self,
        call: "grpc.aio.StreamStreamCall[operations_pb2.StationTurn, operations_pb2.ServerTurn]",
        speech: "asyncio.Task[None]",
        *,
        heard: bool,
    ) -> ServerTurn:
        """Wait for the server's next turn; an end before `Done` or `Failed` is a cut."""
        try:
            message = await call.read()
            if isinstance(message, operations_pb2.ServerTurn):
                return decode_server_turn(message)
        except grpc.aio.AioRpcError as error:
            failure = self._failure(error)
            if heard and isinstance(failure, errors.ServerUnreachable):
                raise errors.ConnectionLost(**failure.facts) from error
            raise failure from error
        except asyncio.CancelledError:
            broken = speech.exception() if speech.done() and not speech.cancelled() else None
            listener = asyncio.current_task()
            if broken is None or (listener is not None and listener.cancelling()):
                raise
            raise broken from broken.__cause__  # what the station wanted to say failed, and that ended the call
        raise errors.ConnectionLost(server=self._server)

    def _failure(self, error: grpc.aio.AioRpcError) -> KioskError:
        """Return what a failed call stands for; a refused handshake may be our own certificate's age."""
        failure = failure_of(error, self._server)
        if isinstance(failure, errors.SessionEnded):
            self._token.end()
        expired = self._identity.not_after <= self._clock.now()
        if expired and isinstance(failure, errors.ServerUnreachable):
            return errors.StationExpired(expired=self._identity.not_after.date().isoformat())
        return failure


def host_of(address: str) -> str:
    """Return the name in host:port; brackets around an IPv6 address are not part of it."""
    return address.rpartition(":")[0].strip("[]")
