"""What a template may let holders do, and with which proofs."""

import pytest

from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.self_service import NO_SELF_SERVICE, PROOFS, HolderProof
from shared.credential.template_reading import parse_template
from tests.scenario.templates import EMPLOYEE


def with_table(*lines: str, operator: bool = False) -> str:
    head = "operator = true\n" if operator else ""
    return head + EMPLOYEE + "\n[self-service]\n" + "\n".join(lines)


def test_nothing_is_allowed_that_is_not_said() -> None:
    assert parse_template(EMPLOYEE).self_service == NO_SELF_SERVICE == {}


def test_operations_take_the_proofs_that_stand_there() -> None:
    template = parse_template(with_table('unblock = ["password", "code"]', 'renew = ["card"]'))
    assert template.self_service == {
        OperationKind.UNBLOCK: {HolderProof.PASSWORD, HolderProof.CODE},
        OperationKind.RENEW: {HolderProof.CARD},
    }


@pytest.mark.parametrize("operation", PROOFS)
def test_every_proof_that_an_operation_can_take_may_stand_there(operation: OperationKind) -> None:
    proofs = ", ".join(f'"{proof}"' for proof in PROOFS[operation])
    assert (
        parse_template(with_table(f"{operation} = [{proofs}]")).self_service[operation] == PROOFS[operation]
    )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("unblock = []", "unblock is a list of password, card, code, device"),
        ('unblock = ["face"]', "unblock is a list of password, card, code, device"),
        ('unblock = "password"', "unblock is a list of texts"),
        ('issue = ["code"]', "issue is a list of password, card, device"),
        ('delete = ["password"]', "no setting delete here"),
        ('register = ["password"]', "no setting register here"),
        ('resume = ["card"]', "no setting resume here"),
        ('unblok = ["password"]', "no setting unblok here"),
    ],
)
def test_what_makes_no_sense_is_said_with_its_line(line: str, why: str) -> None:
    text = with_table(line)
    with pytest.raises(errors.TemplateInvalid) as refused:
        parse_template(text)
    assert refused.value.facts["why"] == why
    assert text.splitlines()[int(refused.value.facts["line"]) - 1] == line


def test_an_operators_template_has_none() -> None:
    with pytest.raises(errors.TemplateInvalid, match="no matter of self-service"):
        parse_template(with_table('change-pin = ["card"]', operator=True))
