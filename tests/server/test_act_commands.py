"""`[server.approvals] acts`, as a program: every act that is named there takes a second person, whichever command does it."""

from pathlib import Path
from typing import Final

from shared.credential.approval import ADMINISTRATIVE
from tests.peers.ports import free_ports
from tests.scenario.templates import EMPLOYEE
from tests.server.test_operator_commands import DIRECTORY, PEOPLE, WHY, hire, run
from tests.serving import prepare, serving

ACTS: Final[dict[tuple[str, ...], str]] = {
    ("operators", "roles", "Berg", "normal", *WHY): "set-operator-roles",
    ("operators", "activate", "Berg", *WHY): "activate-operator",
    ("applications", "token", "Payroll", "--role", "normal"): "set-operator-roles",
    ("roles", "clone", "normal", "desk", *WHY): "change-role",
    ("keys", "new", *WHY): "new-key-generation",
    ("templates", "apply", "changed.toml"): "apply-templates",
}
NEEDED: Final = 3


def test_every_act_that_is_named_takes_a_second_person(tmp_path: Path) -> None:
    assert set(ACTS.values()) == ADMINISTRATIVE
    first = free_ports(2)
    named = ", ".join(f'"{each}"' for each in sorted(ADMINISTRATIVE))
    (tmp_path / "people.csv").write_text(PEOPLE)
    settings = f"[server.approvals]\nacts = [{named}]\n\n{DIRECTORY}"
    prepare(tmp_path, ports=(first, first + 1), directory=settings, templates=[EMPLOYEE])
    changed = tmp_path / "changed.toml"
    changed.write_text(EMPLOYEE.replace("Employee badge", "Badge"))
    hire(tmp_path)
    with serving(tmp_path):
        for words, act in ACTS.items():
            code, said = run(tmp_path, *(str(changed) if each == changed.name else each for each in words))
            assert (code, said["error"]) == (NEEDED, "approval-needed"), words
            assert said["facts"]["operation"] == act, words
        _, waiting = run(tmp_path, "approvals", "list")
        assert len(waiting["approvals"]) == len(ACTS)
