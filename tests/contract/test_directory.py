"""What every directory does: the same people, found the same way, in memory, in a file, over LDAP, in a chain."""

import base64
import csv
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from server.connectors.directory.chain import ChainedDirectory
from server.connectors.directory.entra_kind import KIND
from server.connectors.directory.file import FileDirectory
from server.connectors.directory.ldap import LdapDirectory
from server.connectors.directory.memory import MemoryDirectory
from server.ports.connection import Ability
from server.ports.directory import CanAuthenticate, CanMatch, Directory, HasAbilities
from shared.credential.model import HolderId, Person
from shared.secret import Secret
from tests.contract.graph import Graph
from tests.peers.samba import Samba, password_of
from tests.peers.slapd import LdapPerson, Slapd, people, slapd
from tests.server.connectors.directory.built import build

PEOPLE = people(200)

needs_slapd = [pytest.mark.needs_slapd]
needs_samba = [pytest.mark.needs_samba, pytest.mark.xdist_group("samba")]


@dataclass
class Found:
    directory: Directory
    photos: bool = False
    middles: bool = True
    """Whether the middle of a word is found."""
    password: Callable[[str], str] | None = None
    """What somebody's password is, where the directory knows passwords."""

    async def holder(self, person: LdapPerson) -> HolderId:
        """Return the id under which this directory knows somebody."""
        (found,) = await self.directory.search(person.user, 2)
        return found.holder


@pytest.fixture(scope="module")
def domain(samba_domain: Samba) -> Samba:
    assert len(samba_domain.people) == len(PEOPLE)
    return samba_domain


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with slapd(tmp_path_factory.mktemp("slapd"), PEOPLE) as running:
        yield running


def as_person(person: LdapPerson) -> Person:
    return Person(
        holder=HolderId(person.entry_uuid),
        name=person.full_name,
        enabled=not person.locked,
        attributes={
            "name": person.full_name,
            "user": person.user,
            "upn": person.mail,
            "mail": person.mail,
            "given-name": person.given_name,
            "surname": person.surname,
            "department": person.department,
            "title": person.title,
            "employee-id": str(person.number),
        },
    )


def write_csv(path: Path, rows: Sequence[Person]) -> Path:
    columns = ["id", *rows[0].attributes, "enabled"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for person in rows:
            enabled = "yes" if person.enabled else "no"
            writer.writerow({"id": person.holder, "enabled": enabled} | person.attributes)
    return path


def write_ldif(path: Path, rows: Sequence[LdapPerson]) -> Path:
    lines = [
        "version: 1",
        "# made for a test",
        "",
        "dn: dc=lab,dc=test",
        "objectClass: dcObject",
        "dc: lab",
        "",
    ]
    for person in rows:
        name = base64.b64encode(person.full_name.encode()).decode()
        lines += [
            f"dn: uid={person.user},ou=people,dc=lab,dc=test",
            "objectClass: top",
            "objectClass: inetOrgPerson",
            f"entryUUID: {person.entry_uuid}",
            f"uid: {person.user}",
            f"cn:: {name[:10]}",
            *(f" {name[start : start + 7]}" for start in range(10, len(name), 7)),
            f"givenName: {person.given_name}",
            f"sn;lang-en: {person.surname}",
            f"mail: {person.mail}",
            f"employeeNumber: {person.number}",
            f"departmentNumber: {person.department}",
            f"title: {person.title}",
            *(["pwdAccountLockedTime: 000001010000Z"] if person.locked else []),
            "",
        ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(
    params=[
        "memory",
        "csv",
        "ldif",
        pytest.param("ldaps", marks=needs_slapd),
        pytest.param("starttls", marks=needs_slapd),
        pytest.param("active-directory", marks=needs_samba),
        "chain",
        "entra-id",
    ]
)
async def found(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Found]:
    match request.param:
        case "memory":
            yield Found(MemoryDirectory(as_person(person) for person in PEOPLE))
        case "csv":
            rows = [as_person(person) for person in PEOPLE]
            yield Found(FileDirectory(write_csv(tmp_path / "people.csv", rows)))
        case "ldif":
            yield Found(FileDirectory(write_ldif(tmp_path / "people.ldif", PEOPLE)))
        case "chain":
            # names come from the one, all else from the other
            known = [as_person(person) for person in PEOPLE]
            bare = [replace(person, attributes=_some(person, FIRST)) for person in known]
            rest = [replace(person, attributes=_some(person, SECOND)) for person in known]
            second = FileDirectory(write_csv(tmp_path / "second.csv", rest))
            yield Found(ChainedDirectory("both", MemoryDirectory(bare), second, ours="upn", theirs="mail"))
        case "entra-id":
            graph = Graph(tmp_path, PEOPLE)
            await graph.start()
            directory = build(KIND, graph.values(photos=True))
            yield Found(directory, photos=True, middles=False)
            await directory.close()
            await graph.stop()
        case "active-directory":
            domain: Samba = request.getfixturevalue("domain")
            directory = LdapDirectory(domain.settings(), domain.password)
            yield Found(directory, photos=True, password=password_of)
            await directory.close()
        case kind:
            running: Slapd = request.getfixturevalue("server")
            settings = running.settings() if kind == "ldaps" else running.starttls_settings()
            directory = LdapDirectory(settings, running.password)
            yield Found(directory, photos=True, password="password of {}".format)
            await directory.close()


MIDDLES = ("mit", "*", "\\")
"""What is nowhere the beginning of a word."""

FIRST = ("name", "user", "upn", "given-name", "surname", "employee-id")
SECOND = ("mail", "department", "title")


def _some(person: Person, names: Sequence[str]) -> dict[str, str]:
    return {name: person.attributes[name] for name in names}


async def users(found: Found, text: str, limit: int = 300) -> list[str]:
    return [person.attributes["user"] for person in await found.directory.search(text, limit)]


async def test_a_person_by_id(found: Found) -> None:
    expected = as_person(PEOPLE[3])
    holder = await found.holder(PEOPLE[3])
    person = await found.directory.get(holder)
    assert person is not None
    assert (person.holder, person.name) == (holder, "Jörg Müßig-Ångström")
    for name in ("user", "mail", "given-name", "surname", "department", "title", "employee-id"):
        assert person.attributes[name] == expected.attributes[name]


async def test_a_search_brings_the_same_person(found: Found) -> None:
    (by_search,) = await found.directory.search("umlaut", 5)
    by_id = await found.directory.get(by_search.holder)
    assert by_id is not None
    assert by_id.attributes.items() >= by_search.attributes.items()
    assert replace(by_id, attributes={}) == replace(by_search, attributes={})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bob", ["bob"]),
        ("bob smith", ["bob"]),
        ("SMITH bob", ["bob"]),
        ("mit", ["bob"]),
        ("bob@lab.test", ["bob"]),
        ("müßig", ["umlaut"]),
        ("u0199", ["u0199"]),
        ("150", ["u0150"]),
        ("  Lena   Locked ", ["locked"]),
        ("Anna nobody", []),
        ("lab.test", []),
    ],
)
async def test_words_find_people(found: Found, text: str, expected: list[str]) -> None:
    assert await users(found, text) == (expected if found.middles or text not in MIDDLES else [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", ["star"]),
        ("Star*", ["star"]),
        ("(paren)", ["star"]),
        ("\\", ["back"]),
        ("O'Neill,", ["back"]),
        ("*)(uid=*", []),
        ("bob)(objectClass=*", []),
        (")(|(uid=*))", []),
        ("*)(userPassword=*", []),
        ("\\2a", []),
        ("\0", []),
        ("bob\0", []),
        ("uid=bob,ou=people,dc=lab,dc=test", []),
        ("bob,ou=people", []),
        ("&|!=<>~", []),
    ],
)
async def test_no_text_is_syntax(found: Found, text: str, expected: list[str]) -> None:
    assert await users(found, text) == (expected if found.middles or text not in MIDDLES else [])


@pytest.mark.parametrize(
    "holder",
    [
        "",
        "*",
        "00000000-0000-0000-0000-000000000000",
        "bob",
        "*)(uid=bob",
        f"{PEOPLE[0].entry_uuid})(uid=*",
        "uid=bob,ou=people,dc=lab,dc=test",
        "\\2a",
        "\0",
    ],
)
async def test_nobody_has_this_id(found: Found, holder: str) -> None:
    assert await found.directory.get(HolderId(holder)) is None


async def test_everybody_and_a_limit(found: Found) -> None:
    assert len(await users(found, "", 1000)) == 200
    assert len(await users(found, "", 7)) == 7
    assert len(await users(found, "anna", 3)) == 3
    assert await users(found, "anna", 0) == []


async def test_people_come_by_name(found: Found) -> None:
    names = [person.name for person in await found.directory.search("anna", 300)]
    assert len(names) == 20
    assert names == sorted(names, key=str.casefold)


async def test_who_is_disabled_is_shown_as_such(found: Found) -> None:
    (locked,) = await found.directory.search("locked", 5)
    (bob,) = await found.directory.search("bob", 5)
    assert (locked.enabled, bob.enabled) == (False, True)


async def test_photos_come_with_the_person_not_with_the_list(found: Found) -> None:
    if not found.photos:
        pytest.skip("this directory has no photos")
    (listed,) = await found.directory.search("bob", 5)
    bob = await found.directory.get(listed.holder)
    assert bob is not None
    assert "photo" not in listed.attributes
    assert base64.b64decode(bob.attributes["photo"]) == PEOPLE[0].photo


async def test_people_by_one_attribute(found: Found) -> None:
    assert isinstance(found.directory, CanMatch)
    (bob,) = await found.directory.match("user", "BOB", 5)
    assert bob.holder == await found.holder(PEOPLE[0])
    assert bob.attributes["department"] == "R&D"
    assert len(await found.directory.match("given-name", "Anna", 300)) == 20
    assert len(await found.directory.match("given-name", "Anna", 3)) == 3
    for nobody in ("", " ", "*", "b*", "bob)(uid=*", "bo", "\0", "bob\0"):
        assert list(await found.directory.match("user", nobody, 5)) == []


async def test_what_it_can_do_is_said(found: Found) -> None:
    assert isinstance(found.directory, HasAbilities)
    abilities = found.directory.abilities
    assert {Ability.SEARCH, Ability.LEAVERS} <= abilities
    assert (Ability.AUTHENTICATE in abilities) == (found.password is not None)
    assert Ability.WRITE_BACK not in abilities


async def test_somebodys_password(found: Found) -> None:
    if found.password is None:
        pytest.skip("this directory has no passwords")
    assert isinstance(found.directory, CanAuthenticate)
    bob, umlaut = await found.holder(PEOPLE[0]), await found.holder(PEOPLE[3])
    right = Secret.from_text(found.password("bob"))
    assert await found.directory.authenticate(bob, right)
    assert await found.directory.authenticate(bob, right)
    assert not await found.directory.authenticate(umlaut, right)
    for wrong in (b"", b"x", right.reveal() + b"\0", right.reveal().upper(), b"\xff", b"\0"):
        assert not await found.directory.authenticate(bob, Secret(wrong))
    for nobody in ("", "*", "bob", "00000000-0000-0000-0000-000000000000", "*)(uid=bob", "uid=bob"):
        assert not await found.directory.authenticate(HolderId(nobody), right)
    (still,) = await found.directory.search("bob", 2)  # as who reads, not as bob
    assert still.holder == bob
