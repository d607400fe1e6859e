"""The gate: every call of every listener passes it before its servicer sees a byte.

It asks `authority.access` who calls and whether they may, only then hands the request on, and turns every error
into a status with the error in its trailing metadata. What nobody expected becomes a `ServerFault` with a
random number that the log explains; nothing else of it crosses.
"""

import asyncio
import contextlib
import contextvars
import hashlib
import inspect
import logging
import secrets
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from server.authority.access import Access, Caller, Listener
from server.authority.administrator import note_administrator
from server.authority.lines import Lines
from shared import errors
from shared.proto.status import status_of, to_trailer

log: Final = logging.getLogger(__name__)

FIRST_WORD_TIMEOUT_S: Final = 1.0
SESSION: Final = "kiosk-session-bin"
"""Metadata with the token of a session."""

HOLDER: Final = "kiosk-holder-bin"
"""Metadata with the token of a holder's session, which is not one of an operator's."""

FACE: Final = "kiosk-face"
"""Metadata with the face that a station speaks for."""

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic in its stubs only

_CALLER: Final[contextvars.ContextVar[Caller | None]] = contextvars.ContextVar("caller", default=None)


def present_caller() -> Caller:
    """Return the station whose call is being answered.

    Raises:
        NotAllowed: the call came in where no stations call.
    """
    caller = _CALLER.get()
    if caller is None:
        raise errors.NotAllowed(what="call without a station")
    return caller


class Gate(grpc.aio.ServerInterceptor):
    """Judge and guard every call of one listener."""

    def __init__(self, listener: Listener, access: Access, lines: Lines) -> None:
        """Judge calls that come in at `listener`; those of stations are among `lines`, and may be cut."""
        self._listener = listener
        self._access = access
        self._lines = lines

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Wrap the method's handler; one that does not exist stays None, which gRPC answers itself."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        method = handler_call_details.method
        if handler.request_streaming:
            return self._stream(method, handler)
        return self._single(method, handler)

    def _single(self, method: str, handler: Handler) -> Handler:
        """Guard a method with one request; its bytes are parsed after the caller was judged."""
        behaviour = handler.unary_stream if handler.response_streaming else handler.unary_unary
        parse = handler.request_deserializer or bytes

        async def guarded(raw: bytes, context: Context) -> Any:
            async def act() -> Any:
                try:
                    request = parse(raw)
                except DecodeError as error:
                    raise errors.Garbled(why="not a message") from error
                return await _behave(behaviour, request, context)

            return await self._guard(method, context, act)

        build = (
            grpc.unary_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        return build(guarded, None, handler.response_serializer)

    def _stream(self, method: str, handler: Handler) -> Handler:
        """Guard a method with a stream of requests."""
        behaviour = handler.stream_stream if handler.response_streaming else handler.stream_unary

        async def guarded(requests: Any, context: Context) -> Any:
            return await self._guard(
                method, context, lambda: _behave(behaviour, requests, context), streaming=True
            )

        build = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        return build(guarded, handler.request_deserializer, handler.response_serializer)

    async def _guard(
        self, method: str, context: Context, act: Callable[[], Awaitable[Any]], *, streaming: bool = False
    ) -> Any:
        """Let the call through if its caller may, and let nothing out but errors of ours."""
        try:
            try:
                caller = await self._access.admit(
                    self._listener,
                    method,
                    fingerprint_of(context),
                    token_of(context),
                    face_of(context),
                    token_of(context, HOLDER),
                )
            except errors.PolicyError:
                if streaming:
                    await _hear_out(context)
                raise
            _CALLER.set(caller)
            note_administrator(caller.principal if caller is not None else None)
            if caller is None:
                return await act()
            try:
                return await self._lines.answer(caller, act)
            except (
                errors.NotAllowed
            ) as refused:  # it depended on what was asked for: for which template, which card
                await self._access.note(refused, method, caller.fingerprint, caller)
                raise
        except errors.PolicyError as error:
            log.warning("refused %s from %s: %s", method, context.peer(), error.code)
            await refuse(context, error)
        except errors.KioskError as error:
            log.info("failed %s: %s", method, error.code)
            await refuse(context, error)
        except grpc.aio.BaseError:
            raise  # the servicer ended the call itself (health), or the peer is gone
        except Exception as error:  # noqa: BLE001  # the border of the process: the caller learns a number only
            await refuse(context, fault(method, error))


async def _hear_out(context: Context) -> None:
    """Take the first message of a stream that will be refused.

    A client of grpcio that is still writing when the refusal arrives reports an internal error in its place.
    """
    with contextlib.suppress(TimeoutError, DecodeError, grpc.aio.BaseError):
        await asyncio.wait_for(context.read(), FIRST_WORD_TIMEOUT_S)


def fault(what: str, error: Exception) -> errors.ServerFault:
    """Log an exception that nobody expected and return what may be told of it."""
    incident = secrets.token_hex(6)
    log.error("incident %s in %s", incident, what, exc_info=error)
    return errors.ServerFault(incident=incident)


async def refuse(context: Context, error: errors.KioskError) -> NoReturn:
    """End a call with an error."""
    await context.abort(status_of(error), error.code, to_trailer(error))


def fingerprint_of(context: Context) -> bytes | None:
    """Return the SHA-256 of the certificate (DER) that the peer showed in the handshake, or None."""
    shown = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown.decode())).digest() if shown else None


def token_of(context: Context, name: str = SESSION) -> bytes | None:
    """Return the token of the session that the caller claims, or None; of several none counts."""
    shown = [value for key, value in context.invocation_metadata() or () if key == name]
    if not shown:
        return None
    return shown[0] if len(shown) == 1 and isinstance(shown[0], bytes) else b""


def face_of(context: Context) -> str:
    """Return the face that the station says it speaks for; empty where it names none, or several."""
    shown = [value for key, value in context.invocation_metadata() or () if key == FACE]
    return shown[0] if len(shown) == 1 and isinstance(shown[0], str) else ""


async def _behave(behaviour: Any, request: Any, context: Context) -> Any:
    """Call a servicer's method, whether it is written with `return`, `context.write` or `yield`."""
    if inspect.isasyncgenfunction(behaviour):
        async for response in behaviour(request, context):
            await context.write(response)
        return None
    return await behaviour(request, context)
