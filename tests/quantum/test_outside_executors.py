"""PennyLane and Aer: the same numbers as our own executors, noise and shots included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from quantum_judges import all_gates, draw
from torch import Tensor

from qfedfm.circuits import Circuit, Gate, family, pauli
from qfedfm.core.errors import RequestError
from qfedfm.quantum import Noise, expectations

pytest.importorskip("pennylane")
pytest.importorskip("qiskit_aer")

EXECUTORS = ("pennylane:default.qubit", "aer")


def gradients(circuit: Circuit, inputs: Tensor, weights: Tensor, executor: str) -> list[Tensor]:
    x, w = inputs.clone().requires_grad_(), weights.clone().requires_grad_()
    out = expectations(circuit, x, w, executor)
    upstream = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).reshape(out.shape).sin()
    if not out.requires_grad:
        return [out, torch.zeros_like(x), torch.zeros_like(w)]
    found = torch.autograd.grad(out, (x, w), upstream, allow_unused=True)
    return [
        out.detach(),
        *(torch.zeros_like(a) if g is None else g for a, g in zip((x, w), found, strict=True)),
    ]


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")  # PennyLane's own
@pytest.mark.parametrize("executor", [*EXECUTORS, "aer:density_matrix", "pennylane:default.mixed"])
@pytest.mark.parametrize("seed", range(3))
def test_every_gate_and_pauli_string_agrees(seed: int, executor: str) -> None:
    circuit = all_gates(seed)  # not symmetric under any exchange of qubits
    inputs, weights = draw(circuit, batch=2, seed=seed)
    wanted = expectations(circuit, inputs, weights, "torch")
    got = expectations(circuit, inputs, weights, executor)
    # default.mixed rounds constants to single precision when it is called through torch
    tolerance = 1e-7 if executor.endswith("mixed") else 1e-10
    torch.testing.assert_close(got, wanted, rtol=0, atol=tolerance)


def test_lightning_agrees() -> None:
    circuit = family("strongly_entangling", qubits=3, layers=1)
    inputs, weights = draw(circuit, batch=2)
    reference = gradients(circuit, inputs, weights, "statevector")
    for got, wanted in zip(
        gradients(circuit, inputs, weights, "pennylane:lightning.qubit"), reference, strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-7)  # what lightning returns through torch


@pytest.mark.parametrize(
    "noise",
    [
        Noise(depolarizing=0.03),
        Noise(depolarizing_two=0.05),
        Noise(amplitude_damping=0.1),
        Noise(readout=0.04),
        Noise(depolarizing=0.01, depolarizing_two=0.02, amplitude_damping=0.03, readout=0.02),
    ],
)
def test_noise_is_the_same_on_pennylane_and_aer(noise: Noise) -> None:
    circuit = family("strongly_entangling", qubits=3, layers=2)
    circuit = circuit.with_observables([pauli("Z", 0), pauli("XY", 0, 2), pauli("Z", 2)])
    inputs, weights = draw(circuit, batch=2)
    clean = expectations(circuit, inputs, weights)
    mixed = expectations(circuit, inputs, weights, "pennylane:default.mixed", noise=noise)
    aer = expectations(circuit, inputs, weights, "aer:density_matrix", noise=noise)
    torch.testing.assert_close(mixed, aer, rtol=0, atol=1e-8)
    assert (mixed - clean).abs().max() > 1e-3


def test_depolarizing_means_the_total_error_probability() -> None:
    one = Circuit(1, (Gate("id", (0,)),), (pauli("Z", 0),))
    two = Circuit(2, (Gate("cx", (0, 1)),), (pauli("ZZ", 0, 1),))
    nothing = torch.zeros(1, 0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    for executor in ("pennylane:default.mixed", "aer:density_matrix"):
        # Z survives Z errors and changes sign under X and Y: 1 - 2 (2 p / 3)
        value = expectations(one, *nothing, executor, noise=Noise(depolarizing=0.3))
        assert float(value) == pytest.approx(1 - 4 * 0.3 / 3, abs=1e-12)
        # 8 of the 15 Paulis anticommute with ZZ
        value = expectations(two, *nothing, executor, noise=Noise(depolarizing_two=0.3))
        assert float(value) == pytest.approx(1 - 2 * 0.3 * 8 / 15, abs=1e-12)


def test_zero_gradients_survive_noise() -> None:
    circuit = family("reuploading", qubits=2, layers=2)
    inputs, weights = draw(circuit, batch=1)
    weights.requires_grad_()
    noise = Noise(depolarizing=0.05, amplitude_damping=0.1)
    expectations(circuit, inputs, weights, "aer:density_matrix", noise=noise).sum().backward()
    assert weights.grad is not None
    assert float(weights.grad[list(circuit.zero_gradient_weights)].abs().max()) <= 1e-12


def test_shots_of_aer_are_unbiased_with_the_right_spread() -> None:
    circuit = family("strongly_entangling", qubits=2, layers=1)
    circuit = circuit.with_observables([pauli("Z", 0), pauli("X", 1)])
    inputs, weights = draw(circuit, batch=4)
    exact = expectations(circuit, inputs, weights)
    shots, trials, generator = 400, 200, torch.Generator().manual_seed(5)
    repeated = inputs.repeat(trials, 1)
    found = expectations(circuit, repeated, weights, "aer", shots=shots, generator=generator)
    found = found.reshape(trials, 4, 2)
    sigma = ((1 - exact**2) / shots).sqrt()
    assert ((found - exact).abs() < 5 * sigma).all()
    assert ((found.mean(0) - exact).abs() < 5 * sigma / trials**0.5).all()
    spread = (((found - exact) / sigma) ** 2).mean().sqrt()  # over 1600 values: known to 2 %
    assert 0.9 < float(spread) < 1.1


def test_spsa_is_an_unbiased_gradient_from_two_circuits() -> None:
    circuit = family("strongly_entangling", qubits=2, layers=1)
    inputs, weights = draw(circuit, batch=1)
    exact = gradients(circuit, inputs, weights, "statevector")[2]
    copies = 2000
    x = inputs.expand(copies, -1, -1).contiguous()
    w = weights.expand(copies, -1).clone().requires_grad_()
    out = expectations(circuit, x, w, "aer", gradient="spsa", generator=torch.Generator().manual_seed(4))
    upstream = torch.linspace(-1, 2, 2, dtype=out.dtype).sin().expand_as(out)
    (found,) = torch.autograd.grad(out, w, upstream)
    error = found.std(0) / copies**0.5
    assert ((found.mean(0) - exact).abs() < 5 * error + 5e-3).all()  # and the bias of a finite step
    assert found.std() > 0.1
    with pytest.raises(RequestError, match="torch has exact gradients"):
        expectations(circuit, x, w, "torch", gradient="spsa")


@pytest.mark.slow
def test_a_fake_backend_is_noisy_and_close() -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    circuit = family("strongly_entangling", qubits=2, layers=1)
    inputs, weights = draw(circuit, batch=3)
    exact = expectations(circuit, inputs, weights)
    noisy = expectations(circuit, inputs, weights, "aer:fake_manila", shots=4000)
    assert 0 < (noisy - exact).abs().max() < 0.25
    wide = family("strongly_entangling", qubits=6, layers=1)
    with pytest.raises(RequestError, match="fake_manila has 5 qubits, the circuit needs 6"):
        expectations(wide, *draw(wide), "aer:fake_manila")


@pytest.mark.parametrize(
    ("executor", "options", "words"),
    [
        ("statevector", {"noise": Noise(depolarizing=0.1)}, "has no noise"),
        ("aer", {"noise": Noise(depolarizing=0.1)}, "needs density matrices"),
        ("pennylane:default.qubit", {"noise": Noise(depolarizing=0.1)}, "needs density matrices"),
        ("pennylane:default.qbit", {}, "no usable device"),
        ("pennylane", {}, "needs a device"),
        ("aer:fake_nothing", {}, "neither a method nor a fake backend"),
    ],
)
def test_what_cannot_be_run_is_said(executor: str, options: dict[str, Noise], words: str) -> None:
    circuit = family("strongly_entangling", qubits=2, layers=1)
    with pytest.raises(RequestError, match=words):
        expectations(circuit, *draw(circuit), executor, **options)


def test_amplitudes_as_inputs_have_values_but_no_shifted_gradients() -> None:
    from qfedfm.circuits import Register, weight_angle

    circuit = Circuit(
        2,
        (Gate("ry", (0,), (weight_angle(0),)), Gate("cx", (0, 1))),
        (pauli("Z", 1), pauli("X", 0)),
        (Register("amplitudes", 0, (4,)),),
        (Register("w", 0, (1,)),),
        amplitudes=True,
    )
    inputs, weights = draw(circuit, batch=3)
    wanted = expectations(circuit, inputs, weights)
    for executor in EXECUTORS:
        np.testing.assert_allclose(expectations(circuit, inputs, weights, executor), wanted, atol=1e-10)
    with pytest.raises(RequestError, match="no gradients"):
        expectations(circuit, inputs, weights.requires_grad_(), "aer")


@pytest.mark.parametrize("executor", ["aer", "aer:density_matrix", "pennylane:default.mixed"])
def test_readout_errors_of_single_shots(executor: str) -> None:
    # |11>: a bit flipped with probability p makes <Z> of -1 + 2 p and <ZZ> of (1 - 2 p)**2.
    circuit = Circuit(
        2, (Gate("x", (0,)), Gate("x", (1,))), (pauli("Z", 0), pauli("Z", 1), pauli("ZZ", 0, 1))
    )
    x, w = torch.zeros(1, 0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    p, shots = 0.15, 4000
    exact = expectations(circuit, x, w, executor, noise=Noise(readout=p))[0]
    torch.testing.assert_close(
        exact, torch.tensor([2 * p - 1, 2 * p - 1, (1 - 2 * p) ** 2], dtype=torch.float64)
    )
    sigma = ((1 - exact**2) / shots).sqrt()
    generator = torch.Generator().manual_seed(9)
    trials = torch.stack(
        [
            expectations(circuit, x, w, executor, shots=shots, noise=Noise(readout=p), generator=generator)[0]
            for _ in range(20)
        ]
    )
    assert ((trials - exact).abs() < 5 * sigma).all()
    assert ((trials.mean(0) - exact).abs() < 5 * sigma / 20**0.5).all()
    assert trials.std(0).min() > 0


def test_readout_errors_with_rotated_bases_and_gate_noise_agree() -> None:
    circuit = family("strongly_entangling", qubits=2, layers=1)
    circuit = circuit.with_observables([pauli("X", 0), pauli("YZ", 0, 1)])
    inputs, weights = draw(circuit, batch=1)
    noise = Noise(depolarizing=0.02, depolarizing_two=0.05, readout=0.1)
    shots = 20_000
    for executor in ("aer:density_matrix", "pennylane:default.mixed"):
        exact = expectations(circuit, inputs, weights, executor, noise=noise)
        found = expectations(
            circuit,
            inputs,
            weights,
            executor,
            noise=noise,
            shots=shots,
            generator=torch.Generator().manual_seed(2),
        )
        assert ((found - exact).abs() < 5 * ((1 - exact**2) / shots).sqrt()).all()


def test_readout_errors_of_shots_need_a_simulator_of_noise() -> None:
    circuit = family("strongly_entangling", qubits=2, layers=1)
    with pytest.raises(RequestError, match=r"need pennylane:default\.mixed or aer"):
        expectations(circuit, *draw(circuit), "pennylane:default.qubit", shots=10, noise=Noise(readout=0.1))


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", ["u3", "rot"])
def test_constants_and_parameters_mix_in_one_gate(name: str, executor: str) -> None:
    from qfedfm.circuits import Register, constant, input_angle, weight_angle

    gates = (Gate("h", (0,)), Gate(name, (0,), (input_angle(0), constant(0.5), weight_angle(0))))
    registers = (Register("x", 0, (1,)),), (Register("w", 0, (1,)),)
    circuit = Circuit(1, gates, (pauli("Z", 0), pauli("X", 0)), *registers)
    inputs, weights = draw(circuit)
    wanted = expectations(circuit, inputs, weights)
    torch.testing.assert_close(expectations(circuit, inputs, weights, executor), wanted, rtol=0, atol=1e-12)
