"""Choose the PIV application, and begin anew.

Sources: [SP 800-73-5] part 2, section 3.1.1 (SELECT), part 1, table 7 (application property template).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from shared import errors
from shared.iso7816.apdu import ColdReset, Command, Item, Response
from shared.iso7816.conversation import Conversation, check
from shared.iso7816.status import SW
from shared.iso7816.tlv import Reader, encode
from shared.piv.data import get_data
from shared.piv.ids import PIV_AID_TRUNCATED, Algorithm, Ins, ObjectId
from shared.piv.prefix import prefixed

T = TypeVar("T")

_TEMPLATE: Final = 0x61
_ALGORITHMS: Final = 0xAC


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What the card says of its PIV application.

    `identifier` is the application's, without the issuer's part (PIX). `algorithms` are those it names, of which we
    know a name; most cards name none.
    """

    identifier: bytes
    label: str = ""
    algorithms: frozenset[Algorithm] = frozenset()


def select_command() -> Command:
    """Return SELECT of the PIV application."""
    return Command(ins=Ins.SELECT, p1=0x04, parts=(PIV_AID_TRUNCATED,), le=0, label="SELECT PIV")


def select() -> Conversation[Selected]:
    """Select the PIV application.

    Source: [SP 800-73-5] part 2, section 3.1.1.
    Raises:
        NotPivCard: there is no such application.
        CardMalformed: its property template is not one.
    """
    command = select_command()
    (response,) = yield [command]
    return read_selected(response)


def read_selected(response: Response) -> Selected:
    """Read the response to SELECT; raises as `select` does."""
    if not response.ok:
        raise errors.NotPivCard(sw=f"{response.sw:04X}")
    if not response.data:
        # some cards select without saying anything about themselves
        return Selected(identifier=b"")
    label, algorithms = "", set[Algorithm]()
    with Reader(response.data, "application property template") as outer:
        template = outer.nested(_TEMPLATE)
        identifier = template.expect(0x4F)
        while not template.empty:
            # tags beyond these (79 allocation authority, 5F50 address of a description) say nothing that we use
            element = template.element()
            if element.tag == 0x50:
                label = element.value.decode("utf-8", "replace")
            elif element.tag == _ALGORITHMS:
                algorithms |= _read_algorithms(element.value)
    return Selected(identifier=identifier, label=label, algorithms=frozenset(algorithms))


def _read_algorithms(raw: bytes) -> set[Algorithm]:
    known = {int(member) for member in Algorithm}
    found = set[Algorithm]()
    with Reader(raw, "application property template") as reader:
        while not reader.empty:
            element = reader.element()
            if element.tag == 0x80:
                found |= {Algorithm(byte) for byte in element.value if byte in known}
    return found


def fresh(then: Conversation[T], *, chuid: bytes | None = None) -> Conversation[T]:
    """Reset the card, select PIV, make sure that it is the card of `chuid`, then go on: all in the first batch.

    `chuid` is the object's content as `read_object` returns it, None where the card has none yet. Nothing of `then`
    is sent to another card.

    Raises:
        CardChanged: the CHUID is another one, or gone.
        NotPivCard: after the reset there is no PIV application.
    """
    prefix: list[Item] = [ColdReset(), select_command()]
    if chuid is not None:
        prefix.append(get_data(ObjectId.CHUID, answer=encode(0x53, chuid)))

    def judge(responses: Sequence[Response]) -> None:
        if len(responses) > 1 and not responses[1].ok:
            raise errors.NotPivCard(sw=f"{responses[1].sw:04X}")
        if len(responses) > 2 and responses[2].sw == SW.FILE_NOT_FOUND:
            raise errors.CardChanged
        check(prefix, responses)

    return prefixed(prefix, then, judge)
