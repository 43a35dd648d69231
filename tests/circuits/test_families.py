"""What each family is for, as numbers."""

from __future__ import annotations

import math

import pytest
import torch

from qfedfm.circuits import Circuit, family
from qfedfm.core.errors import RequestError
from qfedfm.quantum import expectations, states


def run(circuit: Circuit, inputs: list[float], weights: list[float] | None = None) -> torch.Tensor:
    w = torch.tensor(weights if weights is not None else [0.0] * circuit.n_weights, dtype=torch.float64)
    return expectations(circuit, torch.tensor([inputs], dtype=torch.float64), w)[0]


def test_ghz_phase_sum_shows_only_the_sum() -> None:
    circuit = family("ghz_phase_sum", qubits=4, layers=1)
    angles = [0.3, -1.2, 0.7, 2.0]
    assert run(circuit, angles).tolist() == pytest.approx([math.cos(1.8), math.sin(1.8)])


def test_qft_sum_adds_modulo() -> None:
    circuit = family("qft_sum", qubits=4, layers=1, clients=3)
    for numbers in ([1, 2, 4], [7, 8, 9], [15, 15, 15], [0, 0, 0]):
        bits = [(1 - round(value)) // 2 for value in run(circuit, numbers).tolist()]
        assert int("".join(map(str, bits)), 2) == sum(numbers) % 16


def test_swap_test_is_the_overlap() -> None:
    circuit = family("swap_test", qubits=5, layers=1)
    a, b = [0.4, 1.1], [2.0, -0.3]
    overlap = math.prod(math.cos((p - q) / 2) for p, q in zip(a, b, strict=True)) ** 2
    assert float(run(circuit, [*a, *b])) == pytest.approx(overlap)
    assert float(run(circuit, [*a, *a])) == pytest.approx(1.0)


def test_hadamard_test_is_a_matrix_element() -> None:
    circuit = family("hadamard_test", qubits=2, layers=1)
    # psi = RY(x)|0>, U = RZ(b) RY(a): check against the two-by-two matrices
    x, a, b = 0.8, 0.5, 1.3
    psi = torch.tensor([math.cos(x / 2), math.sin(x / 2)], dtype=torch.complex128)
    ry = torch.tensor([[math.cos(a / 2), -math.sin(a / 2)], [math.sin(a / 2), math.cos(a / 2)]])
    rz = torch.tensor([complex(math.cos(b / 2), s * math.sin(b / 2)) for s in (-1, 1)]).diag()
    value = complex(psi.conj() @ (rz.to(psi.dtype) @ ry.to(psi.dtype)) @ psi)
    assert run(circuit, [x], [a, b]).tolist() == pytest.approx([value.real, value.imag], abs=1e-6)


def test_qaoa_finds_the_cut_of_a_ring() -> None:
    circuit = family("qaoa", qubits=6, layers=1)
    assert float(run(circuit, [], [0.0, 0.0])) == pytest.approx(3.0)  # half of the six edges
    # Farhi et al.: one layer on a ring cuts 3/4
    best = max(
        float(run(circuit, [], [gamma, beta]))
        for gamma in (math.pi / 4, -math.pi / 4)
        for beta in (math.pi / 4, -math.pi / 4)
    )
    assert best == pytest.approx(4.5)


@pytest.mark.parametrize("bit", [0, 1])
@pytest.mark.parametrize("sent", [0, 1])
@pytest.mark.parametrize("read", [0, 1])
def test_bb84(bit: int, sent: int, read: int) -> None:
    value = float(run(family("bb84_prepare_measure", qubits=1, layers=1), [bit, sent, read]))
    assert value == pytest.approx(1 - 2 * bit if sent == read else 0.0)


def test_amplitude_embedding_normalises() -> None:
    circuit = family("amplitude", qubits=2, layers=1)
    state = states(
        circuit, torch.tensor([[3.0, 0, 4.0, 0]], dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
    )
    # the ring of two CNOTs takes 10 to 01
    assert state[0].abs().tolist() == pytest.approx([0.6, 0.8, 0, 0])


def test_matchgates_keep_parity() -> None:
    circuit = family("matchgate", qubits=4, layers=2)
    weights = torch.linspace(-1, 2, circuit.n_weights, dtype=torch.float64)
    state = states(circuit, torch.tensor([[0.3, 0.1, -0.5, 1.0]], dtype=torch.float64), weights)[0]
    odd = [index for index in range(16) if index.bit_count() % 2]
    assert float(state[odd].abs().max()) < 1e-12


def test_convolution_pools_half_away() -> None:
    circuit = family("convolution", qubits=8, layers=2)
    assert circuit.n_weights == 12
    assert sorted({next(iter(o.qubits)) for o in circuit.observables}) == [0, 4]


def test_iqp_is_the_zz_feature_map_of_qiskit() -> None:
    library = pytest.importorskip("qiskit.circuit.library")
    from qiskit.quantum_info import Statevector

    circuit = family("iqp", qubits=3, layers=2, trained=False)
    x = [0.4, -0.9, 1.7]
    reference = library.zz_feature_map(3, reps=2).assign_parameters(x)
    turned = Statevector(reference).data.reshape(2, 2, 2).T.reshape(-1)
    state = states(circuit, torch.tensor([x], dtype=torch.float64), torch.zeros(0, dtype=torch.float64))
    assert abs(complex(torch.vdot(torch.from_numpy(turned.copy()), state[0]))) == pytest.approx(1.0)


def test_qaoa_takes_a_weighted_graph_of_ones_own() -> None:
    circuit = family("qaoa", qubits=3, layers=1, edges=[[0, 1, 2.5], [2, 1]])
    assert float(run(circuit, [], [0.0, 0.0])) == pytest.approx(3.5 / 2)  # half of the weight
    # one layer on a single edge of weight c: <cut> = c/2 (1 + sin(4 beta') sin(c gamma)) with beta' = beta/2
    single = family("qaoa", qubits=2, layers=1, edges=[(0, 1, 2.5)])
    gamma, beta = 0.7, -0.4
    expected = 1.25 * (1 - math.sin(2 * beta) * math.sin(2.5 * gamma))
    assert float(run(single, [], [gamma, beta])) == pytest.approx(expected)
    for edges in ([[0, 3]], [[1, 1]], [[0, 1, 0.0]], [[0]], [[0, 1, math.inf]], [[0.5, 1]]):
        with pytest.raises(RequestError, match="edges of circuit qaoa"):
            family("qaoa", qubits=3, layers=1, edges=edges)


def test_a_field_of_qaoa_is_an_edge_to_a_vertex_that_stays_0() -> None:
    circuit = family("qaoa", qubits=1, layers=1, fields=[0.8])
    gamma, beta = 0.7, -0.4  # RX(beta) RZ(0.8 gamma) |+>: <Z> = sin(0.8 gamma) sin(beta)
    expected = 0.4 * (1 - math.sin(0.8 * gamma) * math.sin(beta))
    assert float(run(circuit, [], [gamma, beta])) == pytest.approx(expected)
    both = family("qaoa", qubits=2, layers=2, edges=[(0, 1, 0.5)], fields=[0.0, -1.5])
    assert float(run(both, [], [0.0] * 4)) == pytest.approx((0.5 - 1.5) / 2)
    for fields in ([1.0], [1.0, math.nan]):
        with pytest.raises(RequestError, match="fields of circuit qaoa"):
            family("qaoa", qubits=2, layers=1, fields=fields)
