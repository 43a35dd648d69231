"""Drawings: text that folds, SVG that stands alone."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from qfedfm.circuits import family


def test_text_drawing() -> None:
    circuit = family("strongly_entangling", qubits=2, layers=1)
    assert circuit.draw().splitlines() == [
        "q0: ─RY(x0)──Rot(w0,w1,w2)──●──⊕──┤⟨Z⟩",
        "                            │  │",
        "q1: ─RY(x1)──Rot(w3,w4,w5)──⊕──●──┤⟨Z⟩",
    ]


def test_text_drawing_folds() -> None:
    circuit = family("strongly_entangling", qubits=3, layers=5)
    assert max(len(line) for line in circuit.draw(width=60).splitlines()) <= 60


def test_svg_is_self_contained_and_takes_the_colour_of_the_text() -> None:
    svg = family("hardware_efficient", qubits=5, layers=3, entangler="crx").svg()
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert root.attrib["stroke"] == "currentColor"
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    assert width <= 440  # readable on a telephone
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        assert 0 <= float(text.attrib["x"]) <= width
        assert 0 <= float(text.attrib["y"]) <= height
        assert text.attrib["fill"] == "currentColor"
