"""`kiosk-server stations`: let machines in, list them, block them."""

from datetime import timedelta
from typing import Any, Final

import click

from server.context import Commands, Context, ask, columns

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
    found = [_station(each) for each in ask(context, lambda client: client.stations())]
    context.result({"stations": found}, columns(_line(each) for each in found) or "no station joined yet")


why = click.option("--why", required=True, help="The reason; it is kept as evidence.")


@stations.command()
@click.argument("station")
@why
@click.pass_obj
def block(context: Context, station: str, why: str) -> None:
    """Let STATION do nothing any more, at once: what it is doing is cut.

    A card that it works on is gone on with at another station.
    """
    _changed(context, ask(context, lambda client: client.block_station(station, why)))


@stations.command()
@click.argument("station")
@why
@click.pass_obj
def unblock(context: Context, station: str, why: str) -> None:
    """Let STATION, which is blocked, work again."""
    _changed(context, ask(context, lambda client: client.unblock_station(station, why)))


@stations.command()
@click.argument("station")
@why
@click.pass_obj
def compromised(context: Context, station: str, why: str) -> None:
    """Block STATION for good, because somebody else has it or had it, and list the cards whose secrets it carried.

    Their PUKs are replaced at each card's next contact with another station, without its holder. “kiosk-server keys new” has
    their management keys replaced as well, with those of all other cards. May be said again, for the list.
    """
    found = ask(context, lambda client: client.compromise_station(station, why))
    blocked = _station(found.station)
    cards = [
        {
            "card": str(each.record_id),
            "serial": each.serial,
            "holder": each.holder,
            "state": each.state.value,
            "carried_at": each.at.isoformat(),
            "puk_due": each.rotates_puk,
        }
        for each in found.cards
    ]
    heading = f"{len(cards)} cards whose secrets it carried:"
    lines = [columns([_line(blocked)]), heading, columns(map(_card_line, cards))]
    context.result({**blocked, "cards": cards}, "\n".join(lines).rstrip())


def _card_line(card: dict[str, Any]) -> tuple[str, ...]:
    due = "its PUK is due" if card["puk_due"] else ""
    serial = str(card["serial"] or "")
    return (card["card"], serial, card["holder"], card["state"], card["carried_at"], due)


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
    }


def _line(station: dict[str, Any]) -> tuple[str, ...]:
    state = f"{station['state']}{' (lab)' if station['lab'] else ''}"
    return (station["name"], state, f"until {station['not_after']}")
