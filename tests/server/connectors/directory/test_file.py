"""People in files: what is wrong is named with file and line."""

import os
from pathlib import Path

import pytest

from server.connectors.directory.file import FileDirectory
from server.connectors.directory.schema import ACTIVE_DIRECTORY
from shared import errors
from shared.credential.model import HolderId

HEADER = "id,user,upn,mail,name,given-name,surname,department,title,employee-id,sid\n"
ANNA = "1,anna,anna@x.test,anna@x.test,Anna Berg,Anna,Berg,R&D,Engineer,17,S-1-5-21-1-2-3-1001\n"
BEN = '2,ben,ben@x.test,ben@x.test,"Falk, Ben",Ben,Falk,,,18,\n'


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "with a byte order mark"])
async def test_the_columns_are_the_attributes(tmp_path: Path, start: str) -> None:
    directory = FileDirectory(write(tmp_path / "p.csv", start + HEADER + ANNA + BEN))
    anna = await directory.get(HolderId("1"))
    ben = await directory.get(HolderId("2"))
    assert anna is not None
    assert ben is not None
    assert (anna.name, anna.attributes["sid"]) == ("Anna Berg", "S-1-5-21-1-2-3-1001")
    assert ben.name == "Falk, Ben"
    assert "department" not in ben.attributes
    assert "id" not in anna.attributes


async def test_a_name_is_made_where_none_is_given(tmp_path: Path) -> None:
    text = "number,given-name,surname,user\n7,Anna,Berg,a\n8,,,ben\n9,,,\n"
    directory = FileDirectory(write(tmp_path / "p.csv", text), key="number")
    names = [person.name for person in await directory.search("", 9)]
    assert names == ["9", "Anna Berg", "ben"]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("", 1, "no column id"),
        ("user,name\n", 1, "no column id"),
        ("id,name,name\n", 1, "column"),
        ("id,,name\n", 1, "column"),
        (HEADER + ANNA + ANNA, 3, "a second entry with the id 1"),
        (HEADER + ANNA + "3,short\n", 3, "cells"),
        (HEADER + ANNA.strip() + ",more\n", 2, "cells"),
        (HEADER + ANNA.replace("1,", ",", 1), 2, "column id is empty"),
        ("id,enabled\n1,perhaps\n", 2, "neither yes nor no"),
        ('id,name\n1,"open\n', 2, "unexpected end"),
        (b"id,name\n1,ok\n2,\xff\n", 3, "not UTF-8"),
    ],
)
def test_what_is_wrong_in_a_csv(tmp_path: Path, text: str | bytes, line: int, why: str) -> None:
    path = write(tmp_path / "people.csv", text)
    with pytest.raises(errors.ConfigInvalid) as caught:
        FileDirectory(path)
    assert caught.value.facts["file"] == str(path)
    assert caught.value.facts["line"] == line
    assert why in str(caught.value.facts["why"])


ENTRY = "dn: uid=a\nobjectClass: person\nentryUUID: 1\ncn: A\n"


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("cn: A\n", 1, "begins with its dn"),
        (ENTRY + "nonsense\n", 5, "name: value"),
        (ENTRY + "jpegPhoto:< file:///etc/passwd\n", 5, "not fetched"),
        (ENTRY + "sn:: a=b\n", 5, "not base64"),
        (ENTRY + "changetype: delete\n", 5, "changetype"),
        (ENTRY + "dn: uid=b\n", 5, "dn inside"),
        ("version: 2\n\n" + ENTRY, 1, "version 1"),
        ("# c\n folded\n\ndn: uid=a\nobjectClass: person\ncn: A\n", 4, "without entryUUID"),
        (ENTRY + "\n" + ENTRY, 6, "a second entry"),
        ("dn:: /w==\n", 1, "UTF-8"),
    ],
)
def test_what_is_wrong_in_an_ldif(tmp_path: Path, text: str, line: int, why: str) -> None:
    path = write(tmp_path / "people.ldif", text)
    with pytest.raises(errors.ConfigInvalid) as caught:
        FileDirectory(path)
    assert (caught.value.facts["file"], caught.value.facts["line"]) == (str(path), line)
    assert why in str(caught.value.facts["why"])


async def test_an_ldif_of_another_product(tmp_path: Path) -> None:
    text = (
        "dn: CN=Anna,DC=x\nobjectClass: user\nobjectGUID:: AAAAAAAAAAAAAAAAAAAAAQ==\n"
        "displayName: Anna\nsAMAccountName: anna\nuserAccountControl: 514\n"
        "objectSid:: AQUAAAAAAAUVAAAAAQAAAAIAAAADAAAA6QMAAA==\n"
    )
    path = write(tmp_path / "people.ldif", text)
    directory = FileDirectory(path, key="sAMAccountName", schema=ACTIVE_DIRECTORY)
    anna = await directory.get(HolderId("anna"))
    assert anna is not None
    assert not anna.enabled
    assert anna.attributes["sid"] == "S-1-5-21-1-2-3-1001"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigMissing):
        FileDirectory(tmp_path / "none.csv")


async def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", HEADER + ANNA)
    directory = FileDirectory(path, connection="people")
    assert await directory.get(HolderId("2")) is None
    write(path, HEADER + ANNA + BEN)
    assert await directory.get(HolderId("2")) is not None
    write(path, HEADER + ANNA + "3,short\n")
    with pytest.raises(errors.ConnectorRefused) as caught:
        await directory.search("anna", 5)
    assert caught.value.facts["connection"] == "people"
    assert "p.csv, line 3" in str(caught.value.facts["reason"])
    os.unlink(path)  # noqa: PTH108 (nothing of it waits)
    with pytest.raises(errors.ConnectorUnreachable):
        await directory.search("anna", 5)
    write(path, HEADER + BEN)
    assert await directory.get(HolderId("1")) is None
