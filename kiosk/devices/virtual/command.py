"""`kiosk virtual-card`: a virtual card behind a real pcscd."""

import asyncio
import json
import os
import signal
from pathlib import Path

import click

from kiosk.devices.virtual.image import ImageFile
from kiosk.devices.virtual.vpcd import serve_vpcd
from shared import errors
from shared.piv.ids import ProfileName
from shared.virtual.card import VirtualCard
from shared.virtual.profiles import PROFILES

DEFAULT_VPCD = "127.0.0.1:35963"
"""Where Debian's vsmartcard-vpcd listens for the card of its first reader."""


class Endpoint(click.ParamType[tuple[str, int]]):
    """HOST:PORT."""

    name = "host:port"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Split at the last colon."""
        if isinstance(value, tuple):
            return value
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 0x10000:
            self.fail(f"{value!r} is not HOST:PORT", param, ctx)
        return host, int(port)


@click.command("virtual-card")
@click.option(
    "--vpcd",
    type=Endpoint(),
    default=DEFAULT_VPCD,
    show_default=True,
    help="Where the vpcd driver of pcscd waits for its card.",
)
@click.option(
    "--image",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the card in this file; without it, it is gone with this command.",
)
@click.option(
    "--profile",
    type=click.Choice([profile.value for profile in ProfileName]),
    default=None,
    help=f"What the card can do; a new one is {ProfileName.YUBIKEY_5_7.value} by default.",
)
@click.option(
    "--serial", type=click.IntRange(1, 0xFFFFFFFF), default=None, help="The serial number of a new card."
)
@click.option("--json", "as_json", is_flag=True, help="Say which card is where as one JSON object.")
def virtual_card(
    vpcd: tuple[str, int], image: Path | None, profile: str | None, serial: int | None, *, as_json: bool
) -> None:
    """Put a VIRTUAL card behind a real pcscd, until interrupted.

    It keeps its keys and PINs in clear and is for laboratories only. It needs pcscd with the virtual reader
    driver (Debian: vsmartcard-vpcd); without --image it is a new card every time.
    """
    try:
        file = None if image is None else ImageFile(image)
        asyncio.run(_run(_card(file, profile, serial), vpcd, file, as_json=as_json))
    except errors.KioskError as failed:
        click.echo(f"virtual card: {failed}", err=True)
        raise SystemExit(failed.exit_code) from failed


async def _run(card: VirtualCard, vpcd: tuple[str, int], file: ImageFile | None, *, as_json: bool) -> None:
    """Serve the card until a signal ends it; say which card is behind which reader, and when it waits."""
    host, port = vpcd
    told: set[str] = set()

    def say(text: str, *, err: bool) -> None:
        """Say it once."""
        if text not in told:
            click.echo(text, err=err)
            told.add(text)

    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    serving = asyncio.create_task(
        serve_vpcd(
            card,
            host=host,
            port=port,
            save=file.save if file else None,
            connected=lambda: say(_placed(card, host, port, as_json=as_json), err=False),
            waiting=lambda: say(f"waiting for a vpcd reader at {host}:{port}", err=True),
        )
    )
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    for each in (serving, waiting):
        each.cancel()
    outcome, _ = await asyncio.gather(serving, waiting, return_exceptions=True)
    if isinstance(outcome, Exception):
        raise outcome


def _placed(card: VirtualCard, host: str, port: int, *, as_json: bool) -> str:
    """Say which card is behind which reader."""
    if as_json:
        return json.dumps(
            {
                "virtual": True,
                "product": card.profile.product,
                "profile": card.profile.name.value,
                "serial": card.memory.serial,
                "vpcd": f"{host}:{port}",
            }
        )
    return (
        f"VIRTUAL card: {card.profile.product}, serial {card.memory.serial}, "
        f"in the vpcd reader at {host}:{port}"
    )


def _card(file: ImageFile | None, profile: str | None, serial: int | None) -> VirtualCard:
    """Take the card from its image, or make a new one.

    Raises:
        Invalid: the image holds another card than the one asked for.
    """
    memory = None if file is None else file.load()
    if memory is None:
        card = VirtualCard.new(
            ProfileName(profile) if profile else ProfileName.YUBIKEY_5_7,
            serial=serial or int.from_bytes(os.urandom(3), "big") + 1,
            random=os.urandom,
        )
        if file is not None:
            file.save(card.memory)
        return card
    if (profile and memory.profile != profile) or (serial and memory.serial != serial):
        raise errors.Invalid(
            field="image", why=f"it holds a {PROFILES[memory.profile].product}, serial {memory.serial}"
        )
    return VirtualCard(memory, random=os.urandom)
