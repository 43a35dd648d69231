"""Heads: batched over clients, controls that match, and random starts from named streams."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from qfedfm.circuits import families
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.models.heads import Head, HeadConfig
from qfedfm.models.heads.matched_mlp import PerceptronCore

KINDS = ["linear", "mlp", "quantum", "matched_mlp", "frozen_quantum", "unentangled", "random_features"]
STREAMS = Streams(11)


def head(kind: str, features: int = 10, classes: int = 3, **options: Any) -> Head:
    config: Any = TypeAdapter(HeadConfig).validate_python({"kind": kind} | options)
    built: Head = config.build(features, classes, STREAMS.at("head"))
    return built


def size(head: Head, names: tuple[str, ...] | None = None) -> int:
    return sum(math.prod(s) for n, s in head.layout.entries if names is None or n in names)


def many(head: Head, clients: int) -> dict[str, torch.Tensor]:
    starts = [head.initial(Streams(k)) for k in range(clients)]
    return {name: torch.stack([start[name] for start in starts]) for name in head.layout.names}


@pytest.mark.parametrize("kind", KINDS)
def test_clients_together_equal_clients_one_by_one(kind: str) -> None:
    built, x = head(kind), torch.randn(5, 7, 10, generator=torch.Generator().manual_seed(1))
    params = {name: tensor.requires_grad_(True) for name, tensor in many(built, 5).items()}
    together = built.logits(params, x)
    assert together.shape == (5, 7, 3)
    together.square().sum().backward()
    for k in range(5):
        alone = {n: t.detach()[k].clone().requires_grad_(True) for n, t in params.items()}
        logits = built.logits(alone, x[k])
        torch.testing.assert_close(logits, together[k], rtol=1e-5, atol=1e-6)
        logits.square().sum().backward()
        for name, tensor in alone.items():
            torch.testing.assert_close(tensor.grad, params[name].grad[k], rtol=1e-4, atol=1e-5)  # type: ignore[index]


@pytest.mark.parametrize("kind", KINDS)
def test_no_trained_number_has_a_zero_gradient(kind: str) -> None:
    built, x = head(kind), torch.randn(16, 10, generator=torch.Generator().manual_seed(2))
    params = {n: t.requires_grad_(True) for n, t in built.initial(STREAMS).items()}
    torch.nn.functional.cross_entropy(built.logits(params, x), torch.arange(16) % 3).backward()
    for name, tensor in params.items():
        assert tensor.grad is not None and bool((tensor.grad.abs() > 1e-9).all()), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_is_drawn_from_its_streams_alone(kind: str) -> None:
    before = torch.get_rng_state()
    one, two = head(kind), head(kind)
    first, second = one.initial(STREAMS), two.initial(STREAMS)
    assert torch.equal(before, torch.get_rng_state())
    assert list(first) == list(one.layout.names)
    assert {n: tuple(t.shape) for n, t in first.items()} == dict(one.layout.entries)
    for name in first:
        assert torch.equal(first[name], second[name])
        assert not torch.equal(first[name], one.initial(Streams(12))[name])
    for name, constant in one.constants.items():
        assert torch.equal(constant, two.constants[name])


HEADS = [
    "basic_entangler",
    "convolution",
    "hardware_efficient",
    "matchgate",
    "reuploading",
    "strongly_entangling",
]


@pytest.mark.parametrize("family", HEADS)
@pytest.mark.parametrize("layers", [1, 2, 3, 5])
@pytest.mark.parametrize("qubits", [2, 3, 4, 6])
def test_the_matched_mlp_has_exactly_as_many_parameters(family: str, layers: int, qubits: int) -> None:
    options = {"qubits": qubits, "layers": layers, "family": family}
    quantum, matched = head("quantum", **options), head("matched_mlp", **options)
    assert size(matched) == size(quantum)
    assert size(matched, matched.replaced) == size(quantum, quantum.replaced) == quantum.quantum_parameters
    assert matched.quantum_parameters == 0 and matched.circuit is None


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 80))
def test_a_perceptron_of_any_count_has_no_dead_number(inputs: int, outputs: int, count: int) -> None:
    core = PerceptronCore(inputs, outputs, count, "cpu")
    params = {n: t.requires_grad_(True) for n, t in core.initial(STREAMS).items()}
    assert sum(t.numel() for t in params.values()) == count
    angles = torch.randn(32, inputs, generator=torch.Generator().manual_seed(3))
    out = core.apply(params, core.constants, angles)
    assert out.shape == (32, outputs) and bool((out.abs() <= 1).all())
    if count:
        (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(4))).sum().backward()
        assert all(bool((t.grad != 0).all()) for t in params.values() if t.grad is not None)
        assert all(t.grad is not None for t in params.values())


def test_a_quantum_head_is_projection_angles_circuit_output() -> None:
    from qfedfm.quantum import expectations

    built = head("quantum", qubits=3, layers=2)
    params, x = built.initial(STREAMS), torch.randn(4, 10, generator=torch.Generator().manual_seed(5))
    assert built.circuit is not None
    weights = torch.zeros(built.circuit.n_weights)
    trained = [i for i in range(len(weights)) if i not in built.circuit.zero_gradient_weights]
    weights[trained] = params["circuit.weights"]
    angles = math.pi * torch.tanh(x / 10**0.5 @ params["projection.weight"].T + params["projection.bias"])
    values = expectations(built.circuit, angles, weights)
    expected = 5.0 * values @ params["output.weight"].T + params["output.bias"]
    torch.testing.assert_close(built.logits(params, x), expected)
    assert built.quantum_parameters == len(trained) == 3 * 3 * 2 - 3


def test_controls_differ_from_the_quantum_head_in_one_part() -> None:
    quantum, frozen, free = head("quantum"), head("frozen_quantum"), head("unentangled")
    assert frozen.quantum_parameters == 0
    assert set(frozen.constants) == {"circuit.weights"}
    assert set(quantum.layout.names) - set(frozen.layout.names) == {"circuit.weights"}
    assert frozen.circuit is not None and quantum.circuit is not None and free.circuit is not None
    assert frozen.circuit.hash == quantum.circuit.hash
    assert free.circuit.two_qubit_count == 0 < quantum.circuit.two_qubit_count
    start, other = quantum.initial(STREAMS), head("random_features").initial(STREAMS)
    for name in ("projection.weight", "output.bias"):  # paired comparisons begin alike
        assert torch.equal(start[name], other[name])


def test_circuits_that_take_nothing_or_train_nothing_are_no_heads() -> None:
    for name in set(families()) & {"qaoa", "qft_sum", "ghz_phase_sum"}:
        with pytest.raises(RequestError, match="cannot be a head"):
            head("quantum", family=name, layers=1)


def test_too_many_qubits_are_refused_with_the_bytes_they_need() -> None:
    with pytest.raises(RequestError, match=r"40 qubits.* bytes"):
        head("quantum", qubits=40, layers=1)


@pytest.mark.parametrize("kind", KINDS[2:])
def test_the_bound_is_the_largest_angle(kind: str) -> None:
    built, x = head(kind, bound=0.25), 1e6 * torch.randn(4, 10, generator=torch.Generator().manual_seed(6))
    seen: list[torch.Tensor] = []
    core: Any = built._core  # type: ignore[attr-defined]
    original = core.apply
    core.apply = lambda params, constants, angles: (seen.append(angles), original(params, constants, angles))[
        1
    ]
    built.logits(built.initial(STREAMS), x)
    assert seen[0].abs().max() == pytest.approx(0.25)
