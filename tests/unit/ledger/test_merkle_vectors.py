"""The tree is that of RFC 6962: known roots and proofs of the eight leaves that certificate transparency has used since 2012."""

import pytest

from huitong.errors import LedgerBroken
from huitong.ledger.merkle import (
    Frontier,
    complete_subtrees,
    consistency_path,
    consistency_spans,
    inclusion_path,
    inclusion_spans,
    read_frontier,
)
from huitong.ledger.verify import EMPTY_ROOT, consistency_holds, inclusion_holds, leaf_hash

LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
A = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
B = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
C = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"

INCLUSION = [
    (0, 1, []),
    (0, 8, [A, B, C]),
    (5, 8, [D, E, ROOTS[3]]),
    (2, 3, [ROOTS[1]]),
    (1, 5, [ROOTS[0], B, D]),
]
CONSISTENCY = [
    (1, 1, []),
    (1, 8, [A, B, C]),
    (6, 8, [F, E, ROOTS[3]]),
    (2, 5, [B, D]),
]


@pytest.fixture(scope="module")
def nodes():
    frontier, kept = Frontier(), {}
    for leaf in LEAVES:
        for level, index, value in frontier.append(leaf_hash(leaf)):
            kept[level, index] = value
    return kept


def reader(nodes):
    return lambda keys: {key: nodes[key] for key in keys if key in nodes}


def test_the_empty_tree_has_the_hash_of_nothing():
    assert Frontier().root() == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_known_roots():
    frontier = Frontier()
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        frontier.append(leaf_hash(leaf))
        assert frontier.root().hex() == root


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_known_inclusion_proofs(nodes, index, size, path):
    found = inclusion_path(index, size, reader(nodes))
    assert [node.hex() for node in found] == path
    root = bytes.fromhex(ROOTS[size - 1])
    assert inclusion_holds(leaf=leaf_hash(LEAVES[index]), index=index, size=size, path=found, root=root)


@pytest.mark.parametrize(("first", "second", "path"), CONSISTENCY)
def test_known_consistency_proofs(nodes, first, second, path):
    found = consistency_path(first, second, reader(nodes))
    assert [node.hex() for node in found] == path
    roots = {"first_root": bytes.fromhex(ROOTS[first - 1]), "second_root": bytes.fromhex(ROOTS[second - 1])}
    assert consistency_holds(first=first, second=second, path=found, **roots)


def test_the_example_of_rfc_6962_section_2_1_3():
    """Seven entries d0..d6; a = d0, b = d1, c = d2 ..., g = (a, b), h = (c, d), i = (e, f), j = d6, k = (g, h), l = (i, j)."""
    b, c, d, f, g, h, i, j, k = (1, 2), (2, 3), (3, 4), (5, 6), (0, 2), (2, 4), (4, 6), (6, 7), (0, 4)
    span_l = (4, 7)
    assert inclusion_spans(0, 7) == [b, h, span_l]
    assert inclusion_spans(3, 7) == [c, g, span_l]
    assert inclusion_spans(4, 7) == [f, j, k]
    assert inclusion_spans(6, 7) == [i, k]
    assert consistency_spans(3, 7) == [c, d, g, span_l]
    assert consistency_spans(4, 7) == [span_l]
    assert consistency_spans(6, 7) == [i, j, k]


def test_a_tree_is_read_back_from_its_nodes(nodes):
    for size in range(9):
        frontier = read_frontier(size, reader(nodes))
        assert frontier.root().hex() == (ROOTS[size - 1] if size else EMPTY_ROOT.hex())


def test_a_missing_node_is_named(nodes):
    holed = {key: value for key, value in nodes.items() if key != (1, 2)}
    with pytest.raises(LedgerBroken) as caught:
        inclusion_path(0, 7, reader(holed))
    assert caught.value.reasons[0].parameters == {"level": 1, "index": 2}


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_there_is_no_proof_for_a_leaf_that_is_not_there(index, size):
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_spans(index, size)
    assert not inclusion_holds(leaf=EMPTY_ROOT, index=index, size=size, path=[], root=EMPTY_ROOT)


def test_a_tree_cannot_shrink():
    with pytest.raises(ValueError, match="no beginning"):
        consistency_spans(4, 3)
    assert not consistency_holds(first=4, first_root=EMPTY_ROOT, second=3, second_root=EMPTY_ROOT, path=[])


def test_complete_subtrees_of_a_ragged_tree():
    assert complete_subtrees(0, 7) == [(2, 0), (1, 2), (0, 6)]
    assert complete_subtrees(4, 7) == [(1, 2), (0, 6)]
    with pytest.raises(ValueError, match="3 complete subtrees, not 1"):
        Frontier(7, [EMPTY_ROOT])
