"""`kiosk-server stations`: let machines in, list them, block them."""

from datetime import timedelta
from typing import Any, Final

import click

from server.context import Commands, Context, ask, columns
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.station_profile import Face, StationProfile, said

DEFAULT_TOKEN_HOURS: Final = 24


@click.group(cls=Commands)
def stations() -> None:
    """Stations: let them in, list them, block them.

    STATION is a station's name or, where several have it, its id.
    """


@stations.command()
@click.argument("name")
@click.option("--lab", is_flag=True, help="The station may use virtual cards.")
@click.option("--hours", type=click.IntRange(1, 720), default=DEFAULT_TOKEN_HOURS, show_default=True)
@click.pass_obj
def token(context: Context, name: str, lab: bool, hours: int) -> None:  # noqa: FBT001  # click passes flags
    """Make a join token for the station NAME; it works once."""

    async def run(client: Any) -> str:
        return str(await client.create_token(name, lab=lab, valid_for=timedelta(hours=hours)))

    made = ask(context, run)
    context.result({"token": made, "name": name, "lab": lab, "hours": hours}, made)


@stations.command("list")
@click.pass_obj
def list_stations(context: Context) -> None:
    """List every station."""
    found = [present(each) for each in ask(context, lambda client: client.stations())]
    context.result(
        {"stations": found}, columns(_present_line(each) for each in found) or "no station joined yet"
    )


why_option = click.option("--why", required=True, help="The reason; it is kept as evidence.")


@stations.command()
@click.argument("station")
@why_option
@click.pass_obj
def block(context: Context, station: str, why: str) -> None:
    """Let STATION do nothing any more, at once: what it is doing is cut.

    A card that it works on is gone on with at another station.
    """
    _changed(context, ask(context, lambda client: client.block_station(station, why)))


@stations.command()
@click.argument("station")
@why_option
@click.pass_obj
def unblock(context: Context, station: str, why: str) -> None:
    """Let STATION, which is blocked, work again."""
    _changed(context, ask(context, lambda client: client.unblock_station(station, why)))


@stations.command()
@click.argument("station")
@why_option
@click.pass_obj
def compromised(context: Context, station: str, why: str) -> None:
    """Block STATION for good, because somebody else has it or had it, and list the cards whose secrets it carried.

    Their PUKs and management keys are replaced at each card's next contact with another station, without its holder. May be
    said again, for the list.
    """
    tell_compromised(context, ask(context, lambda client: client.compromise_station(station, why)))


def tell_compromised(context: Context, found: Any) -> None:
    """Say which cards' secrets a machine carried that somebody else has."""
    blocked = _station(found.station)
    cards = [
        {
            "card": str(each.record_id),
            "serial": each.serial,
            "holder": each.holder,
            "state": each.state.value,
            "carried_at": each.at.isoformat(),
            "puk_due": each.rotates_puk,
            "key_due": each.rekeys,
        }
        for each in found.cards
    ]
    heading = f"{len(cards)} cards whose secrets it carried:"
    lines = [columns([_line(blocked)]), heading, columns(map(_card_line, cards))]
    context.result({**blocked, "cards": cards}, "\n".join(lines).rstrip())


def _card_line(card: dict[str, Any]) -> tuple[str, ...]:
    due = "due: " + ", ".join(what for what in ("puk", "key") if card[f"{what}_due"])
    serial = str(card["serial"] or "")
    return (card["card"], serial, card["holder"], card["state"], card["carried_at"], due)


operations_option = click.option(
    "--operation",
    "operations",
    type=click.Choice([operation.value for operation in OperationKind]),
    multiple=True,
    help="Only this operation; may be given again.",
)
templates_option = click.option(
    "--template", "templates", multiple=True, help="Only cards of this template; may be given again."
)


@stations.command()
@click.argument("station")
@click.option(
    "--face",
    "faces",
    type=click.Choice([face.value for face in Face]),
    multiple=True,
    help="Only this face; may be given again.",
)
@operations_option
@templates_option
@click.option("--default-template", default="", help="The template that is offered first.")
@click.option("--everything", is_flag=True, help="Take all limits away.")
@click.option("--why", default="", help="The reason, needed for a change; it is kept as evidence.")
@click.pass_obj
def profile(
    context: Context,
    station: str,
    faces: tuple[str, ...],
    operations: tuple[str, ...],
    templates: tuple[str, ...],
    default_template: str,
    everything: bool,  # noqa: FBT001  # click passes flags
    why: str,
) -> None:
    """Say what STATION may be used for, whoever is logged on there; without options, show it.

    What is not limited here is allowed: options that are left out take their limits away. A station with the face
    self-service alone does no work of operators.
    """
    limits = bool(faces or operations or templates or default_template)
    if limits and everything:
        message = "--everything goes with no limit."
        raise click.UsageError(message)
    if not limits and not everything:
        found = [view.station for view in ask(context, lambda client: client.stations())]
        named = [each for each in found if station in {each.name, str(each.station_id)}]
        if len(named) != 1:
            raise errors.Invalid(field="station", why="no station, or several, are called so")
        _changed(context, named[0])
        return
    wanted = StationProfile(
        faces=frozenset(map(Face, faces)) if faces else None,
        operations=frozenset(map(OperationKind, operations)) if operations else None,
        templates=frozenset(templates) if templates else None,
        default_template=default_template,
    )
    _changed(context, ask(context, lambda client: client.set_station_profile(station, wanted, why)))


@stations.command()
@click.argument("station")
@click.argument("name")
@click.option("--why", default="", help="The reason, where there is one; it is kept as evidence.")
@click.pass_obj
def rename(context: Context, station: str, name: str, why: str) -> None:
    """Call STATION by another NAME."""
    _changed(context, ask(context, lambda client: client.rename_station(station, name, why)))


def _changed(context: Context, station: Any) -> None:
    changed = _station(station)
    context.result(changed, columns([_line(changed)]))


def _station(station: Any) -> dict[str, Any]:
    return {
        "id": str(station.station_id),
        "name": station.name,
        "state": station.state.value,
        "lab": station.lab,
        "joined_at": station.joined_at.isoformat(),
        "not_after": station.not_after.isoformat(),
        "profile": said(station.profile),
    }


def present(view: Any) -> dict[str, Any]:
    """Return a station and when it was last heard of, since the server was started."""
    seen = view.presence
    return {
        **_station(view.station),
        "last_seen_at": seen.last_seen_at.isoformat() if seen.last_seen_at else None,
        "version": seen.version,
        "readers": seen.readers,
        "faces": sorted(seen.faces),
    }


def _present_line(station: dict[str, Any]) -> tuple[str, ...]:
    last = station["last_seen_at"]
    seen = f"seen {last[:16].replace('T', ' ')} UTC" if last else "not seen"
    runs = f"{station['version']} {', '.join(station['faces'])}".strip()
    readers = f"{station['readers']} readers" if last else ""
    return (*_line(station), seen, runs, readers)


def _line(station: dict[str, Any]) -> tuple[str, ...]:
    state = f"{station['state']}{' (lab)' if station['lab'] else ''}"
    return (station["name"], state, f"until {station['not_after'][:10]}", station["profile"])
