"""Write the pages that the code knows best: `python -m tests.generate_docs`.

`docs/reference/errors.md` is made whole, from the docstrings of `shared.errors`. In `commands.md`, `connections.md`,
`card-support.md`, `drift.md`, `lifecycle.md` and `roles.md` only what stands between the two marks is made, from the
commands' own help, from `shared.piv.profiles`, from the kinds of drift, from the table of the life cycle, and from presets
and rules. `tests/test_documents.py` fails when a page does not say the same as the code.
"""

import ast
import inspect
import itertools
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import click

import kiosk.cli
import server.cli
from server.authority.policy import CALL_RULES, Rule, Standing
from shared.credential.difference import Aspect
from shared.credential.drift_kinds import Kind
from shared.credential.lifecycle import CONTINUED, ENDING, LIFECYCLE, WITHOUT_CARD
from shared.credential.model import State
from shared.errors import KioskError
from shared.piv.ids import ProfileName
from shared.piv.profiles import PROFILES, Features, Profile
from shared.roles import PRESETS, SENSITIVE, SUBJECTS, Permissions, union
from tests.connection_pages import connections_block

REFERENCE: Final = Path(__file__).parents[1] / "docs" / "reference"
BEGIN: Final = "<!-- made by python -m tests.generate_docs -->"
END: Final = "<!-- end -->"
WIDTH: Final = 1000
"""No line is broken by the width of whoever runs this."""
COMMON_OPTIONS: Final = frozenset({"--config", "--json", "--session", "--version", "--help"})
"""Said once, above the list of commands."""

ERRORS_INTRODUCTION: Final = """\
# Errors

Every error has a stable code. Programs find it in `--json` output as `code`, people find it small on the failure
screen, and logs carry it with its facts. This page is made from `shared/errors.py` by
`python -m tests.generate_docs`; do not edit it.

*Retry* says that the same request may succeed later. *Unknown* says that the act may or may not have happened: run
the command again, which reconciles, before you do anything else. *Exit* is the exit status of the command line;
[commands](commands.md) has the list.
"""


def errors_page() -> str:
    """Return `errors.md`."""
    return "\n".join([ERRORS_INTRODUCTION, *(_branch(branch) for branch in KioskError.__subclasses__())])


def _branch(branch: type[KioskError]) -> str:
    """Return one chapter: a branch of the tree and its errors."""
    rows = [_error(leaf) for leaf in _leaves(branch)]
    head = ["| code | what it means | exit | |", "| --- | --- | --- | --- |"]
    return "\n".join([f"## {branch.__name__}", "", _sentence(branch), "", *head, *rows, ""])


def _error(leaf: type[KioskError]) -> str:
    marks = [word for word, is_so in (("retry", leaf.retryable), ("unknown", leaf.outcome_unknown)) if is_so]
    return f"| `{leaf.code}` | {_sentence(leaf)} | {leaf.exit_code} | {', '.join(marks)} |"


def _sentence(kind: type[KioskError]) -> str:
    return _cell(inspect.getdoc(kind) or "")


def _leaves(branch: type[KioskError]) -> list[type[KioskError]]:
    below = branch.__subclasses__()
    return [leaf for child in below for leaf in _leaves(child)] if below else [branch]


def commands_block() -> str:
    """Return every command of both programs with its options, as `--help` says it."""
    programs = {"kiosk": kiosk.cli.cli, "kiosk-server": server.cli.cli}
    return "\n".join(
        _command(name, command) for top, group in programs.items() for name, command in _walk(top, group)
    )


def _walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, terminal_width=WIDTH)
        for below in command.list_commands(context):
            each = command.get_command(context, below)
            assert each is not None
            yield from _walk(f"{name} {below}", each)


def _command(name: str, command: click.Command) -> str:
    """Return one command: what it does, its usage, its own options."""
    context = click.Context(command, info_name=name, terminal_width=WIDTH)
    usage = " ".join(command.collect_usage_pieces(context))
    depth = "##" if " " not in name else "###"
    lines = [f"{depth} {name}", "", inspect.cleandoc(command.help or ""), "", f"`{name} {usage}`", ""]
    own = [each for each in command.get_params(context) if not COMMON_OPTIONS.intersection(each.opts)]
    records = [parameter.get_help_record(context) for parameter in own]
    rows = [f"| `{record[0]}` | {_cell(record[1])} |" for record in records if record]
    if rows:
        lines += ["| option | |", "| --- | --- |", *rows, ""]
    return "\n".join(lines)


def cards_block() -> str:
    """Return the table of profiles."""
    profiles = [PROFILES[name] for name in ProfileName]
    rows: list[tuple[str, list[str]]] = [
        ("algorithms", [", ".join(sorted(a.text for a in profile.algorithms)) for profile in profiles]),
        ("slots", [_slots(profile) for profile in profiles]),
        ("management key", [", ".join(sorted(a.name for a in profile.management)) for profile in profiles]),
        ("… from the factory", [profile.factory_management.name for profile in profiles]),
        ("largest object, bytes", [str(profile.object_max) for profile in profiles]),
        ("long commands", ["extended or chained" if p.extended else "chained" for p in profiles]),
        ("PIN of digits only", [_mark(present=profile.pin_digits_only) for profile in profiles]),
    ]
    for feature in Features.__dataclass_fields__:
        marks = [_mark(present=getattr(profile.features, feature)) for profile in profiles]
        rows.append((feature.replace("_", " "), marks))
    head = f"| | {' | '.join(profile.title for profile in profiles)} |"
    lines = [f"| {name} | {' | '.join(cells)} |" for name, cells in rows]
    return "\n".join([head, "| --- " * (len(profiles) + 1) + "|", *lines])


def _slots(profile: Profile) -> str:
    retired = profile.retired_slots
    primary = " ".join(slot.text for slot in profile.slots if not slot.retired)
    return f"{primary}, {retired[0].text} to {retired[-1].text}" if retired else primary


def lifecycle_block() -> str:
    """Return the life of a card as a picture (Mermaid) and as a table."""
    picture = ["```mermaid", "stateDiagram-v2", "    direction LR", "    [*] --> unregistered"]
    picture += [
        f"    {state} --> {way.target}: {way.operation}"
        for way in LIFECYCLE
        for state in State
        if state in way.sources and way.target is not None
    ]
    rows = [
        " | ".join(
            (
                f"`{way.operation}`",
                " ".join(state for state in State if state in way.sources),
                way.target or "as it was",
                _mark(present=way.operation not in WITHOUT_CARD),
                _mark(present=way.operation in ENDING),
                _mark(present=way.operation in CONTINUED),
            )
        )
        for way in LIFECYCLE
    ]
    head = "| operation | from | to | needs the card | asks why | gone on with after a cut |"
    return "\n".join([*picture, "```", "", head, "| --- " * 6 + "|", *(f"| {row} |" for row in rows)])


def drift_block() -> str:
    """Return what may differ between a card and its record, and between a card and a template."""
    drift = ["### Between a card and its record", "", "| `key` | what it means |", "| --- | --- |"]
    aspects = ["### Between a card and a template", "", "| `aspect` | what is compared |", "| --- | --- |"]
    return "\n".join([*drift, *_documented(Kind), "", *aspects, *_documented(Aspect)])


def roles_block() -> str:
    """Return what every preset may do, and which of them may make every call."""
    may = [union([role]) for role in PRESETS.values()]
    titles = " | ".join(role.title for role in PRESETS.values())
    lines = ["## What the presets may do", "", f"| | PIN again | {titles} |", "| --- " * (len(may) + 2) + "|"]
    lines += [
        _row(
            f"`{word}`",
            _mark(present=subject in SENSITIVE),
            *(each.allowed(subject, None).word for each in may),
        )
        for word, subject in SUBJECTS.items()
    ]
    lines += [
        "",
        "## What every call takes",
        "",
        f"| call | takes | {titles} |",
        "| --- " * (len(may) + 2) + "|",
    ]
    lines += [_call(method, rule, may) for method, rule in sorted(CALL_RULES.items())]
    return "\n".join(lines)


def _call(method: str, rule: Rule, may: Sequence[Permissions]) -> str:
    """Return the row of one call; where the operation decides, that is said in the table above."""
    name = f"`{method.rpartition('.')[2]}`"
    if isinstance(rule, Standing):
        said = {
            Standing.OPERATION: "its operation",
            Standing.OPERATOR: "a session",
            Standing.FIRST_START: "the passcode",
            Standing.HOLDER: "a holder",
        }.get(rule, "nothing")
        nobody = rule in {Standing.FIRST_START, Standing.HOLDER}
        answer = "as above" if rule is Standing.OPERATION else "\N{EN DASH}" if nobody else "yes"
        return _row(name, said, *(answer for _ in may))
    marks = (_mark(present=each.allowed(rule.subject, None) >= rule.level) for each in may)
    return _row(name, f"`{rule.subject.value}`: {rule.level.word}", *marks)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _documented(kind: type[StrEnum]) -> list[str]:
    """Return a row for each member: its value, and the text below it in the source."""
    (body,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body, ast.ClassDef)
    texts = {
        member.targets[0].id: said.value.value
        for member, said in itertools.pairwise(body.body)
        if isinstance(member, ast.Assign)
        and isinstance(member.targets[0], ast.Name)
        and isinstance(said, ast.Expr)
        and isinstance(said.value, ast.Constant)
    }
    return [f"| `{member.value}` | {_cell(str(texts[member.name]))} |" for member in kind]


def _mark(*, present: bool) -> str:
    return "yes" if present else "no"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def pages() -> dict[Path, str]:
    """Return every page as it should be."""
    return {
        REFERENCE / "errors.md": errors_page(),
        **{
            path: between_marks(path.read_text(), block)
            for path, block in (
                (REFERENCE / "commands.md", commands_block()),
                (REFERENCE / "card-support.md", cards_block()),
                (REFERENCE / "drift.md", drift_block()),
                (REFERENCE.parent / "lifecycle.md", lifecycle_block()),
                (REFERENCE.parent / "roles.md", roles_block()),
                (REFERENCE / "connections.md", connections_block()),
            )
        },
    }


def between_marks(page: str, block: str) -> str:
    """Replace what stands between the marks."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    assert pattern.search(page), "the marks are missing"
    return pattern.sub(lambda _: f"{BEGIN}\n\n{block}\n\n{END}", page)


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
