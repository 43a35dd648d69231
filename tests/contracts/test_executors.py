"""What every executor must do: the same shapes, client axes, dtypes, gradients and refusals."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from qfedfm.circuits import Circuit, Gate, Register, family, input_angle, pauli, weight_angle
from qfedfm.core.errors import RequestError
from qfedfm.quantum import QuantumLayer, check_executor, expectations

EXECUTORS = (
    "statevector",
    "torch",
    "auto",
    "pennylane:default.qubit",
    "pennylane:lightning.qubit",
    "pennylane:default.mixed",
    "aer",
    "aer:density_matrix",
    "aer:matrix_product_state",
)
# What its own arithmetic leaves: default.mixed and lightning return single precision through torch.
TOLERANCE = {"pennylane:default.mixed": 2e-7, "pennylane:lightning.qubit": 2e-7}

pytestmark = pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")  # PennyLane's


@pytest.fixture(params=EXECUTORS)
def executor(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    pytest.importorskip({"pennylane": "pennylane", "aer": "qiskit_aer"}.get(name.partition(":")[0], "torch"))
    return name


def circuit() -> Circuit:
    """Three qubits, no symmetry between them, inputs and weights mixed, X and Y measured too."""
    gates = (
        Gate("ry", (0,), (input_angle(0),)),
        Gate("rx", (2,), (input_angle(1) * weight_angle(0) + 0.3,)),
        Gate("cx", (0, 2)),
        Gate("rzz", (1, 2), (weight_angle(1),)),
        Gate("ry", (1,), (weight_angle(2) + input_angle(0),)),
        Gate("cx", (2, 1)),
    )
    observables = (pauli("Z", 0), pauli("XY", 0, 2), pauli("Z", 2, coefficient=0.5))
    return Circuit(3, gates, observables, (Register("x", 0, (2,)),), (Register("w", 0, (3,)),))


def draw(*clients: int, batch: int = 3, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(*clients, batch, 2, generator=generator, dtype=dtype)
    return x, torch.randn(*clients, 3, generator=generator, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clients", [(), (2,), (2, 1)])
def test_shape_dtype_and_values(executor: str, clients: tuple[int, ...], dtype: torch.dtype) -> None:
    x, w = draw(*clients, dtype=dtype)
    out = expectations(circuit(), x, w, executor)
    assert out.shape == (*clients, 3, 3) and out.dtype == dtype and out.device == x.device
    assert out.is_contiguous() or out.numel()
    wanted = expectations(circuit(), x.double(), w.double(), "torch")
    tolerance = 1e-5 if dtype == torch.float32 else TOLERANCE.get(executor, 1e-10)
    torch.testing.assert_close(out.double(), wanted, rtol=0, atol=tolerance)


def test_gradients_by_inputs_and_weights(executor: str) -> None:
    found = []
    for name in (executor, "torch"):
        x, w = (t.requires_grad_() for t in draw(2))
        out = expectations(circuit(), x, w, name)
        upstream = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).reshape(out.shape)
        found.append(torch.autograd.grad(out, (x, w), upstream))
    for got, wanted in zip(*found, strict=True):
        assert got.dtype == wanted.dtype
        torch.testing.assert_close(got, wanted, rtol=0, atol=max(1e-9, 5 * TOLERANCE.get(executor, 0)))


def test_clients_together_are_the_clients_alone(executor: str) -> None:
    x, w = draw(3)
    together = expectations(circuit(), x, w, executor)
    for k in range(3):
        alone = expectations(circuit(), x[k], w[k], executor)
        # to the last bit where one kernel runs each client by itself; else what summing in batches leaves
        exact = executor in ("statevector", "auto")
        torch.testing.assert_close(
            together[k], alone, rtol=0, atol=0 if exact else TOLERANCE.get(executor, 1e-13)
        )


def test_no_samples_of_one_client_touch_another(executor: str) -> None:
    x, w = draw(2)
    before = expectations(circuit(), x, w, executor)
    w[1] += 1.0
    after = expectations(circuit(), x, w, executor)
    torch.testing.assert_close(before[0], after[0], rtol=0, atol=1e-13)
    assert (before[1] - after[1]).abs().max() > 0.01


def test_the_layer_has_the_same_numbers(executor: str) -> None:
    x, w = draw()
    layer = QuantumLayer(circuit(), executor, weights=w)
    torch.testing.assert_close(
        layer(x), expectations(circuit(), x, w, executor), rtol=0, atol=TOLERANCE.get(executor, 1e-13)
    )


@pytest.mark.parametrize(
    ("x", "w", "words"),
    [
        (torch.zeros(2, 3), torch.zeros(3), r"inputs of shape \(\*clients, batch, 2\), got \(2, 3\)"),
        (torch.zeros(2), torch.zeros(3), "inputs of shape"),
        (torch.zeros(2, 2), torch.zeros(4), r"weights of shape \(3,\)"),
        (torch.zeros(5, 2, 2), torch.zeros(3), r"weights of shape \(5, 3\)"),
        (torch.zeros(2, 2), torch.zeros(3).double(), "both be float32 or both float64"),
        (torch.tensor([[0.0, torch.nan]]), torch.zeros(3), "inputs .* contain NaN or infinity"),
        (torch.zeros(1, 2), torch.tensor([0.0, torch.inf, 0.0]), "weights .* contain NaN or infinity"),
    ],
)
def test_refusals(executor: str, x: Tensor, w: Tensor, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        expectations(circuit(), x, w, executor)


def test_large_finite_angles_are_no_infinities(executor: str) -> None:
    x, w = draw(dtype=torch.float32)
    x[0, 0] = 1e20  # its square is not a float32
    assert expectations(circuit(), x, w, executor).isfinite().all()


def test_shots(executor: str) -> None:
    x, w = draw()
    draws = [
        expectations(circuit(), x, w, executor, shots=200, generator=torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    ]
    assert draws[0].shape == (3, 3)
    torch.testing.assert_close(draws[0], draws[1], rtol=0, atol=0)
    assert not torch.equal(draws[0], draws[2])
    exact = expectations(circuit(), x, w, "torch")
    scale = torch.tensor([1.0, 1.0, 0.5])
    assert ((draws[0] - exact).abs() < 5 * ((scale**2 - exact**2) / 200).sqrt()).all()
    with pytest.raises(RequestError, match="shots must be at least 1"):
        expectations(circuit(), x, w, executor, shots=0)


def test_an_observable_on_a_missing_qubit_is_refused() -> None:
    with pytest.raises(RequestError, match="observable Z3 is on qubit 3, but the circuit has qubits 0 to 2"):
        circuit().with_observables([pauli("Z", 3)])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("statevectr", "unknown executor 'statevectr' .*did you mean 'statevector'"),
        ("aer:", "unknown executor"),
        ("pennylane", "needs a device"),
    ],
)
def test_unknown_executors(name: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        check_executor(name)
    with pytest.raises(RequestError, match=words):
        expectations(circuit(), *draw(), name)


def test_a_fake_backend_that_is_too_small() -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    wide = family("basic_entangler", qubits=6, layers=1)
    with pytest.raises(RequestError, match="fake_manila has 5 qubits, the circuit needs 6"):
        expectations(wide, torch.zeros(1, 6), torch.zeros(6), "aer:fake_manila")
