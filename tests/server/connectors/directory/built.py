"""A connector made as the server makes it: from a kind, and values as they are configured."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from server.ports.connection import Configured, Kind, Surroundings, Value
from server.ports.line import LineState, NoAnswer
from shared import errors
from shared.clock import Clock
from tests.conftest import FixedClock

T = TypeVar("T")


class PlainLine:
    """A line that sends once, and waits for ever."""

    state = LineState()

    async def call(
        self,
        what: str,
        act: Callable[[], Awaitable[T]],
        *,
        repeatable: bool = False,
        within_s: float | None = None,
    ) -> T:
        try:
            return await act()
        except NoAnswer as cause:
            raise errors.ConnectorUnreachable(connection="test", reason=f"{what}: {cause.reason}") from cause


def build(
    kind: Kind,
    values: Mapping[str, Value],
    others: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
) -> Any:
    """Build what `kind` describes, with its defaults filled in."""
    defaults = {field.name: field.default for field in kind.fields if field.default is not None}
    unknown = values.keys() - {field.name for field in kind.fields}
    assert not unknown, unknown
    missing = {field.name for field in kind.fields if field.required} - values.keys()
    assert not missing, missing
    found = dict(others or {})
    surroundings = Surroundings(clock=clock or FixedClock(), line=PlainLine(), others=found.__getitem__)
    return kind.build(Configured(name="test", kind=kind.name, values={**defaults, **values}), surroundings)
