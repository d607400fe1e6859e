import pytest

from shared.piv.ids import Algorithm, ManagementAlgorithm, ObjectId, Slot


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_algorithms_are_called_by_their_names(algorithm: Algorithm) -> None:
    assert Algorithm.from_text(algorithm.text.upper()) is algorithm
    assert (algorithm.rsa_bits is not None) == algorithm.name.startswith("RSA")


def test_another_name_is_no_algorithm() -> None:
    with pytest.raises(ValueError, match="P-521"):
        Algorithm.from_text("P-521")


def test_every_slot_has_an_object_for_its_certificate() -> None:
    objects = [slot.certificate_object for slot in Slot]
    assert len(set(objects)) == len(Slot)
    assert Slot.RETIRED_1.certificate_object is ObjectId.RETIRED_CERTIFICATE_1
    assert Slot.RETIRED_20.certificate_object is ObjectId.RETIRED_CERTIFICATE_20
    assert [slot.text for slot in Slot if slot.retired][::19] == ["82", "95"]


@pytest.mark.parametrize("algorithm", list(ManagementAlgorithm))
def test_management_keys_have_lengths_of_their_ciphers(algorithm: ManagementAlgorithm) -> None:
    assert algorithm.key_length in {16, 24, 32}
    assert algorithm.block_length in {8, 16}
