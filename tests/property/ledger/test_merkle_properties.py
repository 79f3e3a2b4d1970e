"""The tree and its proofs against the definitions of RFC 6962 section 2.1, written down as naively as they read."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huitong.ledger.merkle import Frontier, consistency_path, inclusion_path, read_frontier
from huitong.ledger.verify import consistency_holds, inclusion_holds, leaf_hash


def sha(data):
    return hashlib.sha256(data).digest()


def split(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(entries):
    """MTH(D[n])"""
    if not entries:
        return sha(b"")
    if len(entries) == 1:
        return sha(b"\x00" + entries[0])
    k = split(len(entries))
    return sha(b"\x01" + mth(entries[:k]) + mth(entries[k:]))


def path(m, entries):
    """PATH(m, D[n])"""
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def subproof(m, entries, whole):
    """SUBPROOF(m, D[n], b)"""
    if m == len(entries):
        return [] if whole else [mth(entries)]
    k = split(len(entries))
    if m <= k:
        return [*subproof(m, entries[:k], whole), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], False), mth(entries[:k])]


def grow(entries):
    frontier, nodes = Frontier(), {}
    for entry in entries:
        for level, index, value in frontier.append(leaf_hash(entry)):
            assert (level, index) not in nodes
            nodes[level, index] = value
    return frontier, lambda keys: {key: nodes[key] for key in keys if key in nodes}


def leaves(number):
    return [number_.to_bytes(4, "big") for number_ in range(number)]


entries = st.lists(st.binary(max_size=40), max_size=70)


@given(entries)
def test_the_root_is_that_of_the_definition(data):
    frontier, read = grow(data)
    assert frontier.root() == mth(data)
    assert read_frontier(len(data), read).root() == mth(data)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=70), st.data())
def test_inclusion_proofs_are_those_of_the_definition_and_hold(data, draw):
    size = draw.draw(st.integers(1, len(data)))
    index = draw.draw(st.integers(0, size - 1))
    _, read = grow(data)
    found = inclusion_path(index, size, read)
    assert list(found) == path(index, data[:size])
    assert inclusion_holds(leaf=leaf_hash(data[index]), index=index, size=size, path=found, root=mth(data[:size]))


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=70), st.data())
def test_consistency_proofs_are_those_of_the_definition_and_hold(data, draw):
    second = draw.draw(st.integers(1, len(data)))
    first = draw.draw(st.integers(1, second))
    _, read = grow(data)
    found = consistency_path(first, second, read)
    assert list(found) == subproof(first, data[:second], True)
    assert consistency_holds(
        first=first, first_root=mth(data[:first]), second=second, second_root=mth(data[:second]), path=found
    )


def test_every_proof_of_every_small_tree_holds():
    data = leaves(33)
    _, read = grow(data)
    roots = [mth(data[:size]) for size in range(34)]
    for size in range(1, 34):
        for index in range(size):
            proof = inclusion_path(index, size, read)
            assert inclusion_holds(leaf=leaf_hash(data[index]), index=index, size=size, path=proof, root=roots[size])
        for first in range(size + 1):
            proof = consistency_path(first, size, read)
            assert consistency_holds(first=first, first_root=roots[first], second=size, second_root=roots[size], path=proof)


def test_an_inclusion_proof_holds_for_its_leaf_its_place_and_its_tree_alone():
    data = leaves(17)
    _, read = grow(data)
    roots = [mth(data[:size]) for size in range(18)]
    for size in range(1, 18):
        for index in range(size):
            proof = inclusion_path(index, size, read)
            for other in range(18):
                if other != index:
                    assert not inclusion_holds(leaf=leaf_hash(data[index]), index=other, size=size, path=proof, root=roots[size])
                if other != size:
                    assert not inclusion_holds(leaf=leaf_hash(data[index]), index=index, size=size, path=proof, root=roots[other])
            assert not inclusion_holds(leaf=leaf_hash(b"other"), index=index, size=size, path=proof, root=roots[size])
            for wrong in ([*proof, roots[1]], proof[:-1] if proof else [roots[1]]):
                assert not inclusion_holds(leaf=leaf_hash(data[index]), index=index, size=size, path=wrong, root=roots[size])


def test_a_rewritten_past_has_no_consistency_proof():
    """However the first tree differs in one entry, the honest proof of the second does not fit it."""
    data = leaves(13)
    _, read = grow(data)
    for second in range(2, 14):
        for first in range(1, second):
            proof = consistency_path(first, second, read)
            roots = {"first": first, "second": second, "second_root": mth(data[:second])}
            for place in range(first):
                forged = [*data[:place], b"forged", *data[place + 1 : first]]
                assert not consistency_holds(first_root=mth(forged), path=proof, **roots)
            assert not consistency_holds(first_root=mth(data[:first]), path=proof[:-1], **roots)
            assert not consistency_holds(first_root=mth(data[:first]), path=[*proof, proof[0]], **roots)


@given(
    st.integers(-2, 40), st.integers(-2, 40), st.lists(st.binary(min_size=32, max_size=32), max_size=8),
    st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32),
)  # fmt: skip
def test_proofs_made_up_by_chance_do_not_hold(first, second, made_up, one, other):
    if not (second == 1 and first == 0 and not made_up and one == other):
        assert not inclusion_holds(leaf=one, index=first, size=second, path=made_up, root=other)
    if first > 0 and not (first == second and not made_up and one == other):
        assert not consistency_holds(first=first, first_root=one, second=second, second_root=other, path=made_up)


@pytest.mark.slow
def test_every_proof_of_every_tree_up_to_130_leaves_is_that_of_the_definition():
    data = leaves(130)
    _, read = grow(data)
    for size in range(1, 131):
        for index in range(0, size, 3):
            assert list(inclusion_path(index, size, read)) == path(index, data[:size])
        for first in range(1, size, 7):
            assert list(consistency_path(first, size, read)) == subproof(first, data[:size], True)
