"""The PIN policy for one holder: the template's, with what the directory says of the person.

Nobody chooses a PIN while the directory is silent: the rule would be dropped for just those who ask at the right
moment, and no record would tell. The directory is asked only where the template has such a rule.
"""

from dataclasses import replace

from server.operations.naming import values_for
from server.operations.operation import Operation
from shared import errors
from shared.credential import lint
from shared.credential.model import CardRecord, HolderId, Person
from shared.credential.personal import personal_texts
from shared.credential.pins import PinPolicy
from shared.credential.template import Template
from shared.piv.inspect import CardFacts


async def policy_for(
    op: Operation, template: Template, record: CardRecord, facts: CardFacts, holder: HolderId
) -> PinPolicy:
    """Return the rules for the PIN that this holder is about to choose; asked before the card is touched.

    A template that came to the card by an update may allow more than the card takes; then what the card takes counts.

    Raises:
        ConnectorUnreachable, ConnectorRefused: the directory does not say what the PIN must not be taken from.
        UnknownHolder: it does not know the holder any more.
        VariableMissing, Invalid: it lacks a value that the template names, or it has another form.
        TemplateImpossible: the template's directory is not among the connections any more.
    """
    policy, wanted = lint.within(template.pin.policy, facts.profile), template.pin.not_from
    if not wanted:
        return policy
    person = await _person(op, template, holder)
    return replace(
        policy, personal=personal_texts(wanted, values_for(person, record.record_id, record.serial))
    )


async def _person(op: Operation, template: Template, holder: HolderId) -> Person:
    directory = op.services.directories.get(template.directory)
    if directory is None:
        raise errors.TemplateImpossible(
            template=template.name, why=f"there is no directory {template.directory}"
        )
    person = await directory.get(holder)
    if person is None:
        raise errors.UnknownHolder(holder=holder)
    return person
