"""What holds at every moment of a card's life, whatever was cut when: judged by what the card was told."""

import itertools

from shared.piv.ids import FACTORY_PIN, FACTORY_PUK, Ins, KeyRef
from tests.scenario.cards import Heard, ListeningCard


def keeps_promises(card: ListeningCard) -> None:
    """Check what holds at every moment, whatever was cut when."""
    log = card.log
    wrong_9b: dict[int, int] = {}
    puks: list[bytes] = []
    for heard, after in itertools.pairwise((*log, None)):
        assert heard is not None
        proves_before_secrets(heard)
        never_pin_with_9b_open(heard, after)
        if is_puk_use(heard):
            assert heard.puk_left > 1 or heard.sw == 0x9000, "a guess on the last try"
        if heard.ins == Ins.CHANGE_REFERENCE_DATA and heard.command.p2 == KeyRef.PUK and heard.sw == 0x9000:
            puks.append(heard.command.data[8:])
        if is_9b(heard) and heard.sw != 0x9000:
            wrong_9b[heard.power] = wrong_9b.get(heard.power, 0) + 1
    assert all(count == 1 for count in wrong_9b.values()), "more than one wrong try of 9B a contact"
    in_order = [puk for at, puk in enumerate(puks) if at == 0 or puks[at - 1] != puk]
    assert len(in_order) == len(set(in_order)), "a PUK came back after it was replaced"
    assert card.memory.puk.value.reveal() == puks[-1]
    used = {heard.command.data[:8] for heard in log if is_puk_use(heard)}
    assert puks[-1] not in used, "the PUK on the card was used before"


def proves_before_secrets(heard: Heard) -> None:
    """PUKs and new management keys only after mutual proof in the same power session; factory keys are public."""
    if is_puk_use(heard) and heard.command.data != 2 * FACTORY_PUK:
        assert heard.proven, "a PUK before the card had proven its management key"
    if heard.ins == Ins.SET_MANAGEMENT_KEY and heard.command.data:
        assert heard.proven or heard.factory, "a management key before proof"


def never_pin_with_9b_open(heard: Heard, after: Heard | None) -> None:
    """No PIN is verified and no private key used while 9B is open, but a PIN to set the counters right then."""
    if heard.ins == Ins.VERIFY and heard.command.data and heard.managed:
        factory = heard.command.data == FACTORY_PIN.ljust(8, b"\xff")
        cut = after is None or after.power != heard.power
        assert factory or cut or (after is not None and after.ins == Ins.SET_PIN_RETRIES)
    if heard.ins == Ins.GENERAL_AUTHENTICATE and heard.command.p2 != KeyRef.MANAGEMENT:
        assert not heard.managed
    if heard.ins in {Ins.PUT_DATA, Ins.GENERATE_ASYMMETRIC, Ins.SET_MANAGEMENT_KEY} and heard.command.data:
        assert not heard.pin, "written with the PIN verified"


def is_puk_use(heard: Heard) -> bool:
    return heard.ins == Ins.RESET_RETRY_COUNTER or (
        heard.ins == Ins.CHANGE_REFERENCE_DATA and heard.command.p2 == KeyRef.PUK
    )


def is_9b(heard: Heard) -> bool:
    """Whether this proves knowledge of 9B (asking whether an algorithm is known does not)."""
    return (
        heard.ins == Ins.GENERAL_AUTHENTICATE
        and heard.command.p2 == KeyRef.MANAGEMENT
        and len(heard.command.data) > 4
    )
