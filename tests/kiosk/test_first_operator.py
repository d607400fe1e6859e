"""The first operator, from the command line of a server and of a station: as docs/how-to/first-operator.md says."""

import json
import subprocess
import sys
from typing import Any

from kiosk.station import wording
from tests.kiosk.bench import Bench

PIN = "918273"
ROLE = "system-administrator"
OPERATOR = """\
name = "operator"
title = "Operator"
directory = "people"
operator = true
limit = 1

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "built-in"
profile = "smart-card-logon"
subject = "CN=${user.name},O=Example"
upn = "${user.upn}"
"""


def server(bench: Bench, *words: str) -> dict[str, Any]:
    config = bench.folder / "kiosk.toml"
    argv = [sys.executable, "-m", "server.cli", f"--config={config}", "--json", *words]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def make(bench: Bench) -> tuple[str, ...]:
    return ("do", "issue", "--holder", bench.holder, "--template", "operator")


def test_the_first_operator(bench: Bench) -> None:
    """One long way: every step needs what the one before has left."""
    template = bench.folder / "operator.toml"
    template.write_text(OPERATOR, encoding="utf-8")
    server(bench, "templates", "apply", str(template))
    assert bench.run(*make(bench), "--role", ROLE, "--dry-run").code == 2
    assert bench.run(*make(bench), "--dry-run").code == 0
    for roles, why in (((), "carries one at least"), (("--role", "normal"), "has to manage operators")):
        refused = bench.run(*make(bench), *roles)
        assert refused.code != 0
        assert why in refused.out
    issued = bench.run(*make(bench), "--role", ROLE)
    assert issued.code == 0, issued.err
    assert server(bench, "operators", "list")["operators"] == []

    active = bench.run("do", "activate", "--new-pin-fd", "{}", pins=(PIN,))
    assert active.code == 0, active.err
    assert wording.followed({"followed": "operator"})[0] in active.out
    (operator,) = server(bench, "operators", "list")["operators"]
    assert (operator["name"], operator["roles"], operator["usable_keys"]) == (bench.name, [ROLE], 1)
    assert operator["last_logon_at"] is None
    nobody = bench.run("credentials", bench.holder, "--json")
    assert nobody.document["error"] == "logon-needed"

    logged_on = bench.run("log-on", "--pin-fd", "{}", "--json", pins=(PIN,))
    assert logged_on.code == 0, logged_on.err
    assert logged_on.document["roles"] == [ROLE]
    (found,) = bench.run("credentials", bench.holder, "--json").document["credentials"]
    assert (found["template"], found["state"]) == ("operator", "active")
    assert server(bench, "operators", "list")["operators"][0]["last_logon_at"]

    revoked = bench.run("do", "revoke", "--credential", found["credential"], "--reason", "stolen")
    assert revoked.code == 0, revoked.err
    ended = bench.run("credentials", bench.holder, "--json")
    assert ended.document["error"] == "logon-needed", (
        "the session has ended, and the command that ended it knows"
    )
    assert bench.run("log-on", "--pin-fd", "{}", pins=(PIN,)).code != 0
    (operator,) = server(bench, "operators", "list")["operators"]
    assert (operator["usable_keys"], operator["state"]) == (0, "active")
