"""The join token's text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.joining import PREFIX, Invitation, read_token, write_token
from shared.secret import Secret

invitations = st.builds(
    Invitation,
    address=st.text(min_size=1, max_size=60).filter(lambda text: len(text.encode()) <= 255),
    fingerprint=st.binary(min_size=32, max_size=32),
    secret=st.binary(min_size=32, max_size=32).map(Secret),
)


@given(invitations)
def test_tokens_survive(invitation: Invitation) -> None:
    text = write_token(invitation)
    assert text.startswith(PREFIX)
    assert text == text.lower()
    assert read_token(text) == invitation


@given(invitations, st.data())
def test_a_mistyped_token_is_noticed(invitation: Invitation, data: st.DataObject) -> None:
    text = write_token(invitation)
    at = data.draw(st.integers(len(PREFIX), len(text) - 2))
    other = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz234567").filter(lambda new: new != text[at]))
    with pytest.raises(errors.Invalid):
        read_token(text[:at] + other + text[at + 1 :])


def test_line_breaks_and_capitals_do_not_matter() -> None:
    invitation = Invitation(address="a:1", fingerprint=bytes(32), secret=Secret(b"s" * 32))
    text = write_token(invitation)
    assert read_token(f"  {text[:40].upper()}\n {text[40:]} ") == invitation


def test_the_secret_does_not_show() -> None:
    invitation = Invitation(address="a:1", fingerprint=bytes(32), secret=Secret(b"topsecret" * 3 + b"12345"))
    assert "topsecret" not in repr(invitation)
