"""Random numbers by counter: the same everywhere, and permutations that lose nothing."""

import numpy as np
import pytest

from huitong.demo.counter import Permutation, below, happens, key_of, noise


def test_noise_is_pinned_so_that_a_seed_means_the_same_on_every_machine() -> None:
    key = key_of(7, "tax.wage_tax", "income_fen")
    assert key == 0x91564837e52ec270
    assert [int(value) for value in noise(key, np.arange(3))] == [6339975916193815851, 8329427297638450822, 10409735443576707227]


def test_noise_of_an_index_does_not_depend_on_its_neighbours() -> None:
    whole = noise(1, np.arange(1000))
    assert (noise(1, np.arange(400, 500)) == whole[400:500]).all()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 65, 1000, 4096, 99_991])
def test_a_permutation_hits_each_place_once(size) -> None:
    images = Permutation(key_of(3, "order"), size)(np.arange(size))
    assert sorted(images.tolist()) == list(range(size))


def test_a_permutation_leaves_no_order() -> None:
    images = Permutation(key_of(3, "order"), 10_000)(np.arange(10_000))
    rising = (np.diff(images) > 0).mean()
    assert 0.47 < rising < 0.53
    assert abs(np.corrcoef(np.arange(10_000), images)[0, 1]) < 0.05


def test_rates_come_out_as_stated() -> None:
    bits = noise(key_of(3, "rates"), np.arange(400_000))
    assert happens(bits, 0).sum() == 0
    assert happens(bits, 100_000).all()
    assert abs(happens(bits, 500).mean() - 0.005) < 0.0005
    counts = np.bincount(below(bits, 10), minlength=10)
    assert counts.max() < 1.02 * counts.min()
