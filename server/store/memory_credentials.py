"""Cards by their credentials, and the codes that unblock them, in memory."""

from collections.abc import Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from hmac import compare_digest

from server.ports.store import AuditRecord, UnblockCode
from server.store.memory_cards import whole
from server.store.memory_state import Book, Draft
from server.store.rules import USED_CREDENTIAL, check_code, fold, not_after, words
from shared import errors
from shared.credential.model import (
    CardRecord,
    CertificateRecord,
    CertificateState,
    CredentialId,
    CredentialRecord,
    HolderId,
    State,
    TemplateRef,
)
from shared.piv.ids import Slot


class MemoryCredentials:
    """The port `CredentialStore`."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def of_holder(self, holder: HolderId) -> Sequence[CardRecord]:
        """Return the cards of this holder, and those that an open operation is making for them."""
        state = self._book.state
        found = {card.record_id: card for card, credential in _shown(state) if credential.holder == holder}
        for card in _cut(state):
            if card.open_operation is not None and card.open_operation.holder == holder:
                found.setdefault(card.record_id, card)
        return tuple(found.values())

    async def by_credential(self, credential_id: CredentialId) -> CardRecord | None:
        """Return the card that this credential is or was on, showing this credential."""
        state = self._book.state
        if credential_id not in state.credentials:
            return None
        record_id, credential = state.credentials[credential_id]
        return replace(whole(state, state.cards[record_id]), credential=credential)

    async def templates_in_use(self) -> AbstractSet[TemplateRef]:
        """Return the versions of templates that credentials in use were issued by."""
        credentials = (each for _, each in self._book.state.credentials.values())
        return {each.template for each in credentials if each.state in USED_CREDENTIAL}

    async def search(self, text: str, limit: int) -> Sequence[CardRecord]:
        """Return cards whose holder's name or id contains `text`, in any case, by name."""
        found = [
            (words(credential), card)
            for card, credential in _shown(self._book.state)
            if fold(text) in words(credential)
        ]
        return tuple(card for _, card in sorted(found, key=lambda pair: pair[0])[:limit])

    async def ending(self, before: datetime) -> Sequence[CardRecord]:
        """Return cards with a temporary credential in use that ends by then, the earliest first."""
        found = [
            (credential.ends_at, card)
            for card, credential in _shown(self._book.state, USED_CREDENTIAL)
            if credential.ends_at is not None and credential.ends_at <= before
        ]
        return tuple(card for _, card in sorted(found, key=lambda pair: pair[0]))

    async def succeeding(self) -> Sequence[CardRecord]:
        """Return cards with a credential in use that is temporary, or replaces one that is still in use."""
        state = self._book.state
        used = {key for key, (_, each) in state.credentials.items() if each.state in USED_CREDENTIAL}
        found = {
            card.record_id: card
            for card, credential in _shown(state, USED_CREDENTIAL)
            if credential.primary is not None or credential.replaces in used
        }
        for card in _cut(state):
            if card.open_operation is not None and card.open_operation.replaces in used:
                found.setdefault(card.record_id, card)
        return tuple(found.values())

    async def expiring(self, before: datetime) -> Sequence[CardRecord]:
        """Return cards with a credential in use and a confirmed certificate that expires by then."""
        found = []
        for card, _ in _shown(self._book.state, USED_CREDENTIAL):
            ends = [not_after(certificate.certificate) for certificate in _confirmed(card)]
            soon = [end for end in ends if end is not None and end <= before]
            if soon:
                found.append((min(soon), card))
        return tuple(card for _, card in sorted(found, key=lambda pair: pair[0]))

    async def stale(self, before: datetime, limit: int) -> Sequence[CardRecord]:
        """Return cards without a credential in use whose open operation began before then and left a certificate."""
        unsettled = {CertificateState.REQUESTED, CertificateState.ISSUED}
        found = [
            card
            for card in _cut(self._book.state)
            if card.open_operation is not None
            and card.open_operation.began_at < before
            and (card.credential is None or card.credential.state not in USED_CREDENTIAL)
            and {each.request_id for each in card.certificates if each.state in unsettled}
            - {task.request_id for task in card.tasks}
        ]
        return tuple(found[:limit])


def _shown(
    state: Draft, among: Collection[State] = frozenset(State)
) -> Iterator[tuple[CardRecord, CredentialRecord]]:
    """Yield every card with its credential, in the order in which the credentials were made."""
    for credential_id, (record_id, credential) in state.credentials.items():
        card = whole(state, state.cards[record_id])
        shown = card.credential is not None and card.credential.credential_id == credential_id
        if shown and credential.state in among:
            yield card, credential


def _cut(state: Draft) -> list[CardRecord]:
    """Return every card with an open operation, the longest cut first."""
    rows = [row for row in state.operations.values() if not row.ended]
    rows.sort(key=lambda row: (row.open.began_at, row.open.operation_id))
    return [whole(state, state.cards[row.record_id]) for row in rows]


def _confirmed(card: CardRecord) -> Collection[CertificateRecord]:
    """Return the newest confirmed certificate of every slot."""
    newest: dict[Slot, CertificateRecord] = {
        certificate.slot: certificate
        for certificate in card.certificates
        if certificate.state is CertificateState.CONFIRMED
    }
    return newest.values()


class MemoryCodes:
    """The port `CodeStore`."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def add(self, code: UnblockCode, audit: AuditRecord) -> None:
        """Store a code in place of the credential's earlier one."""
        check_code(code)
        with self._book.writing() as draft:
            if code.credential_id not in draft.credentials:
                raise errors.StoreConflict(what="reference")
            draft.codes[code.credential_id] = code
            self._book.note(draft, audit)

    async def check(self, credential_id: CredentialId, digest: bytes, now: datetime) -> bool:
        """Judge a code and leave it where it fits; a wrong one costs an attempt."""
        with self._book.writing() as draft:
            return _fits(draft, credential_id, digest, now)

    async def redeem(self, credential_id: CredentialId, digest: bytes, now: datetime) -> bool:
        """Spend the code where it fits; a wrong one costs an attempt."""
        with self._book.writing() as draft:
            fits = _fits(draft, credential_id, digest, now)
            if fits:
                del draft.codes[credential_id]
            return fits


def _fits(draft: Draft, credential_id: CredentialId, digest: bytes, now: datetime) -> bool:
    """Return whether the code is this one and alive; count a wrong one, and drop one that is over."""
    code = draft.codes.get(credential_id)
    if code is None:
        return False
    alive = code.expires_at > now
    if alive and compare_digest(code.digest, digest):
        return True
    if alive and code.attempts_left > 1:
        draft.codes[credential_id] = replace(code, attempts_left=code.attempts_left - 1)
    else:
        del draft.codes[credential_id]
    return False
