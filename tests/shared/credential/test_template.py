"""Templates: read strictly, wrong where they are wrong."""

import re
from datetime import timedelta

import pytest

from shared import errors
from shared.credential.pins import Characters
from shared.credential.template import ManagementKeyChoice
from shared.credential.template_reading import parse_template
from shared.piv.ids import Algorithm, ManagementAlgorithm, PinPolicyId, ProfileName, Slot, TouchPolicyId

FULL = """\
name = "employee-badge"
title = "Employee badge"
directory = "people"
management-key = "AES-192"
expires-after-days = 365

[pin]
min-length = 7
max-length = 8
characters = "alphanumeric"
allow-sequences = true
allow-repeats = true
forbidden = ["abc12345"]
not-from = ["user.birth-date", "user.employee-id?", "card.serial"]
change-after-days = 180
tries = 5
puk-tries = 4

[attestation]
required = true
roots = ["yubico"]

[[certificate]]
slot = "9a"
algorithm = "p-256"
ca = "built-in"
profile = "smart-card-logon"
subject = "CN=${user.name}"
upn = "${user.upn}"
mail = "${user.mail}"
sid = "${user.sid?}"
days = 100
pin-policy = "once"
touch-policy = "cached"
renew-before-days = 14

[[certificate]]
slot = "82"
accept-loss = true
algorithm = "X25519"
ca = "built-in"
profile = "key-management"
subject = "CN=${user.name}"
"""

SMALL = """\
name = "small"
title = "Small"
directory = "people"

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "built-in"
profile = "signature"
subject = "CN=x"
"""


def test_everything_is_read() -> None:
    template = parse_template(FULL)
    assert (template.name, template.title, template.directory) == (
        "employee-badge",
        "Employee badge",
        "people",
    )
    assert template.management_key.algorithm is ManagementAlgorithm.AES192
    assert template.expires_after_days == 365
    assert template.pin.policy.characters is Characters.ALPHANUMERIC
    assert (template.pin.policy.min_length, template.pin.policy.max_length) == (7, 8)
    assert template.pin.policy.forbidden == ("abc12345",)
    assert template.pin.not_from == ("user.birth-date", "user.employee-id?", "card.serial")
    assert template.pin.change_after_days == 180
    assert (template.pin.tries, template.pin.puk_tries) == (5, 4)
    assert template.attestation.required
    first, second = template.certificates
    assert (first.slot, first.algorithm) == (Slot.AUTHENTICATION, Algorithm.P256)
    assert (first.pin_policy, first.touch_policy) == (PinPolicyId.ONCE, TouchPolicyId.CACHED)
    assert (first.days, first.sid) == (100, "${user.sid?}")
    assert (second.slot, second.algorithm) == (Slot.RETIRED_1, Algorithm.X25519)
    assert second.pin_policy is PinPolicyId.DEFAULT
    assert (first.renew_before_days, second.renew_before_days) == (14, 30)
    assert (first.accept_loss, second.accept_loss) == (False, True)


def test_what_is_left_out_has_a_sensible_value() -> None:
    template = parse_template(SMALL)
    assert template.management_key is ManagementKeyChoice.BEST
    assert template.management_key.algorithm is None
    assert template.pin.tries is None
    assert (template.pin.not_from, template.pin.change_after_days) == ((), None)
    assert not template.attestation.required
    assert template.pin.policy.min_length == 6


def test_cards_limits_and_an_end() -> None:
    head = 'cards = ["yubikey-5.4", "yubikey-5.7"]\nlimit = 2\n'
    template = parse_template(head + SMALL + "[temporary]\ndays = 1\nhours = 6\n")
    assert template.cards == (ProfileName.YUBIKEY_5_4, ProfileName.YUBIKEY_5_7)
    assert template.limit == 2
    assert template.temporary is not None
    assert template.temporary.lasts == timedelta(hours=30)
    assert template.temporary.suspend_primary
    plain = parse_template(SMALL)
    assert (plain.cards, plain.limit, plain.temporary) == ((), None, None)
    both = parse_template(SMALL + "[temporary]\nhours = 1\nsuspend-primary = false\n").temporary
    assert both is not None
    assert (both.lasts, both.suspend_primary) == (timedelta(hours=1), False)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"9A"', '"9C"', "an operator logs on with 9A: P-256"),
        ('"P-256"', '"Ed25519"', "an operator logs on with 9A: P-256"),
        ('"P-256"', '"P-256"\npin-policy = "never"', "an operator logs on with the PIN"),
    ],
)
def test_an_operator_logs_on_with_a_key_and_the_pin(old: str, new: str, why: str) -> None:
    text = "operator = true\n" + SMALL
    assert parse_template(text).operator
    assert not parse_template(SMALL).operator
    assert not parse_template(SMALL.replace(old, new)).operator
    with pytest.raises(errors.TemplateInvalid, match=why):
        parse_template(text.replace(old, new))


def test_which_keys_decrypt() -> None:
    first, second = parse_template(FULL).certificates
    assert (first.decrypts, second.decrypts) == (False, True)
    (moved,) = parse_template(SMALL.replace("9A", "9D")).certificates
    assert moved.decrypts


def test_the_digest_is_of_the_meaning_not_of_the_text() -> None:
    spaced = SMALL.replace("name =", "name   =") + "\n# a comment\n"
    assert parse_template(spaced).digest == parse_template(SMALL).digest
    assert parse_template(SMALL.replace("CN=x", "CN=y")).digest != parse_template(SMALL).digest


@pytest.mark.parametrize(
    ("old", "new", "line", "why"),
    [
        ("profile =", "profil =", 9, "no setting profil here"),
        ('name = "small"', 'name = "Small One"', 1, "small letters"),
        ('title = "Small"', "title = 3", 2, "title is a text"),
        ('title = "Small"', 'title = " "', 2, "not empty"),
        ('"9A"', '"F9"', 6, "no slot F9"),
        ('"P-256"', '"P-521"', 7, "no algorithm P-521"),
        ('subject = "CN=x"', 'subject = "CN=x"\ndays = 0', 11, "from 1 to 3650"),
        ('subject = "CN=x"', 'subject = "CN=x"\ndays = true', 11, "from 1 to 3650"),
        ('subject = "CN=x"', 'subject = "CN=x"\nrenew-before-days = -1', 11, "from 0 to 3650"),
        ('subject = "CN=x"', 'subject = "CN=x"\naccept-loss = "9D"', 11, "true or false"),
        ('subject = "CN=x"', 'subject = "CN=x"\npin-policy = "sometimes"', 11, "one of default, never"),
        ("[[certificate]]", "management-key = 'DES'\n[[certificate]]", 5, "one of best, 3DES"),
        ("[[certificate]]", "[pin]\ntries = 5\n[[certificate]]", 6, "set together"),
        ("[[certificate]]", "[pin]\nmin-length = 8\nmax-length = 6\n[[certificate]]", 6, "longer than"),
        ("[[certificate]]", "[pin]\nallow-repeats = 1\n[[certificate]]", 6, "true or false"),
        ("[[certificate]]", "[pin]\nchange-after-days = 0\n[[certificate]]", 6, "from 1 to 3650"),
        ("[[certificate]]", '[pin]\nnot-from = ["birth-date"]\n[[certificate]]', 6, "no variable such as"),
        ("[[certificate]]", '[pin]\nnot-from = ["${user.name}"]\n[[certificate]]', 6, "no variable such as"),
        ("[[certificate]]", "[pin]\nforbidden = [1]\n[[certificate]]", 6, "list of texts"),
        ("[[certificate]]", "[attestation]\nrequired = true\n[[certificate]]", 0, "vendor roots"),
        ("[[certificate]]", "[certificate]", 5, "at least one [[certificate]]"),
        ("[[certificate]]", "pin = 3\n[[certificate]]", 5, "pin is a table"),
        ("[[certificate]]", "operator = 1\n[[certificate]]", 5, "true or false"),
        ("[[certificate]]", "limit = 0\n[[certificate]]", 5, "from 1 to 100"),
        ("[[certificate]]", "cards = []\n[[certificate]]", 5, "leave cards out"),
        ("[[certificate]]", 'cards = ["yubikey-6"]\n[[certificate]]', 5, "no kind of card yubikey-6"),
        ("[[certificate]]", "temporary = 1\n[[certificate]]", 5, "temporary is a table"),
        ("[[certificate]]", "[temporary]\n[[certificate]]", 5, "some days, or hours"),
        ("[[certificate]]", "[temporary]\nhours = 24\n[[certificate]]", 6, "from 0 to 23"),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, line: int, why: str) -> None:
    with pytest.raises(errors.TemplateInvalid, match=re.escape(why)) as caught:
        parse_template(SMALL.replace(old, new, 1))
    assert caught.value.facts["line"] == line


def test_a_mistyped_key_names_the_nearest() -> None:
    with pytest.raises(errors.TemplateInvalid) as caught:
        parse_template(SMALL.replace("algorithm", "algoritm"))
    assert caught.value.facts["nearest"] == "algorithm"


def test_a_slot_stands_once() -> None:
    twice = SMALL + SMALL[SMALL.index("[[certificate]]") :]
    with pytest.raises(errors.TemplateInvalid, match="stands twice"):
        parse_template(twice)


def test_a_list_that_is_no_table_is_refused() -> None:
    text = SMALL[: SMALL.index("[[certificate]]")] + "certificate = [3]\n"
    with pytest.raises(errors.TemplateInvalid, match="list of tables"):
        parse_template(text)
