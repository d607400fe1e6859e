"""`Console`: what a station's faces ask between operations."""

from server.authority.services import ConsoleService
from server.rpc.interceptors import Context, present_caller
from shared.proto import console_pb2 as pb
from shared.proto import console_pb2_grpc
from shared.proto.convert_console import (
    decode_hints,
    decode_question,
    decode_search,
    encode_card,
    encode_found,
    encode_templates,
)
from shared.proto.convert_sight import encode_comparison

# ruff: noqa: N802, ARG002  # methods have the form and the names of the service definition


class ConsoleServicer(console_pb2_grpc.ConsoleServicer):
    """Turn messages into values and back."""

    def __init__(self, service: ConsoleService) -> None:
        """Ask `service`."""
        self._service = service

    async def LookUpCard(self, request: pb.CardHints, context: Context) -> pb.CardView:
        """Return what the record says of a card."""
        return encode_card(await self._service.look_up(present_caller(), decode_hints(request)))

    async def CompareCard(
        self,
        request: pb.CompareCardRequest,
        context: Context,
    ) -> pb.CompareCardReply:
        """Return how a card differs from a template."""
        hints, template = decode_question(request)
        return encode_comparison(await self._service.compare(present_caller(), hints, template))

    async def FindPeople(
        self,
        request: pb.FindPeopleRequest,
        context: Context,
    ) -> pb.FindPeopleReply:
        """Search the directory."""
        text, limit, directory = decode_search(request)
        return encode_found(await self._service.find_people(present_caller(), text, limit, directory))

    async def ListTemplates(
        self,
        request: pb.ListTemplatesRequest,
        context: Context,
    ) -> pb.ListTemplatesReply:
        """Return the templates that this station may issue."""
        return encode_templates(await self._service.templates(present_caller()))
