"""The circuit: what is refused, its facts, and that describing one imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from qfedfm.circuits import (
    Circuit,
    Gate,
    Register,
    constant,
    families,
    family,
    input_angle,
    pauli,
    weight_angle,
)
from qfedfm.circuits.families.blocks import topology_edges
from qfedfm.core.errors import RequestError


def test_importing_circuits_loads_nothing_heavy() -> None:
    code = (
        "import sys, qfedfm.circuits, qfedfm.quantum; qfedfm.quantum.check_executor('torch');"
        "qfedfm.circuits.family('strongly_entangling', qubits=4, layers=2).zero_gradient_weights;"
        "print([m for m in ('torch', 'pennylane', 'qiskit', 'numba') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_facts_of_the_reference_circuit() -> None:
    circuit = family("strongly_entangling", qubits=4, layers=2)
    assert (circuit.n_inputs, circuit.n_weights, circuit.n_observables) == (4, 24, 4)
    assert circuit.two_qubit_count == 8
    # embedding, Rot, ring of four CNOTs one after another, Rot, two pairs of CNOTs at distance 2
    assert circuit.depth == 9
    assert circuit.zero_gradient_weights == (14, 17, 20, 23)


def test_a_circuit_and_its_parts_never_change() -> None:
    circuit = family("basic_entangler", qubits=2, layers=1)
    with pytest.raises(FrozenInstanceError):
        circuit.qubits = 3  # type: ignore[misc]
    assert circuit is family("basic_entangler", qubits=2, layers=1)


def test_hash_tells_circuits_apart_and_ignores_the_name() -> None:
    kinds = [family(name, qubits=3, layers=1) for name in families() if name != "reuploading"]
    assert len({circuit.hash for circuit in kinds}) == len(kinds)
    one, other = (Circuit(1, (), (pauli("Z", 0),), name=name) for name in "ab")
    assert one.hash == other.hash


@pytest.mark.parametrize("name", families())
@pytest.mark.parametrize("qubits", [1, 2, 5])
def test_every_family_works_for_any_size(name: str, qubits: int) -> None:
    try:
        circuit = family(name, qubits=qubits, layers=1)
    except RequestError as error:
        assert f"qubits of circuit {name}" in str(error)
        return
    assert circuit.qubits == qubits
    bare = circuit.without_entanglers()
    assert bare.two_qubit_count == 0
    assert bare.n_weights == circuit.n_weights
    assert set(circuit.zero_gradient_weights) <= set(range(circuit.n_weights))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: family("strongly_entanglin", qubits=2, layers=1), "did you mean 'strongly_entangling'"),
        (lambda: family("reuploading", qubits=0, layers=1), "qubits of circuit reuploading"),
        (lambda: family("reuploading", qubits=2, layers=0), "layers of circuit reuploading"),
        (lambda: family("reuploading", qubits=2, layers=1, embeding="RX"), "did you mean 'embedding'"),
        (lambda: family("reuploading", qubits=2, layers=1, embedding="RQ"), "unknown rotation 'RQ'"),
        (lambda: family("hardware_efficient", qubits=2, layers=1, topology="rung"), "did you mean 'ring'"),
        (lambda: family("hardware_efficient", qubits=2, layers=1, entangler="cxx"), "unknown entangler"),
        (lambda: Gate("cy2", (0, 1)), "unknown gate"),
        (lambda: Gate("cx", (0, 0)), "different qubits"),
        (lambda: Gate("rx", (0,)), "takes 1 angles"),
        (lambda: Circuit(2, (), (pauli("Z", 2),)), "observable Z2 is on qubit 2"),
        (lambda: Circuit(2, (), ()), "no observables"),
        (lambda: Circuit(1, (Gate("rx", (1,), (constant(1),)),), (pauli("Z", 0),)), "there are 1"),
        (lambda: Circuit(1, (Gate("rx", (0,), (input_angle(0),)),), (pauli("Z", 0),)), "there are only 0"),
        (lambda: Circuit(1, (Gate("rx", (0,), (constant(float("nan")),)),), (pauli("Z", 0),)), "not finite"),
        (lambda: Circuit(1, (), (pauli("Z", 0),), inputs=(Register("x", 1, (1,)),)), "must start at 0"),
        (lambda: pauli("ZQ", 0, 1), "other than X, Y, Z"),
        (lambda: pauli("ZZ", 0), "2 different qubits"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(call, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RequestError, match=words):
        call()


def test_angles_are_polynomials() -> None:
    angle = (3.0 - input_angle(0)) * (2.0 - weight_angle(1)) + input_angle(0) * 2
    assert angle.value([0.5], [0.0, 0.25]) == pytest.approx(2.5 * 1.75 + 1.0)
    assert angle.label() == "-3w1+w1·x0+6"
    assert (weight_angle(0) - weight_angle(0)) == constant(0.0)
    assert weight_angle(0, 0.5).label() == "w0/2"


@pytest.mark.parametrize("qubits", range(1, 41))
def test_heavy_hex_is_connected_with_at_most_three_neighbours(qubits: int) -> None:
    edges = set(topology_edges(qubits, "heavy_hex"))
    assert len({frozenset(edge) for edge in edges}) == len(edges)
    assert max([sum(qubit in edge for edge in edges) for qubit in range(qubits)]) <= 3
    reached = {0}
    for _ in range(qubits):
        reached |= {q for edge in edges if reached & set(edge) for q in edge}
    assert reached == set(range(qubits))


def test_heavy_hex_lies_on_the_lattice_of_a_processor() -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    from qiskit_ibm_runtime.fake_provider import FakeBrisbane

    lattice = {frozenset(edge) for edge in FakeBrisbane().coupling_map.get_edges()}
    place: dict[int, int] = {}
    for row, (first, bridge) in enumerate([(0, 14), (18, 33), (37, 52), (56, 71)]):
        order = (0, 1, 2, 3, 4) if row in (0, 1, 3) else (2, 1, 3, 0, 4)
        for column in order:
            place[len(place)] = first + column
        for number in range(1 if row % 2 else 2):
            place[len(place)] = bridge + number
    edges = topology_edges(len(place), "heavy_hex")
    assert len(edges) == 27
    assert all(frozenset(place[qubit] for qubit in edge) in lattice for edge in edges)
