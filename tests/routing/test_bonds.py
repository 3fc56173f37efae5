"""Bonds: kept for a time, by tenant, and never too many."""

from signalbox.routing.bonds import BONDS_MAX, HELD_NS, Bonds


def test_a_bond_is_its_tenants_and_ends() -> None:
    bonds = Bonds()
    bonds.tie("a", "resp_1", "one", 7, 0)
    bond = bonds.find("a", "resp_1", HELD_NS - 1)
    assert bond is not None
    assert (bond.deployment, bond.key) == ("one", 7)
    assert bonds.find("b", "resp_1", 0) is None
    assert bonds.find("a", "resp_1", HELD_NS) is None
    assert not bonds.known


def test_they_are_bounded_and_the_oldest_goes_first() -> None:
    bonds = Bonds()
    for number in range(BONDS_MAX + 5):
        bonds.tie("a", number, "one", 0, number)
    assert len(bonds.known) == BONDS_MAX
    assert bonds.find("a", 4, 0) is None
    assert bonds.find("a", 5, 0) is not None
