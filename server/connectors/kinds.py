"""Every kind of connection that there is. A product is one file with a `KIND`; adding one is one line here."""

import re
from importlib import metadata
from typing import Final, NoReturn

from server.connectors.ca import (
    digicert_one,
    digicert_platform,
    django_ca,
    dogtag,
    ejbca,
    entrust,
    est,
    openbao,
    step_ca,
    vault,
)
from server.connectors.ca.adcs import certsrv as adcs_certsrv
from server.connectors.ca.adcs import wstep as adcs_wstep
from server.connectors.ca.cmp import connector as cmp
from server.connectors.directory import (
    active_directory,
    chain,
    ds389,
    entra_kind,
    file,
    freeipa,
    openldap,
    simple_id,
)
from server.ports.connection import Ability, Configured, Kind, Port, Surroundings
from shared import errors

PACKAGE: Final = "issuance-kiosk"


def _always_there(configured: Configured, _surroundings: Surroundings) -> NoReturn:
    raise errors.NotSupported(what=f"another connection of the kind {configured.kind}")


AUTHORITY: Final = Kind(
    name="built-in",
    port=Port.CA,
    title="Built-in certificate authority",
    fields=(),
    abilities=frozenset(
        {
            *(Ability.ISSUE, Ability.FIND, Ability.PROFILES, Ability.SUBJECT_OVERRIDE),
            *(Ability.REVOKE, Ability.REASONS, Ability.HOLD, Ability.RELEASE, Ability.PROOF_BY_SERVER),
        }
    ),
    build=_always_there,
    page="built-in.md",
)

BY_NAME: Final = Kind(
    name="by-name",
    port=Port.DIRECTORY,
    title="People of no directory, by their names",
    fields=(),
    abilities=frozenset(),
    build=_always_there,
    page="built-in.md",
)

_KINDS: Final = (
    AUTHORITY,
    BY_NAME,
    adcs_certsrv.KIND,
    adcs_wstep.KIND,
    cmp.KIND,
    digicert_one.KIND,
    digicert_platform.KIND,
    django_ca.KIND,
    dogtag.KIND,
    ejbca.KIND,
    entrust.KIND,
    est.KIND,
    openbao.KIND,
    step_ca.KIND,
    vault.KIND,
    active_directory.KIND,
    openldap.KIND,
    ds389.KIND,
    freeipa.KIND,
    file.KIND,
    simple_id.KIND,
    entra_kind.KIND,
    chain.KIND,
)

KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in _KINDS}
"""By name."""
assert len(KINDS) == len(_KINDS), "two kinds of one name"


def missing(kind: Kind) -> tuple[str, ...]:
    """Return the packages that the kind's extra brings and that are not installed."""
    if not kind.extra:
        return ()
    wanted = [_bare(each) for each in metadata.requires(PACKAGE) or () if _is_of(kind.extra, each)]
    return tuple(name for name in wanted if not _installed(name))


def _is_of(extra: str, requirement: str) -> bool:
    return re.search(rf"""extra == ["']{re.escape(extra)}["']""", requirement) is not None


def _bare(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None, requirement
    return found[0]


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
