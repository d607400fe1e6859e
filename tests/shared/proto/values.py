"""Strategies for everything that travels."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import strategies as st

from shared import errors
from shared.console import CardHints, CardView, Comparison, Found, ServerView, TemplateView
from shared.credential.difference import Difference
from shared.credential.drift_kinds import Drift
from shared.credential.lifecycle import AT_SIGHT
from shared.credential.model import HolderId, Person, State
from shared.credential.pins import Characters, PinPolicy
from shared.credential.sight import KeySight, Sight, SlotSight
from shared.errors import Fact, KioskError
from shared.iso7816.apdu import ColdReset, Command, Digest, Hole, Response, ToBeSigned
from shared.piv.ids import Algorithm, ManagementAlgorithm, ObjectId, PinPolicyId, Slot, TouchPolicyId
from shared.piv.inspect import ManagementFacts, ReferenceFacts
from shared.relay import (
    Answer,
    Ask,
    Begin,
    Cancel,
    CardGone,
    Done,
    Draw,
    Exchange,
    Failed,
    OperationKind,
    Progress,
    Purpose,
    Question,
    Refusal,
    Responses,
    ServerTurn,
    StationTurn,
    StepChange,
    StepLine,
    Steps,
    Working,
)

U32 = st.integers(0, 2**32 - 1)
BYTE = st.integers(0, 255)
SW = st.integers(0, 0xFFFF)
TEXT = st.text(max_size=40)
NAME = st.from_regex(r"[a-z][a-z_]{0,20}", fullmatch=True).filter(lambda name: name != "self")

facts: st.SearchStrategy[dict[str, Fact]] = st.dictionaries(
    NAME, st.one_of(TEXT, st.integers(-(2**63), 2**63 - 1)), max_size=4
)
kinds = st.sampled_from(sorted(errors.BY_CODE.values(), key=lambda kind: kind.code))


@st.composite
def failures(draw: st.DrawFn) -> KioskError:
    return draw(kinds)(**draw(facts))


responses = st.builds(Response, data=st.binary(max_size=300), sw=SW)
parts = st.one_of(
    st.binary(max_size=100),
    st.builds(Hole, name=st.text(min_size=1, max_size=20), length=st.integers(1, 255)),
    st.builds(
        ToBeSigned,
        content=st.binary(max_size=200),
        digest=st.sampled_from(Digest),
        length=st.integers(0, 512),
    ),
)
commands = st.builds(
    Command,
    cla=BYTE,
    ins=BYTE,
    p1=BYTE,
    p2=BYTE,
    label=TEXT,
    parts=st.lists(parts, max_size=4).map(tuple),
    le=st.none() | st.integers(0, 65536),
    expect=st.none() | st.frozensets(SW, max_size=5),
    answer=st.none() | st.binary(max_size=40),
    sensitive=st.booleans(),
)
items = st.one_of(commands, st.builds(ColdReset, label=TEXT))
policies = st.builds(
    PinPolicy,
    min_length=st.integers(0, 8),
    max_length=st.integers(8, 255),
    characters=st.sampled_from(Characters),
    allow_sequences=st.booleans(),
    allow_repeats=st.booleans(),
    forbidden=st.lists(TEXT, max_size=3).map(tuple),
    personal=st.lists(TEXT, max_size=3).map(tuple),
)

station_turns: st.SearchStrategy[StationTurn] = st.one_of(
    st.builds(
        Begin,
        operation=st.sampled_from(OperationKind),
        reader=TEXT,
        virtual=st.booleans(),
        holder=TEXT,
        template=TEXT,
        temporary_pin=st.booleans(),
        roles=st.lists(TEXT, max_size=5).map(tuple),
    ),
    st.builds(Responses, number=U32, responses=st.lists(responses, max_size=5).map(tuple)),
    st.builds(Working, number=U32),
    st.builds(CardGone, number=U32, responses=st.lists(responses, max_size=5).map(tuple)),
    st.builds(Refusal, number=U32, error=failures()),
    st.builds(Answer, number=U32, given=st.booleans()),
    st.just(Cancel()),
)
server_turns: st.SearchStrategy[ServerTurn] = st.one_of(
    st.builds(
        Exchange,
        number=U32,
        items=st.lists(items, min_size=1, max_size=5).map(tuple),
        epoch=st.integers(0, 2**64 - 1),
        release=st.booleans(),
    ),
    st.builds(Draw, hole=st.text(min_size=1, max_size=20), uses=st.integers(0, 64), length=U32),
    st.builds(
        Ask,
        number=U32,
        question=st.sampled_from(Question),
        purpose=st.sampled_from(Purpose),
        hole=TEXT,
        uses=st.integers(0, 64),
        policy=st.none() | policies,
        tries_left=st.none() | st.integers(0, 255),
        facts=facts,
    ),
    st.builds(Steps, steps=st.lists(st.builds(StepLine, key=TEXT, facts=facts), max_size=5).map(tuple)),
    st.builds(
        Progress,
        steps=st.lists(st.builds(StepChange, index=U32, done=st.booleans(), expected_ms=U32), max_size=5).map(
            tuple
        ),
    ),
    st.builds(Done, state=TEXT, facts=facts),
    st.builds(Failed, error=failures(), state=TEXT, next_action=TEXT, facts=facts),
)

people = st.builds(
    Person,
    holder=st.text(min_size=1, max_size=40).map(HolderId),
    name=TEXT,
    attributes=st.dictionaries(TEXT, TEXT, max_size=4),
    enabled=st.booleans(),
)
DIGEST = st.just(b"") | st.binary(min_size=32, max_size=32)
references = st.builds(
    ReferenceFacts,
    tries_left=st.none() | st.integers(0, 255),
    tries_total=st.none() | st.integers(0, 255),
    default=st.none() | st.booleans(),
)
sights = st.builds(
    Sight,
    metadata=st.booleans(),
    slots=st.dictionaries(
        st.sampled_from(Slot),
        st.builds(
            SlotSight,
            certificate=DIGEST,
            algorithm=st.none() | st.sampled_from(Algorithm),
            key=st.none()
            | st.builds(
                KeySight,
                algorithm=st.none() | st.sampled_from(Algorithm),
                public_key=DIGEST,
                pin_policy=st.sampled_from(PinPolicyId),
                touch_policy=st.sampled_from(TouchPolicyId),
            ),
        ),
        max_size=4,
    ),
    objects=st.dictionaries(st.sampled_from(ObjectId), st.binary(min_size=32, max_size=32), max_size=6),
    unvouched=st.frozensets(st.sampled_from(ObjectId), max_size=6),
    management=st.builds(
        ManagementFacts,
        algorithm=st.none() | st.sampled_from(ManagementAlgorithm),
        default=st.none() | st.booleans(),
    ),
    pin=references,
    puk=references,
)
hints = st.builds(
    CardHints,
    profile=TEXT,
    serial=st.none() | st.integers(0, 2**64 - 1),
    guid=st.none() | st.binary(min_size=16, max_size=16).map(lambda raw: UUID(bytes=raw)),
    virtual=st.booleans(),
    sight=st.none() | sights,
)
operations = st.sampled_from(OperationKind)
cards = st.builds(
    CardView,
    state=st.sampled_from(State),
    reachable=st.lists(operations, max_size=3).map(tuple),
    interrupted=st.none() | operations,
    at_sight=st.none() | st.sampled_from(sorted(AT_SIGHT)),
    holder=st.none() | people,
    template=TEXT,
    template_title=TEXT,
    template_version=U32,
    issued_at=TEXT,
    key_generation=U32,
    notices=st.lists(TEXT, max_size=3).map(tuple),
    drift=st.lists(
        st.builds(Drift, key=TEXT, subject=TEXT, expected=TEXT, found=TEXT, mend=TEXT), max_size=3
    ).map(tuple),
)
comparisons = st.builds(
    Comparison,
    template=TEXT,
    title=TEXT,
    version=U32,
    differences=st.lists(
        st.builds(Difference, aspect=TEXT, subject=TEXT, expected=TEXT, found=TEXT, told=st.booleans()),
        max_size=3,
    ).map(tuple),
)
found = st.builds(Found, people=st.lists(people, max_size=4).map(tuple), more=st.booleans())
templates = st.lists(
    st.builds(
        TemplateView,
        name=TEXT,
        title=TEXT,
        version=U32,
        slots=st.lists(TEXT, max_size=3).map(tuple),
        needs=st.lists(TEXT, max_size=3).map(tuple),
        temporary=st.booleans(),
        directory=TEXT,
        operator=st.booleans(),
        unrevocable=st.lists(TEXT, max_size=2).map(tuple),
    ),
    max_size=4,
).map(tuple)
servers = st.builds(
    ServerView,
    server=TEXT,
    version=TEXT,
    station=TEXT,
    lab=st.booleans(),
    time=st.none() | st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # the strategy adds the zone
)
