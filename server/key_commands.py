"""`kiosk-server keys`: generations of the master key."""

from typing import Any

import click

from server.context import Commands, Context, ask, columns


@click.group(cls=Commands)
def keys() -> None:
    """Generations of the master key that every card's keys derive from."""


@keys.command("list")
@click.pass_obj
def list_keys(context: Context) -> None:
    """List the generations, and how many cards hold keys of each."""
    found = [_generation(each) for each in ask(context, lambda client: client.key_generations())]
    context.result({"generations": found}, columns(_generation_line(each) for each in found))


@keys.command("new")
@click.option("--why", required=True, help="The reason; it is kept as evidence.")
@click.pass_obj
def new_key(context: Context, why: str) -> None:
    """Make the next generation. Older cards go on working; each is updated when it appears at a station."""
    made = _generation(ask(context, lambda client: client.new_key_generation(why)))
    context.result(made, columns([_generation_line(made)]))


def _generation(each: Any) -> dict[str, Any]:
    return {
        "generation": each.generation,
        "created_at": each.created_at.isoformat(),
        "cards": each.cards,
        "why": each.why,
        "actor": each.actor,
    }


def _generation_line(each: dict[str, Any]) -> tuple[str, ...]:
    """Say number, date, cards and reason; the first one has no reason."""
    return (str(each["generation"]), each["created_at"][:10], f"{each['cards']} cards", each["why"])
