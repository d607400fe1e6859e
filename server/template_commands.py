"""`kiosk-server templates`: see what applying would do, apply, try with a real person."""

import sys
from pathlib import Path
from typing import Any

import click

from server.context import Commands, Context, ask, columns
from shared import errors, wording


@click.group(cls=Commands)
def templates() -> None:
    """Templates: see what applying would do, apply, try with a real person."""


template_files = click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)


@templates.command("plan")
@template_files
@click.pass_obj
def plan_templates(context: Context, files: tuple[Path, ...]) -> None:
    """Say what applying these template FILES would do; changes nothing."""
    _templates(context, files, apply=False)


@templates.command("apply")
@template_files
@click.pass_obj
def apply_templates(context: Context, files: tuple[Path, ...]) -> None:
    """Apply template FILES: all of them or, where one has a problem, none."""
    _templates(context, files, apply=True)


@templates.command("test")
@click.argument("template")
@click.option(
    "--holder", required=True, help="A person's id in the directory, or words that find one person."
)
@click.pass_obj
def test_template(context: Context, template: str, holder: str) -> None:
    """Show what TEMPLATE (a file, or the name of one that is applied) makes of a person: every value, and what is missing."""
    path = Path(template)
    text = path.read_text() if path.is_file() else ""
    tested = ask(
        context,
        lambda client: client.people.test_template(name="" if text else template, text=text, holder=holder),
    )
    context.result(
        {
            "template": tested.template,
            "version": tested.version,
            "directory": tested.directory,
            "holder": tested.holder,
            "name": tested.holder_name,
            "enabled": tested.enabled,
            "variables": [
                {"variable": each.written, "value": each.value, **_problem(each.problem)}
                for each in tested.variables
            ],
            "fields": [
                {"slot": each.slot, "field": each.name, "value": each.value, **_problem(each.problem)}
                for each in tested.names
            ],
        },
        "\n".join(_tested(tested)),
        ok=tested.works,
    )
    if not tested.works:
        sys.exit(errors.PolicyError.exit_code)


def _tested(tested: Any) -> list[str]:
    version = f"v{tested.version}" if tested.version else "(not applied)"
    words = [f"{tested.template} {version} for {tested.holder_name} ({tested.holder}) of {tested.directory}"]
    words += [] if tested.enabled else ["  ! this person is disabled, or the account is over"]
    rows = [(each.written, each.value or _why(each.problem)) for each in tested.variables]
    rows += [(f"{each.slot} {each.name}", each.value or _why(each.problem)) for each in tested.names]
    return [*words, columns(("  " + name, value) for name, value in rows)]


def _why(problem: errors.KioskError | None) -> str:
    return "(empty)" if problem is None else f"! {wording.failure(problem)}"


def _problem(problem: errors.KioskError | None) -> dict[str, Any]:
    if problem is None:
        return {"error": None}
    return {"error": problem.code, "facts": problem.facts, "message": wording.failure(problem)}


def _templates(context: Context, files: tuple[Path, ...], *, apply: bool) -> None:
    from server.authority.services import TemplateAction, TemplateText  # noqa: PLC0415

    texts = [TemplateText(source=str(path), text=path.read_text()) for path in files]
    lines = ask(
        context, lambda client: client.apply_templates(texts) if apply else client.plan_templates(texts)
    )
    found = [
        {
            "source": line.source,
            "name": line.name,
            "action": line.action.value,
            "from_version": line.from_version,
            "to_version": line.to_version,
            "changes": list(line.changes),
            "problems": [
                {"error": problem.code, "facts": problem.facts, "message": wording.failure(problem)}
                for problem in line.problems
            ],
            "warnings": list(line.warnings),
        }
        for line in lines
    ]
    words = []
    for line in lines:
        words.append(f"{line.source}: {line.action.value} {line.name} {_versions(line)}".rstrip())
        words += [f"  {change}" for change in line.changes if not apply]
        words += [f"  problem: {wording.failure(problem)}" for problem in line.problems]
        words += [f"  warning: {warning}" for warning in line.warnings]
    refused = any(line.action is TemplateAction.REFUSE for line in lines)
    context.result({"applied": apply and not refused, "templates": found}, "\n".join(words), ok=not refused)
    if refused:
        sys.exit(errors.PolicyError.exit_code)


def _versions(line: Any) -> str:
    if line.from_version == line.to_version:
        return f"v{line.to_version}" if line.to_version else ""
    return f"v{line.from_version} → v{line.to_version}" if line.from_version else f"v{line.to_version}"
