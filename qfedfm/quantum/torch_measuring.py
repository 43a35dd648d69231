"""Expectation values and measured samples of a batch of states, in torch."""

from __future__ import annotations

import torch
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.quantum.lowering import Index, diagonal, masks, parity_signs


def pauli_action(
    qubits: int, x: int, z: int, ys: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Returns index ``(2**n,)`` and phase ``(2**n, 1)`` with ``(P s)[i] = phase[i] * s[index[i]]``."""
    index = torch.arange(2**qubits, device=device) ^ x
    signs = torch.tensor(parity_signs(qubits, z), device=device).to(dtype)
    unit = torch.tensor((1, -1j, -1, 1j)[ys % 4], device=device).to(dtype.to_complex())
    return index, (signs * unit).unsqueeze(-1)


class Measurement:
    """The observables of a circuit, prepared for states of shape ``(N, 2**n, C)``.

    Args:
        circuit: Its observables are measured.
        trailing: Index of a last permutation that was not carried out (diagonal observables only):
            it is folded into the observables instead.
        dtype: Real dtype.
        device: Where.
    """

    def __init__(
        self, circuit: Circuit, trailing: Index | None, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.diagonals: Tensor | None = None
        self.others: list[tuple[Tensor, Tensor]] = []
        n = circuit.qubits
        if all(observable.diagonal for observable in circuit.observables):
            rows = torch.stack([torch.from_numpy(diagonal(n, o)) for o in circuit.observables])
            if trailing is not None:
                folded = torch.empty_like(rows)
                folded[:, torch.from_numpy(trailing)] = rows
                rows = folded
            self.diagonals = rows.to(device, dtype)
            return
        # One indexing for all strings that flip the same qubits.
        by_flip: dict[int, Tensor] = {}
        for row, observable in enumerate(circuit.observables):
            for coefficient, string in observable.terms:
                x, z, ys = masks(n, string)
                phases = by_flip.setdefault(
                    x, torch.zeros(circuit.n_observables, 2**n, dtype=dtype.to_complex(), device=device)
                )
                phases[row] += coefficient * pauli_action(n, x, z, ys, dtype, device)[1].squeeze(-1)
        for x, phases in by_flip.items():
            self.others.append((torch.arange(2**n, device=device) ^ x, phases))

    def __call__(self, state: Tensor) -> Tensor:
        """Returns the expectation values, shape ``(N, observables, C)``."""
        if self.diagonals is not None:
            planes = torch.view_as_real(state)
            return self.diagonals @ (planes * planes).sum(-1)
        total: Tensor | None = None
        for index, phases in self.others:
            value = (phases @ (state.conj() * state.index_select(1, index))).real
            total = value if total is None else total + value
        assert total is not None
        return total


def sampled_expectations(
    circuit: Circuit, states: Tensor, shots: int, generator: torch.Generator | None
) -> Tensor:
    """Estimates the expectation values from measured bit strings.

    Observables that can be read off one setting (on every qubit they want the same letter or none) share
    their shots; every setting takes ``shots`` of them.

    Args:
        circuit: Its observables are measured.
        states: Complex states, shape ``(..., 2**n)``.
        shots: Shots per setting, at least 1.
        generator: Source of randomness; torch's default generator if none is given.

    Returns:
        Estimates, shape ``(..., observables)``, without gradient.
    """
    n = circuit.qubits
    flat = states.detach().reshape(-1, 2**n)
    real = flat.real.dtype
    settings: list[tuple[dict[int, str], list[tuple[int, float, int]]]] = []
    for row, observable in enumerate(circuit.observables):
        for coefficient, string in observable.terms:
            mask = sum(1 << (n - 1 - qubit) for qubit, _ in string)
            for setting, members in settings:
                if all(setting.get(qubit, letter) == letter for qubit, letter in string):
                    setting.update(string)
                    members.append((row, coefficient, mask))
                    break
            else:
                settings.append((dict(string), [(row, coefficient, mask)]))
    result = torch.zeros(flat.shape[0], circuit.n_observables, dtype=real, device=flat.device)
    for setting, members in settings:
        probabilities = _rotate_to_basis(flat, setting, n).abs().square().to(torch.float64)
        drawn = torch.multinomial(probabilities, shots, replacement=True, generator=generator)
        for row, coefficient, mask in members:
            signs = torch.tensor(parity_signs(n, mask), device=flat.device)
            result[:, row] += coefficient * signs[drawn].to(torch.float64).mean(-1).to(real)
    return result.reshape(*states.shape[:-1], -1)


def _rotate_to_basis(flat: Tensor, setting: dict[int, str], qubits: int) -> Tensor:
    root = 0.5**0.5
    rows = {"X": [[root, root], [root, -root]], "Y": [[root, -1j * root], [root, 1j * root]]}
    for qubit, letter in setting.items():
        if letter != "Z":
            matrix = torch.tensor(rows[letter], dtype=flat.dtype, device=flat.device)
            shaped = flat.reshape(flat.shape[0], 1 << qubit, 2, -1)
            flat = torch.einsum("ab,nlbr->nlar", matrix, shaped).reshape(flat.shape[0], 2**qubits)
    return flat
