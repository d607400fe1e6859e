"""What an update does, and what it leaves to a new issue."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.credential.model import (
    FACTORY,
    CardRecord,
    PinState,
    RecordId,
    SecretRecord,
    SecretVersion,
    State,
    TemplateRef,
)
from shared.credential.plan import ReadBack, RotatePuk
from shared.credential.template_reading import parse_template
from shared.credential.update import Newer, Rekey, TakeTemplate, compare, plan_update
from shared.piv.ids import ManagementAlgorithm
from tests.scenario.templates import EMPLOYEE

VERSIONS = st.builds(SecretVersion, st.integers(1, 4), st.integers(0, 3))
SECRETS = st.builds(
    SecretRecord, proven=st.none() | VERSIONS | st.just(FACTORY), pending=st.none() | VERSIONS
)
ALGORITHM = ManagementAlgorithm.AES192


def ref(version: int) -> TemplateRef:
    return TemplateRef(name="employee", version=version, digest=bytes([version]) * 32)


def a_record(key: SecretRecord, puk: SecretRecord) -> CardRecord:
    return CardRecord(
        record_id=RecordId(uuid4()),
        state=State.ACTIVE,
        profile="yubikey-5.7",
        serial=1,
        virtual=True,
        management_algorithm=ALGORITHM,
        management_key=key,
        puk=puk,
        pin=PinState.HOLDER,
    )


@given(key=SECRETS, puk=SECRETS, generation=st.integers(1, 4), blocked=st.booleans(), newer=st.booleans())
def test_what_is_done_is_what_is_missing(
    *, key: SecretRecord, puk: SecretRecord, generation: int, blocked: bool, newer: bool
) -> None:
    news = Newer(ref=ref(2) if newer else None)
    steps = plan_update(a_record(key, puk), generation=generation, newer=news, puk_blocked=blocked)
    kinds = [type(step) for step in steps]
    assert kinds == [kind for kind in (Rekey, RotatePuk, TakeTemplate, ReadBack) if kind in kinds]
    assert (ReadBack in kinds) == bool(set(kinds) - {ReadBack}), (
        "whatever is changed is read back, and only then"
    )
    assert (TakeTemplate in kinds) is newer
    if key.proven in {None, FACTORY}:
        assert Rekey not in kinds, "a card without a key of ours is not re-keyed here"
    else:
        assert (Rekey in kinds) is (key.pending is not None or key.proven.generation < generation)
    if puk.proven is None or blocked:
        assert RotatePuk not in kinds, "a PUK that cannot be proven is not tried"


def test_a_card_of_the_newest_generation_needs_nothing() -> None:
    held = SecretRecord(proven=SecretVersion(2, 5))
    assert plan_update(a_record(held, held), generation=2, newer=Newer(), puk_blocked=False) == ()


@pytest.mark.parametrize(
    ("text", "follows"),
    [
        (EMPLOYEE.replace("Employee badge", "Staff badge"), True),
        (EMPLOYEE + "\n[pin]\nmin-length = 8\n", True),
        (EMPLOYEE + '\n[pin]\nnot-from = ["user.upn"]\nchange-after-days = 90\n', True),
        (EMPLOYEE + "renew-before-days = 14\naccept-loss = true\n", True),
        (EMPLOYEE + '\n[reasons]\nlost = "hold"\n', True),
        ('management-key = "AES-192"\n' + EMPLOYEE, True),
        ('management-key = "AES-256"\n' + EMPLOYEE, False),
        ("expires-after-days = 30\n" + EMPLOYEE, False),
        (EMPLOYEE.replace('"people"', '"staff"'), False),
        (EMPLOYEE.replace('"P-256"', '"P-384"', 1), False),
        (EMPLOYEE.replace("CN=${user.name},O=Example", "CN=${user.name},O=Other", 1), False),
        (EMPLOYEE + "\n[pin]\ntries = 5\npuk-tries = 5\n", False),
        (EMPLOYEE + '\n[attestation]\nrequired = true\nroots = ["vendor"]\n', False),
    ],
)
def test_a_newer_version_is_taken_over_where_the_card_stays_as_it_is(text: str, follows: bool) -> None:  # noqa: FBT001  # a parameter of the test
    found = compare(
        (ref(1), parse_template(EMPLOYEE)), (ref(3), parse_template(text)), ManagementAlgorithm.AES192
    )
    assert found == (Newer(ref=ref(3)) if follows else Newer(reissue=True))


def test_the_same_version_is_nothing_new() -> None:
    template = parse_template(EMPLOYEE)
    assert compare((ref(2), template), (ref(2), template), ALGORITHM) == Newer()
