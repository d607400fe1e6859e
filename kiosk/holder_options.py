"""The options of `kiosk log-on` that are for holders."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

from kiosk.options import Options, finish

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option("--holder", is_flag=True, help="Log on as a holder, for their own cards alone."),
    click.option("--user", default="", help="With --holder: the log-on name, for the directory's password."),
    click.option(
        "--password-fd",
        type=int,
        help="With --user: read the password from this file descriptor instead of asking.",
    ),
    click.option(
        "--device",
        is_flag=True,
        help="With --user: log on on another device, where a code is typed, instead of giving the password.",
    ),
    click.option(
        "--code",
        is_flag=True,
        help="With --holder: ask for the code that was made for the card in the reader.",
    ),
    click.option(
        "--code-fd",
        type=int,
        help="With --holder: read the code from this file descriptor instead of asking.",
    ),
)


def for_holders(command: F) -> F:
    """Add the options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def log_on_holder(
    options: Options, reader: str, pin_fd: int | None, *, taken: bool, given: Mapping[str, Any]
) -> bool:
    """Log a holder on and print what came of it; return whether one was meant. `taken`: there are options of another way.

    Raises:
        click.UsageError: options that do not go together.
    """
    coded = bool(given["code"]) or given["code_fd"] is not None
    named = bool(given["user"])
    elsewhere = bool(given["device"])
    extra = named or coded or elsewhere or given["password_fd"] is not None
    if not given["holder"]:
        if extra:
            raise click.UsageError("--user, --password-fd, --device, --code and --code-fd belong to --holder")  # noqa: EM101, TRY003  # a sentence for one place
        return False
    with_card = bool(reader) or pin_fd is not None
    if taken or (named and (coded or with_card)) or (coded and pin_fd is not None):
        raise click.UsageError("a holder logs on by card and PIN, by --user and password, or by --code")  # noqa: EM101, TRY003  # likewise
    if given["password_fd"] is not None and not named:
        raise click.UsageError("--password-fd belongs to --user")  # noqa: EM101, TRY003  # likewise
    if elsewhere and (not named or given["password_fd"] is not None):
        raise click.UsageError("--device takes --user, and no password")  # noqa: EM101, TRY003  # likewise
    from kiosk import holder  # noqa: PLC0415  # loads gRPC and PC/SC
    from kiosk.operate import Given  # noqa: PLC0415  # likewise

    if elsewhere:
        from kiosk.holder_device import log_on_by_device  # noqa: PLC0415  # loads gRPC and draws pictures

        finish(options, asyncio.run(log_on_by_device(options.config, given["user"])))
    elif named:
        by = holder.ByPassword(name=given["user"], password_fd=given["password_fd"])
        finish(options, asyncio.run(holder.log_on_by_password(options.config, by)))
    elif coded:
        finish(options, asyncio.run(holder.log_on_by_code(options.config, reader, given["code_fd"])))
    else:
        asked = holder.log_on_by_card(options.config, reader, Given(pin_fd=pin_fd))
        finish(options, asyncio.run(asked))
    return True
