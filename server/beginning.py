"""What `init` leaves for the first start, and what opens one again when every card that managed operators is lost."""

import os

from server import wiring
from server.alone import hold
from server.authority.first_start import keep_passcode
from server.authority.operator_templates import operator_templates
from server.settings import ServerSettings
from shared import errors
from shared.clock import Clock
from shared.secret import Secret


async def prepare(parts: wiring.Parts, passcode: Secret) -> list[str]:
    """Apply the templates of operators' cards and keep the passcode; return the names of all templates.

    Raises:
        Invalid: the passcode is too short.
        StoreConflict: there are operators.
    """
    await _templates(parts)
    await keep_passcode(parts.store, parts.clock, passcode)
    return await _known(parts)


async def open_again(settings: ServerSettings, passphrase: Secret, passcode: Secret, clock: Clock) -> None:
    """Open a first start for an hour under a new passcode, while the server does not run.

    Whoever does this has the passphrase and the data folder, which is more than any operator has. It leaves evidence.

    Raises:
        PassphraseRejected: wrong passphrase.
        StoreUnavailable: the server runs, or a file is damaged.
        Invalid: the passcode is too short, or there was no operator yet: the first passcode still counts.
    """
    alone = hold(settings.data_folder)
    try:
        parts = await wiring.open_parts(settings, passphrase, clock)
        try:
            if not await parts.store.operators.exist():
                raise errors.Invalid(
                    field="operator", why="there is none yet: the first start is still to be made"
                )
            await _templates(parts)
            await keep_passcode(parts.store, clock, passcode, again=True)
        finally:
            await parts.store.close()
    finally:
        os.close(alone)


async def _templates(parts: wiring.Parts) -> None:
    directory = next(iter(parts.settings.directory), "")
    texts = operator_templates(parts.settings.organisation, directory, await _known(parts))
    await wiring.apply_templates(parts, texts)


async def _known(parts: wiring.Parts) -> list[str]:
    return [each.ref.name for each in await parts.store.templates.all_latest()]
