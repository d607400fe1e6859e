"""What a card or a certificate authority cannot do is found before a card is touched."""

from dataclasses import dataclass, replace

import pytest

from shared import errors
from shared.credential import lint
from shared.credential.pins import Characters, PinPolicy
from shared.credential.template import Template
from shared.credential.template_reading import parse_template
from shared.piv.ids import ManagementAlgorithm, ProfileName
from shared.piv.profiles import PROFILES
from tests.shared.credential.test_template import SMALL


@dataclass(frozen=True)
class Authority:
    profiles: tuple[str, ...] = ("signature",)
    algorithms: tuple[str, ...] = ("P-256",)
    proof_by_server: bool = False
    hold: bool = False
    revoke: bool = True
    names: tuple[str, ...] = ()
    for_accounts: bool = False


def small(old: str = "", new: str = "") -> Template:
    return parse_template(SMALL.replace(old, new, 1) if old else SMALL)


def reasons(problems: list[errors.TemplateImpossible]) -> str:
    return " | ".join(str(problem.facts["why"]) for problem in problems)


@pytest.mark.parametrize(
    ("profile", "algorithm"),
    [
        (ProfileName.YUBIKEY_4, ManagementAlgorithm.TDES),
        (ProfileName.YUBIKEY_5_4, ManagementAlgorithm.AES256),
        (ProfileName.YUBIKEY_5_7, ManagementAlgorithm.AES256),
    ],
)
def test_the_strongest_management_key_is_chosen(profile: ProfileName, algorithm: ManagementAlgorithm) -> None:
    assert lint.management_algorithm(small(), PROFILES[profile]) is algorithm


def test_a_fixed_management_key_is_kept_and_checked() -> None:
    template = small('title = "Small"', 'title = "Small"\nmanagement-key = "AES-256"')
    assert lint.management_algorithm(template, PROFILES[ProfileName.YUBIKEY_4]) is ManagementAlgorithm.AES256
    assert "AES256" in reasons(lint.check_card(template, PROFILES[ProfileName.YUBIKEY_4]))


def test_a_card_that_can_do_it_has_no_problem() -> None:
    assert lint.check_card(small(), PROFILES[ProfileName.YUBIKEY_5_7]) == []


def test_a_card_that_the_template_does_not_allow_is_refused_for_nothing_else() -> None:
    template = small(
        "[[certificate]]", 'cards = ["yubikey-5.7"]\nmanagement-key = "AES-256"\n[[certificate]]'
    )
    assert lint.check_card(template, PROFILES[ProfileName.YUBIKEY_5_7]) == []
    told = reasons(lint.check_card(template, PROFILES[ProfileName.YUBIKEY_4]))
    four, five = PROFILES[ProfileName.YUBIKEY_4].title, PROFILES[ProfileName.YUBIKEY_5_7].title
    assert told == f"it is for {five}, and this is a {four}"


def test_a_card_without_the_commands_is_refused() -> None:
    template = small("[[certificate]]", "[pin]\ntries = 5\npuk-tries = 5\n\n[[certificate]]")
    attesting = replace(template, attestation=replace(template.attestation, required=True, roots=("x",)))
    found = reasons(lint.check_card(attesting, PROFILES[ProfileName.PLAIN]))
    assert "no command that changes the management key" in found
    assert "no command that sets retry counters" in found
    assert "cannot attest keys" in found


def test_pins_of_letters_are_for_cards_that_take_them() -> None:
    template = small("[[certificate]]", '[pin]\ncharacters = "alphanumeric"\n\n[[certificate]]')
    assert lint.check_card(template, PROFILES[ProfileName.YUBIKEY_5_7]) == []
    assert "digits only" in reasons(lint.check_card(template, PROFILES[ProfileName.UNKNOWN]))
    (warning,) = lint.warnings(template)
    assert "PIV card (SP 800-73)" in warning
    assert "YubiKey" not in warning


def test_a_policy_within_the_card() -> None:
    wide = PinPolicy(characters=Characters.ANY, min_length=7)
    assert lint.within(wide, PROFILES[ProfileName.YUBIKEY_5_7]) == wide
    assert lint.within(wide, PROFILES[ProfileName.UNKNOWN]) == PinPolicy(min_length=7)


@pytest.mark.parametrize("key", ["allow-sequences", "allow-repeats"])
def test_pins_that_a_card_may_refuse_itself_are_said(key: str) -> None:
    template = small("[[certificate]]", f"[pin]\n{key} = true\n\n[[certificate]]")
    assert "YubiKey 5.7" in lint.warnings(template)[0]
    assert lint.check_card(template, PROFILES[ProfileName.YUBIKEY_5_7]) == []


def test_a_key_that_the_card_does_not_make() -> None:
    template = small('"P-256"', '"RSA-4096"')
    assert "no RSA-4096 keys" in reasons(lint.check_card(template, PROFILES[ProfileName.YUBIKEY_5_4]))


def test_an_enrolment_agent_needs_an_account() -> None:
    here, agent = frozenset({"people"}), {"built-in": Authority(for_accounts=True)}
    assert "names none (account)" in reasons(lint.check_connections(small(), agent, here))
    named = small("[[certificate]]", '[[certificate]]\naccount = "EXAMPLE\\\\${user.user}"')
    assert named.certificates[0].account == "EXAMPLE\\${user.user}"
    assert lint.check_connections(named, agent, here) == []


def test_a_log_on_that_does_not_map_strongly_is_said() -> None:
    weak = small("[[certificate]]", '[[certificate]]\nupn = "${user.upn}"')
    (warning,) = lint.warnings(weak)
    assert "upn without sid in 9A" in warning
    strong = small("[[certificate]]", '[[certificate]]\nupn = "${user.upn}"\nsid = "${user.sid}"')
    assert lint.warnings(strong) == []


def test_an_authority_that_cannot_revoke_has_to_be_accepted() -> None:
    here, cannot = frozenset({"people"}), {"built-in": Authority(revoke=False)}
    assert "cannot revoke" in reasons(lint.check_connections(small(), cannot, here))
    accepting = small("[[certificate]]", "[[certificate]]\naccept-unrevocable = true")
    assert lint.check_connections(accepting, cannot, here) == []
    (warning,) = [each for each in lint.warnings(accepting) if "accept-unrevocable" in each]
    assert "stays good until it ends" in warning
    assert not any("accept-unrevocable" in each for each in lint.warnings(small()))


def test_names_that_an_authority_does_not_carry_are_said() -> None:
    here, template = frozenset({"people"}), small("[[certificate]]", '[[certificate]]\nupn = "${user.upn}"')
    assert lint.check_connections(template, {"built-in": Authority()}, here) == []
    assert lint.check_connections(template, {"built-in": Authority(names=("upn",))}, here) == []
    found = reasons(lint.check_connections(template, {"built-in": Authority(names=("mail",))}, here))
    assert "puts no upn into certificates" in found


def test_connections_are_checked() -> None:
    here = frozenset({"people"})
    assert lint.check_connections(small(), {"built-in": Authority()}, here) == []
    assert "no directory people" in reasons(
        lint.check_connections(small(), {"built-in": Authority()}, frozenset())
    )
    assert "no certificate authority built-in" in reasons(lint.check_connections(small(), {}, here))
    other = Authority(profiles=("logon",), algorithms=("RSA-2048",))
    found = reasons(lint.check_connections(small(), {"built-in": other}, here))
    assert "no profile signature" in found
    assert "certifies no P-256 keys" in found


@pytest.mark.parametrize(
    "table", ['\n[reasons]\nforgotten = "hold"\n', '\nreasons = { forgotten = "hold" }\n']
)
def test_a_template_that_wants_holds_needs_an_authority_that_can(table: str) -> None:
    template = parse_template(SMALL.rstrip() + table)
    here = frozenset({"people"})
    assert "on hold" in reasons(lint.check_connections(template, {"built-in": Authority()}, here))
    assert lint.check_connections(template, {"built-in": Authority(hold=True)}, here) == []


def test_keys_that_do_not_sign_need_an_authority_that_believes_the_server() -> None:
    template = small('"P-256"', '"X25519"')
    strict = Authority(algorithms=("X25519",))
    assert "do not sign" in reasons(
        lint.check_connections(template, {"built-in": strict}, frozenset({"people"}))
    )
    trusting = Authority(algorithms=("X25519",), proof_by_server=True)
    assert lint.check_connections(template, {"built-in": trusting}, frozenset({"people"})) == []


def test_warnings_do_not_refuse() -> None:
    assert lint.warnings(small()) == []
    assert lint.warnings(small('"9A"', '"9C"')) == ["no key for authentication (9A)"]


@pytest.mark.parametrize(
    ("slot", "setting", "warning"),
    [
        ("9D", "accept-loss = true", "accept-loss in 9D: after a reissue, what was encrypted cannot be read"),
        ("9C", "accept-loss = true", "accept-loss in 9C: nothing is encrypted for this key"),
        (
            "9C",
            "days = 30\nrenew-before-days = 30",
            "renew-before-days in 9C: due from the day on which it is issued",
        ),
    ],
)
def test_what_replacing_a_key_or_certificate_means(slot: str, setting: str, warning: str) -> None:
    template = small('slot = "9A"', f'slot = "{slot}"\n{setting}')
    assert lint.warnings(template) == ["no key for authentication (9A)", warning]


def test_require_raises_the_first_problem() -> None:
    profile = PROFILES[ProfileName.YUBIKEY_5_7]
    lint.require(small(), profile, {"built-in": Authority()}, frozenset({"people"}))
    with pytest.raises(errors.TemplateImpossible):
        lint.require(small(), profile, {}, frozenset({"people"}))
