"""When a PIN is due to be changed."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from shared.credential.model import CredentialId, CredentialRecord, HolderId, State, TemplateRef
from shared.credential.pin_age import pin_change_due
from shared.credential.template import PinSettings

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def credential(
    *, set_at: datetime | None, activated_at: datetime | None = None, due: bool = False
) -> CredentialRecord:
    return CredentialRecord(
        credential_id=CredentialId(UUID(int=1)),
        holder=HolderId("1001"),
        holder_name="Anna Berg",
        template=TemplateRef(name="t", version=1, digest=b""),
        state=State.ACTIVE,
        activated_at=activated_at,
        pin_set_at=set_at,
        pin_change_due=due,
    )


@given(age=st.timedeltas(timedelta(0), 4000 * DAY), days=st.integers(1, 3650))
def test_a_pin_is_due_from_its_last_day_on(age: timedelta, days: int) -> None:
    settings = PinSettings(change_after_days=days)
    assert pin_change_due(credential(set_at=NOW - age), settings, NOW) == (age >= days * DAY)


def test_without_a_limit_only_what_somebody_else_chose_is_due() -> None:
    old = credential(set_at=NOW - 4000 * DAY)
    assert not pin_change_due(old, PinSettings(), NOW)
    assert pin_change_due(credential(set_at=NOW, due=True), PinSettings(), NOW)


def test_before_the_record_knew_ages_a_pin_is_as_old_as_the_activation() -> None:
    settings = PinSettings(change_after_days=30)
    assert pin_change_due(credential(set_at=None, activated_at=NOW - 30 * DAY), settings, NOW)
    assert not pin_change_due(credential(set_at=None, activated_at=NOW - 29 * DAY), settings, NOW)
    assert not pin_change_due(credential(set_at=None), settings, NOW)
    assert not pin_change_due(credential(set_at=NOW - 29 * DAY, activated_at=NOW - 4000 * DAY), settings, NOW)
