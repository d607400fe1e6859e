"""`python -m tests.cuts [--operations …] [--profiles …] [--authority MOOD] [--seed S] [--sample N] [--jobs N] [--json]`.

One line on standard output; every case that did not heal on standard error, and exit code 1.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping

import click


@click.command()
@click.option("--operations", help="Names, separated by commas; all that are known where it is left out.")
@click.option("--profiles", help="Names of card profiles, separated by commas.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the sample and of all choices.")
@click.option("--sample", type=click.IntRange(1), help="So many cases only, drawn with the seed.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=lambda: len(os.sched_getaffinity(0)),
    help="So many processes; as many as there are processors where it is left out.",
)
@click.option(
    "--authority",
    "mood",
    type=click.Choice(["answers", "late", "twice", "never"]),
    default="answers",
    show_default=True,
    help="The certificate authority: lets requests wait, signs as often as asked and loses answers, or cannot be searched.",
)
@click.option("--json", "as_json", is_flag=True, help="One object on one line.")
def main(
    operations: str | None,
    profiles: str | None,
    seed: int,
    sample: int | None,
    jobs: int,
    mood: str,
    *,
    as_json: bool,
) -> None:
    """Cut operations at every command, message and commit, and heal them at another station."""
    from tests.cuts.authority import Mood
    from tests.cuts.operations import OPERATIONS, PROFILES
    from tests.cuts.run import Wanted, quiet, report

    quiet()
    wanted = Wanted(
        operations=_chosen(operations, OPERATIONS, "--operations"),
        profiles=_chosen(profiles, PROFILES, "--profiles"),
        seed=seed,
        sample=sample,
        jobs=jobs,
        mood=Mood(mood),
    )
    figures, problems = asyncio.run(report(wanted))
    click.echo(json.dumps(figures, indent=None if as_json else 2))
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(1 if problems else 0)


def _chosen(names: str | None, known: Mapping[str, object], option: str) -> tuple[str, ...]:
    chosen = tuple(known) if names is None else tuple(name.strip() for name in names.split(","))
    unknown = [name for name in chosen if name not in known]
    if unknown:
        message = f"{unknown[0]} is none of {', '.join(known)}"
        raise click.BadParameter(message, param_hint=option)
    return chosen


if __name__ == "__main__":
    main()
