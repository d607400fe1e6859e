"""Sample people for the demo, in two directories: the same seed gives the same people, and never a key."""

import csv
import random
from base64 import b64encode
from pathlib import Path
from typing import Final
from uuid import UUID

FIELDS: Final = (
    "id", "user", "upn", "mail", "name", "given-name", "surname", "department", "title", "employee-id", "sid",
)  # fmt: skip

GIVEN: Final = (
    "Anna", "Bob", "Chiara", "Dmitri", "Élodie", "Fatima", "Göran", "Hana", "Ivo", "Jürgen", "Keiko", "Lucía",
    "Mateusz", "Nadia", "Oluwaseun", "Priya", "Quentin", "Rosa", "Søren", "Tereza", "Umut", "Vera", "Wei", "Zoë",
)  # fmt: skip
SURNAME: Final = (
    "Almeida", "Berg", "Castillo", "Dvořák", "Eriksson", "Fischer", "García", "Haddad", "Ivanova", "Jansen",
    "Kowalski", "Lindqvist", "Müller", "Nakamura", "O'Brien", "Petrov", "Quiroga", "Rossi", "Smith", "Tanaka",
    "Ødegaard", "Virtanen", "Weiss", "Young",
)  # fmt: skip
WORK: Final = (
    ("Research", "Scientist"),
    ("Finance", "Controller"),
    ("Operations", "Shift lead"),
    ("Security", "Officer"),
    ("Engineering", "Engineer"),
    ("People", "Partner"),
)
COMPANIES: Final = ("Northwind Lifts", "Ahorn & Söhne", "Costa Catering", "Fjord Audit")
DOMAIN: Final = "example.test"
GUESTS_DOMAIN: Final = "guests.example.test"
_ASCII: Final = str.maketrans("ÉéöüíøØřáëçãñó'", "EeouioOraecano_")


def sample_people(count: int, seed: int) -> list[dict[str, str]]:
    """Return `count` people with every field of a directory file; `seed` fixes them all."""
    draw = random.Random(seed)  # noqa: S311  # names for a demo, no secret
    people = []
    for number in range(1, count + 1):
        given, surname = draw.choice(GIVEN), draw.choice(SURNAME)
        department, title = draw.choice(WORK)
        plain = f"{given[0]}{surname}".translate(_ASCII).replace("_", "").lower()
        user = f"{plain}{number:03d}"
        people.append(
            {
                "id": str(UUID(int=draw.getrandbits(128), version=4)),
                "user": user,
                "upn": f"{user}@{DOMAIN}",
                "mail": f"{user}@{DOMAIN}",
                "name": f"{given} {surname}",
                "given-name": given,
                "surname": surname,
                "department": department,
                "title": title,
                "employee-id": f"{10000 + number}",
                "sid": f"S-1-5-21-1004336348-1177238915-682003330-{1000 + number}",
            }
        )
    return people


def write_people(path: Path, people: list[dict[str, str]]) -> None:
    """Write people as the CSV file that the server's file directory reads."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(people)


def sample_guests(count: int, seed: int) -> list[dict[str, str]]:
    """Return `count` people of other companies, by the names that an LDIF calls their attributes."""
    draw = random.Random(f"guests {seed}")  # noqa: S311  # names for a demo, no secret
    guests = []
    for number in range(1, count + 1):
        given, surname = draw.choice(GIVEN), draw.choice(SURNAME)
        user = f"guest{number:02d}"
        guests.append(
            {
                "entryUUID": str(UUID(int=draw.getrandbits(128), version=4)),
                "uid": user,
                "cn": f"{given} {surname}",
                "givenName": given,
                "sn": surname,
                "mail": f"{user}@{GUESTS_DOMAIN}",
                "departmentNumber": draw.choice(COMPANIES),
                "employeeNumber": f"G{number:04d}",
            }
        )
    return guests


def write_guests(path: Path, guests: list[dict[str, str]]) -> None:
    """Write guests as LDIF ([RFC 2849]); what is not ASCII is in Base64."""
    lines = ["version: 1"]
    for guest in guests:
        lines += ["", f"dn: uid={guest['uid']},dc=guests,dc=example,dc=test", "objectClass: inetOrgPerson"]
        for name, value in guest.items():
            plain = value.isascii()
            lines.append(f"{name}: {value}" if plain else f"{name}:: {b64encode(value.encode()).decode()}")
    path.write_text("\n".join([*lines, ""]), encoding="ascii")
