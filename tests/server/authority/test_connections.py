"""Connections as administrators change them: built first, kept then, evidenced without a value."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.authority import connection_values as values_of
from server.authority.connection_views import ConnectionView, Source
from server.authority.connections import Connections
from server.connection_text import from_options, read_document, to_document
from server.connectors.keystore.memory import MemoryKeyStore
from server.ports.connection import (
    Ability,
    Aspect,
    Configured,
    Field,
    FieldKind,
    Finding,
    Kind,
    Port,
    Surroundings,
    Value,
    Verdict,
)
from server.ports.store import StoredTemplate
from server.store.memory import MemoryStore
from server.switchboard import Switchboard
from shared import errors
from shared.credential.model import TemplateRef
from shared.credential.template_reading import parse_template
from shared.secret import Secret
from tests.contract.ca.signer import make
from tests.scenario.templates import EMPLOYEE
from tests.server.store.examples import EVIDENCE, NOON, FixedClock

CANARY = "canary-of-a-password"
SECRET = Secret.from_text(CANARY)


class Outside:
    """A connector that remembers what it was built from."""

    def __init__(self, configured: Configured, around: Surroundings) -> None:
        if configured.text("host") == "broken":
            raise errors.Invalid(field="host", why="it cannot be used")
        if configured.text("other"):
            around.others(configured.text("other"))
        self.configured = configured

    async def test(self) -> list[Finding]:
        return [Finding(aspect=Aspect.SEARCH, verdict=Verdict.WORKS)]


def a_kind(name: str, port: Port) -> Kind:
    return Kind(
        name=name,
        port=port,
        title=name,
        fields=(
            Field(name="host", kind=FieldKind.TEXT, title="Host", required=True),
            Field(name="password", kind=FieldKind.SECRET, title="Password"),
            Field(name="port", kind=FieldKind.NUMBER, title="Port", default=636, minimum=1, maximum=65535),
            Field(name="groups", kind=FieldKind.TEXTS, title="Groups"),
            Field(name="attributes", kind=FieldKind.MAP, title="Attributes"),
            Field(name="deep", kind=FieldKind.FLAG, title="Deep"),
            Field(name="mode", kind=FieldKind.CHOICE, title="Mode", choices=("a", "b")),
            Field(name="roots", kind=FieldKind.CERTIFICATES, title="Roots"),
            Field(name="url", kind=FieldKind.URL, title="Address"),
            Field(name="other", kind=FieldKind.TEXT, title="Other"),
        ),
        abilities=frozenset({Ability.SEARCH}),
        build=Outside,
        page="",
        refers=("other",),
    )


KINDS = {"ldap": a_kind("ldap", Port.DIRECTORY), "authority": a_kind("authority", Port.CA)}


class Office:
    """A server's connections, and how to start it again."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.store = MemoryStore(self.clock)
        self.keystore = MemoryKeyStore()
        self.board, self.connections = self._server(KINDS)

    def _server(self, kinds: Mapping[str, Kind]) -> tuple[Switchboard, Connections]:
        board = Switchboard(self.clock)
        board.fix("people", KINDS["ldap"], object(), board.line("people"))
        actor = lambda: "anna"  # noqa: E731  # who is logged on
        return board, Connections(self.store, self.keystore, board, kinds, self.clock, actor)

    async def restart(self, kinds: Mapping[str, Kind] = KINDS) -> None:
        self.board, self.connections = self._server(kinds)
        await self.connections.load()

    def built(self, name: str) -> Outside:
        found: Any = self.board.directories[name]
        assert isinstance(found, Outside)
        return found

    async def view(self, name: str) -> ConnectionView:
        return next(each for each in await self.connections.all() if each.name == name)

    async def template(self, text: str) -> None:
        template = parse_template(text)
        ref = TemplateRef(name=template.name, version=1, digest=template.digest)
        await self.store.templates.add(StoredTemplate(ref=ref, text=text, applied_at=NOON), EVIDENCE)


@pytest.fixture
def office() -> Office:
    return Office()


async def test_one_that_is_added_is_used_at_once_and_after_a_restart(office: Office) -> None:
    view = await office.connections.add("staff", "ldap", {"host": "h", "password": SECRET})
    assert (view.version, view.source, view.secrets) == (1, Source.RECORD, ("password",))
    for _ in range(2):
        configured = office.built("staff").configured
        assert (configured.text("host"), configured.number("port")) == ("h", 636)
        assert configured.secret("password") == SECRET
        await office.restart()


async def test_an_edit_keeps_what_it_does_not_name(office: Office) -> None:
    await office.connections.add("staff", "ldap", {"host": "h", "password": SECRET, "port": 389})
    view = await office.connections.edit("staff", {"host": "k"}, ["port"])
    assert (view.version, view.values, view.secrets) == (2, {"host": "k"}, ("password",))
    configured = office.built("staff").configured
    assert (configured.text("host"), configured.number("port")) == ("k", 636)
    assert configured.secret("password") == SECRET
    assert (await office.connections.edit("staff", {}, ["password"])).secrets == ()


async def test_no_secret_is_told_kept_open_or_evidenced(office: Office) -> None:
    await office.connections.add("staff", "ldap", {"host": "host-of-staff", "password": SECRET})
    await office.connections.edit("staff", {"password": Secret.from_text(CANARY + "2")}, [])
    await office.connections.remove("staff")
    entries = await office.store.audit.about("staff")
    assert [entry.record.event for entry in entries] == [
        *("connection-added", "connection-changed", "connection-removed")
    ]
    assert [entry.record.facts.get("fields") for entry in entries] == ["host, password", "password", None]
    assert {entry.record.actor for entry in entries} == {"anna"}
    assert "host-of-staff" not in str(entries)
    await office.connections.add("staff", "ldap", {"host": "h", "password": SECRET})
    kept = await office.store.connections.all()
    for text in (str(entries), str(kept), str(await office.connections.all())):
        assert CANARY not in text


async def test_secrets_of_one_connection_do_not_open_as_anothers(office: Office) -> None:
    await office.connections.add("staff", "ldap", {"host": "h", "password": SECRET})
    await office.connections.add("other", "ldap", {"host": "h"})
    (other, staff) = await office.store.connections.all()
    await office.store.connections.put(replace(other, sealed=staff.sealed, version=2), EVIDENCE)
    await office.restart()
    assert "other" not in office.board.directories
    assert isinstance((await office.view("other")).problem, errors.KeyStoreDamaged)
    assert office.built("staff").configured.secret("password") == SECRET


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "host"),
        ({"host": ""}, "host"),
        ({"host": "broken"}, "host"),
        ({"host": "two\nlines"}, "host"),
        ({"host": 1}, "host"),
        ({"host": "h", "hots": "h"}, "hots"),
        ({"host": "h", "port": 0}, "port"),
        ({"host": "h", "port": True}, "port"),
        ({"host": "h", "port": "636"}, "port"),
        ({"host": "h", "password": "in clear"}, "password"),
        ({"host": SECRET}, "host"),
        ({"host": "h", "groups": "one"}, "groups"),
        ({"host": "h", "groups": ("a\x00",)}, "groups"),
        ({"host": "h", "attributes": {"a": 1}}, "attributes"),
        ({"host": "h", "deep": "yes"}, "deep"),
        ({"host": "h", "mode": "c"}, "mode"),
        ({"host": "h", "roots": "nonsense"}, "roots"),
        ({"host": "h", "url": "file:///etc/passwd"}, "url"),
        ({"host": "h", "url": "https://name:word@h/"}, "url"),
        ({"host": "h", "other": "staff"}, "other"),
        ({"host": "h", "other": "nobody"}, "connection"),
    ],
)
async def test_what_cannot_be_used_is_not_kept(office: Office, values: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.Invalid) as refused:
        await office.connections.add("staff", "ldap", values)
    assert refused.value.facts["field"] == field
    assert CANARY not in str(refused.value)
    assert not await office.store.connections.all()
    assert "staff" not in office.board.directories


async def test_names_kinds_and_those_that_are_fixed(office: Office) -> None:
    for name in ("people", "Staff", "-", "", "a" * 41, "a b"):
        with pytest.raises(errors.Invalid):
            await office.connections.add(name, "ldap", {"host": "h"})
    with pytest.raises(errors.NotSupported):
        await office.connections.add("staff", "unknown", {"host": "h"})
    for act in (office.connections.edit("people", {}, []), office.connections.remove("people")):
        with pytest.raises(errors.Invalid):
            await act
    with pytest.raises(errors.Invalid):
        await office.connections.test("nobody")


async def test_an_edit_that_cannot_be_built_changes_nothing(office: Office) -> None:
    await office.connections.add("staff", "ldap", {"host": "h"})
    with pytest.raises(errors.Invalid):
        await office.connections.edit("staff", {"host": "broken"}, [])
    assert office.built("staff").configured.text("host") == "h"
    assert (await office.view("staff")).version == 1


async def test_what_is_needed_is_not_removed(office: Office) -> None:
    await office.connections.add("staff", "ldap", {"host": "h"})
    await office.connections.add("all", "ldap", {"host": "h", "other": "staff"})
    with pytest.raises(errors.NotAllowed) as refused:
        await office.connections.remove("staff")
    assert "all refers to it" in str(refused.value.facts["what"])
    await office.template(EMPLOYEE.replace('directory = "people"', 'directory = "all"'))
    with pytest.raises(errors.NotAllowed) as refused:
        await office.connections.remove("all")
    assert "employee" in str(refused.value.facts["what"])
    assert (await office.view("all")).templates == ("employee",)
    assert set(office.board.directories) == {"people", "staff", "all"}


async def test_at_the_start_order_does_not_count_and_unknown_kinds_are_told(office: Office) -> None:
    await office.connections.add("zebra", "ldap", {"host": "h"})
    await office.connections.add("middle", "ldap", {"host": "h", "other": "zebra"})
    await office.connections.add("all", "ldap", {"host": "h", "other": "middle"})
    await office.connections.add("ours", "authority", {"host": "h"})
    await office.restart({"ldap": KINDS["ldap"]})
    assert set(office.board.directories) == {"people", "zebra", "middle", "all"}
    assert isinstance((await office.view("ours")).problem, errors.NotSupported)
    (finding,) = await office.connections.test("ours")
    assert (finding.aspect, finding.verdict) == (Aspect.CONFIGURATION, Verdict.FAILS)


async def test_a_test_begins_with_the_configuration(office: Office) -> None:
    await office.connections.add("staff", "ldap", {"host": "h"})
    assert [each.aspect for each in await office.connections.test("staff")] == [
        *(Aspect.CONFIGURATION, Aspect.SEARCH)
    ]


# --- as people write them -------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=40)
VALUES = st.fixed_dictionaries(
    {"host": TEXTS},
    optional={
        "port": st.integers(1, 65535),
        "groups": st.lists(TEXTS, min_size=1, max_size=3).map(tuple),
        "attributes": st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=3),
        "deep": st.booleans(),
        "mode": st.sampled_from(["a", "b"]),
        "roots": st.just(make("CN=Root", ca=True).pem),
    },
)


@given(VALUES)
def test_what_is_exported_is_what_is_applied(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Value]
) -> None:
    view = ConnectionView(
        name="staff",
        kind="ldap",
        port=Port.DIRECTORY,
        source=Source.RECORD,
        abilities=(),
        version=1,
        values=values,
        secrets=("password",),
    )
    folder = tmp_path_factory.getbasetemp()
    found = read_document(to_document([view, replace(view, name="other")]), KINDS, folder)
    assert [(each.name, each.values) for each in found] == [("staff", values), ("other", values)]


@given(VALUES)
def test_what_is_kept_is_what_was_given(values: dict[str, Value]) -> None:
    text = values_of.settings_text({**values, "password": SECRET})
    assert CANARY not in text
    assert values_of.read_settings(text) == values
    assert list(json.loads(text)) == sorted(values)


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (["host=a=b", "port=1"], {"host": "a=b", "port": 1}),
        (["groups=CN=a", "groups=CN=b"], {"groups": ("CN=a", "CN=b")}),
        (["attributes.mail=m", "attributes.user=u"], {"attributes": {"mail": "m", "user": "u"}}),
        (["deep=No"], {"deep": False}),
    ],
)
def test_options_are_read_by_their_fields(options: list[str], values: dict[str, Value]) -> None:
    assert from_options(KINDS["ldap"], options) == values


@pytest.mark.parametrize(
    "option", ["host", "port=x", "deep=perhaps", f"password={CANARY}", "nothing=1", "roots=file:/nowhere.pem"]
)
def test_options_that_are_none(option: str) -> None:
    with pytest.raises(errors.Invalid) as refused:
        from_options(KINDS["ldap"], [option])
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "[[connection]",
        "name = 'x'",
        "[connection]\nname = 'x'",
        "[[connection]]\nkind = 'ldap'",
        "[[connection]]\nname = 'x'\nkind = 'none'",
        "[[connection]]\nname = 'x'\nkind = 'ldap'\nhots = 'h'",
        "[[connection]]\nname = 'x'\nkind = 'ldap'\npassword = 'in clear'",
        "[[connection]]\nname = 'x'\nkind = 'ldap'\nhost = 1979-05-27",
    ],
)
def test_documents_that_are_none(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(errors.Invalid):
        read_document(text, KINDS, tmp_path_factory.getbasetemp())
