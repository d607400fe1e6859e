"""Write `docs/reference/errors.md` from `shared.errors`: `python -m tests.document_errors`.

The docstrings are the source; `tests/test_documents.py` fails when the page does not say the same.
"""

import inspect
from pathlib import Path
from typing import Final

from shared.errors import KioskError

PAGE: Final = Path(__file__).parents[1] / "docs" / "reference" / "errors.md"

INTRODUCTION: Final = """\
# Errors

Every error has a stable code. Programs find it in `--json` output as `code`, people find it small on the failure
screen, and logs carry it with its facts. This page is made from `shared/errors.py` by
`python -m tests.document_errors`; do not edit it.

*Retry* says that the same request may succeed later. *Unknown* says that the act may or may not have happened: run
the command again, which reconciles, before you do anything else. *Exit* is the exit status of the command line.

| exit | meaning |
| --- | --- |
| 0 | done |
| 1 | failed, nothing changed |
| 2 | wrong usage or configuration |
| 3 | refused by policy |
| 4 | card, reader or printer |
| 5 | server or an outside system unreachable or refusing |
| 6 | part of a batch failed |
| 7 | outcome unknown: run again to reconcile |
"""


def errors_page() -> str:
    """Return the whole page."""
    return "\n".join([INTRODUCTION, *(_branch(branch) for branch in KioskError.__subclasses__())])


def _branch(branch: type[KioskError]) -> str:
    """Return one chapter: a branch of the tree and its errors."""
    rows = [_row(leaf) for leaf in _leaves(branch)]
    head = ["| code | what it means | exit | |", "| --- | --- | --- | --- |"]
    title = f"## {branch.__name__}"
    return "\n".join([title, "", _sentence(branch), "", *head, *rows, ""])


def _row(leaf: type[KioskError]) -> str:
    marks = [word for word, set_ in (("retry", leaf.retryable), ("unknown", leaf.outcome_unknown)) if set_]
    return f"| `{leaf.code}` | {_sentence(leaf)} | {leaf.exit_code} | {', '.join(marks)} |"


def _sentence(kind: type[KioskError]) -> str:
    return " ".join((inspect.getdoc(kind) or "").split()).replace("|", "\\|")


def _leaves(branch: type[KioskError]) -> list[type[KioskError]]:
    below = branch.__subclasses__()
    return [leaf for child in below for leaf in _leaves(child)] if below else [branch]


if __name__ == "__main__":
    PAGE.write_text(errors_page())
