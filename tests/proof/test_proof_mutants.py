"""The proof finds what it is there to find: a few broken products, each of which it has to report."""

from __future__ import annotations

from proof.mutants import FEW, MUTANTS, stale, try_all


def test_every_mutant_still_applies() -> None:
    assert stale() == []
    assert set(FEW) <= {mutant.name for mutant in MUTANTS}


def test_a_few_broken_products_are_found_out() -> None:
    """All of them are tried by `make proof`."""
    chosen = tuple(mutant for mutant in MUTANTS if mutant.name in FEW)
    missed = [verdict for verdict in try_all(chosen) if not verdict.found]
    assert missed == []
