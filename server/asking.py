"""Secrets for `kiosk-server` commands: from a file descriptor, from where the settings say, or from a person, never shown."""

import getpass
import os
import sys
from typing import Final

import click

from server.settings import Settings
from shared import errors
from shared.secret import Secret

SECRET_MAX: Final = 4096

passphrase_fd = click.option(
    "--passphrase-fd", type=int, help="Read the key store's passphrase from this file descriptor."
)
passcode_fd = click.option(
    "--passcode-fd", type=int, help="Read the passcode of the first start from this file descriptor."
)


def passphrase(settings: Settings, descriptor: int | None) -> Secret:
    """Get the key store's passphrase.

    Raises:
        ConfigMissing: it is in no setting, and nobody can be asked here.
    """
    if descriptor is not None:
        return _read(descriptor, "--passphrase-fd")
    configured = settings.server.key_store.passphrase
    if configured is not None:
        return configured
    _check_somebody("server.key-store.passphrase", "--passphrase-fd")
    return Secret.from_text(getpass.getpass("Passphrase of the key store: "))


def new_passphrase(settings: Settings, descriptor: int | None) -> Secret:
    """Get a new passphrase; a person types it twice."""
    interactive = descriptor is None and settings.server.key_store.passphrase is None
    given = passphrase(settings, descriptor)
    if interactive and Secret.from_text(getpass.getpass("The same again: ")) != given:
        raise errors.Invalid(field="passphrase", why="the two are not the same")
    return given


def new_passcode(descriptor: int | None) -> Secret:
    """Get a new passcode of the first start; a person types it twice.

    Raises:
        ConfigMissing: nobody can be asked here.
        Invalid: the two are not the same.
    """
    if descriptor is not None:
        return _read(descriptor, "--passcode-fd")
    _check_somebody("--passcode-fd", "--passcode-fd")
    given = Secret.from_text(getpass.getpass("New passcode, for the first start at a station: "))
    if Secret.from_text(getpass.getpass("The same again: ")) != given:
        raise errors.Invalid(field="passcode", why="the two are not the same")
    return given


def _check_somebody(key: str, option: str) -> None:
    if not sys.stdin.isatty():
        raise errors.ConfigMissing(
            key=key,
            what=f"nobody can be asked here; set it, or give {option}"
            if key != option
            else "nobody can be asked here",
        )


def _read(descriptor: int, option: str) -> Secret:
    try:
        with os.fdopen(descriptor, "rb") as file:
            return Secret(file.read(SECRET_MAX).rstrip(b"\r\n"))
    except OSError as cause:
        raise errors.ConfigInvalid(key=option, why=cause.strerror or "cannot be read") from cause
