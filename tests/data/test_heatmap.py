"""The partition drawn: self-contained, readable, small for any number of clients."""

import xml.etree.ElementTree as ElementTree

import numpy as np

from qfedfm.data.heatmap import heat_map, select, text_table

SVG = "{http://www.w3.org/2000/svg}"


def test_a_small_partition_is_drawn_whole():
    table = np.array([[3, 0], [1, 12]])
    root = ElementTree.fromstring(heat_map(table, ["a<b", "pos"]))
    assert root.get("fill") == "currentColor" and root.get("width") == "100%"
    cells = {
        rect.findtext(f"{SVG}title"): float(rect.get("fill-opacity")) for rect in root.iter(f"{SVG}rect")
    }
    assert list(cells) == ["client 0, a<b: 3", "client 0, pos: 0", "client 1, a<b: 1", "client 1, pos: 12"]
    assert cells["client 1, pos: 12"] > cells["client 0, a<b: 3"] > cells["client 0, pos: 0"]
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts == ["a<b", "pos", "all", "0", "3", "1", "13"]


def test_ten_thousand_clients_and_many_classes_fit_a_page():
    table = np.random.default_rng(0).integers(0, 9, (10_000, 150))
    svg = heat_map(table, [f"class {i}" for i in range(150)])
    root = ElementTree.fromstring(svg)
    assert len(svg) < 200_000
    assert len(list(root.iter(f"{SVG}rect"))) == 40 * 24
    assert "40 of 10,000 clients, evenly spaced by size" in svg and "127 others" in svg
    for reference in ("http://", "https://", "url(", "<script", "<style"):
        assert reference not in svg.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_the_smallest_and_the_largest_client_are_among_those_shown():
    table = np.arange(1, 201).reshape(100, 2)[::-1]
    shown, clients, names = select(table, ["a", "b"], most_rows=10)
    assert clients[0] == 99 and clients[-1] == 0 and names == ["a", "b"]
    np.testing.assert_array_equal(shown, table[clients])
    shown, _, names = select(np.array([[5, 1, 9, 2]]), list("wxyz"), most_columns=3)
    assert names == ["w", "y", "2 others"] and shown.tolist() == [[5, 9, 3]]


def test_as_text():
    assert text_table(np.array([[3, 0], [1, 12]]), ["neg", "pos"]) == (
        "client  neg  pos  all\n     0    3    .    3\n     1    1   12   13"
    )
    long = text_table(np.eye(12, dtype=np.int64), [f"quite a long name {i}" for i in range(12)])
    assert long.startswith("client  a  b  c") and "c quite a long name 2" in long
    assert max(map(len, long.splitlines())) <= 88
    assert "(20 of 30 clients" in text_table(np.ones((30, 2), np.int64), ["neg", "pos"])
