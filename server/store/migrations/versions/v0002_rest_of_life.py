"""The rest of the life cycle: holds, suspension, temporary credentials, tasks, unblock codes, jobs."""

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa
from alembic import op
from cryptography import x509

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CLOSED: Final = "(state NOT IN ('deleted', 'retired', 'revoked', 'unregistered'))"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def upgrade() -> None:
    """Change the tables of cards, certificates, credentials and operations; make those that are new."""
    _cards()
    _certificates()
    _credentials()
    _operations()
    _new_tables()


def _cards() -> None:
    op.add_column("card", sa.Column("puk_disclosed", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("card", table_kwargs={"sqlite_with_rowid": False}) as card:
        card.alter_column("puk_disclosed", server_default=None)
        card.create_check_constraint(op.f("ck_card_puk_disclosed"), "puk_disclosed IN (0, 1)")


def _certificates() -> None:
    op.add_column("certificate", sa.Column("not_after", sa.BigInteger()))
    certificate = sa.table(
        "certificate", sa.column("number"), sa.column("certificate"), sa.column("not_after")
    )
    connection = op.get_bind()
    for number, encoded in connection.execute(
        sa.select(certificate.c.number, certificate.c.certificate)
    ).all():
        connection.execute(
            sa.update(certificate).where(certificate.c.number == number).values(not_after=_not_after(encoded))
        )
    with op.batch_alter_table("certificate") as batch:
        batch.drop_constraint(op.f("ck_certificate_state"), type_="check")
        batch.create_check_constraint(
            op.f("ck_certificate_state"),
            "state IN ('requested', 'issued', 'confirmed', 'held', 'refused', 'revoked')",
        )
    op.create_index(op.f("ix_certificate_not_after"), "certificate", ["not_after"], unique=False)


def _not_after(encoded: bytes) -> int | None:
    """Return when a certificate expires; one that cannot be read was refused, and never reached a card."""
    try:
        end = x509.load_der_x509_certificate(encoded).not_valid_after_utc
    except ValueError:
        return None
    return (end - _EPOCH) // timedelta(microseconds=1)


def _credentials() -> None:
    for column in (
        sa.Column("reason", sa.String(), nullable=False, server_default=""),
        sa.Column("since", sa.BigInteger()),
        sa.Column("ends_at", sa.BigInteger()),
        sa.Column("primary_id", sa.Uuid()),
        sa.Column("replaces_id", sa.Uuid()),
        sa.Column("pin_set_at", sa.BigInteger()),
        sa.Column("pin_change_due", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("words", sa.Text(), nullable=False, server_default=""),
    ):
        op.add_column("credential", column)
    names = ("number", "holder", "holder_name", "words")
    credential = sa.table("credential", *(sa.column(name) for name in names))
    connection = op.get_bind()
    for number, holder, holder_name, _ in connection.execute(sa.select(*credential.c)).all():
        words = f"{_fold(holder_name)}\n{_fold(holder)}"
        connection.execute(sa.update(credential).where(credential.c.number == number).values(words=words))
    op.drop_index("uq_credential_open", "credential")
    with op.batch_alter_table("credential") as batch:
        for name in ("reason", "pin_change_due", "words"):
            batch.alter_column(name, server_default=None)
        for name in ("primary_id", "replaces_id"):
            batch.create_foreign_key(op.f(f"fk_credential_{name}"), "credential", [name], ["credential_id"])
        batch.create_check_constraint(op.f("ck_credential_pin_change_due"), "pin_change_due IN (0, 1)")
    op.create_index(op.f("ix_credential_ends_at"), "credential", ["ends_at"], unique=False)
    op.create_index(
        "uq_credential_open",
        "credential",
        ["record_id"],
        unique=True,
        sqlite_where=sa.text(_CLOSED),
        postgresql_where=sa.text(_CLOSED),
    )


def _fold(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", plain).split())


def _operations() -> None:
    op.add_column("operation", sa.Column("reason", sa.String(), nullable=False, server_default=""))
    for name in ("primary_id", "replaces_id"):
        op.add_column("operation", sa.Column(name, sa.Uuid()))
    with op.batch_alter_table("operation", table_kwargs={"sqlite_with_rowid": False}) as operation:
        operation.alter_column("reason", server_default=None)
        for name in ("primary_id", "replaces_id"):
            operation.create_foreign_key(
                op.f(f"fk_operation_{name}"), "credential", [name], ["credential_id"]
            )


def _new_tables() -> None:
    op.create_table(
        "certificate_task",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("connection", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failure", sa.String(), nullable=False),
        sa.CheckConstraint(
            "action IN ('revoke', 'hold', 'release')", name=op.f("ck_certificate_task_action")
        ),
        sa.ForeignKeyConstraint(
            ["record_id"], ["card.record_id"], name=op.f("fk_certificate_task_record_id")
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["certificate.request_id"], name=op.f("fk_certificate_task_request_id")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_certificate_task")),
        sa.UniqueConstraint("request_id", name=op.f("uq_certificate_task_request_id")),
    )
    for name in ("record_id", "next_at"):
        op.create_index(op.f(f"ix_certificate_task_{name}"), "certificate_task", [name], unique=False)
    op.create_table(
        "unblock_code",
        sa.Column("credential_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts_left", sa.Integer(), nullable=False),
        sa.CheckConstraint("attempts_left >= 1", name=op.f("ck_unblock_code_attempts_left")),
        sa.ForeignKeyConstraint(
            ["credential_id"], ["credential.credential_id"], name=op.f("fk_unblock_code_credential_id")
        ),
        sa.PrimaryKeyConstraint("credential_id", name=op.f("pk_unblock_code")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "job",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("last_run_at", sa.BigInteger()),
        sa.Column("note", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_job")),
        sqlite_with_rowid=False,
    )
