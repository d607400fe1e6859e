"""Run the migrations that are shipped beside this file. They only go forward."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection

from shared import errors


def migrate(connection: Connection) -> None:
    """Bring the tables to the newest version, in the transaction that `connection` has open.

    Raises:
        StoreUnavailable: the tables are of a version that this program does not know.
    """
    try:
        command.upgrade(configuration(connection), "head")
    except CommandError as error:
        raise errors.StoreUnavailable(why="the tables are newer than this program") from error


def configuration(connection: Connection) -> Config:
    """Return what Alembic needs to find the scripts and to work on `connection`."""
    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
