"""Executor ``aer[:method]`` and ``aer:<fake backend>``: Qiskit Aer, all samples in one broadcast run.

The circuit is built from its Pauli rotations, each with a parameter of its own, and transpiled once; the
angles of all samples of all clients are bound in one job. Gradients are parameter shifts of these
rotations (each has the eigenvalues +-1/2), again in one job. Qiskit's qubit 0 is the *least* significant
bit; circuits are handed over with the same qubit numbers, so only bit strings have to be read in reverse.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter
from qiskit.quantum_info import Pauli
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, amplitude_damping_error, depolarizing_error
from torch import Tensor

from qfedfm.circuits import Angle, Circuit, Gate, Permutation, Rotation
from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError
from qfedfm.quantum.ibm.book import active_book
from qfedfm.quantum.noise import Noise
from qfedfm.quantum.pauli_strings import AngleColumns, settings_of, strings_of

METHODS = ("statevector", "density_matrix", "matrix_product_state")


def append_primitive(target: QuantumCircuit, primitive: Rotation | Permutation, angle: Any) -> None:
    """Appends a Pauli rotation (by ``angle``) or a permutation to a Qiskit circuit."""
    if isinstance(primitive, Permutation):
        getattr(target, primitive.name)(*primitive.qubits)
    elif primitive.letters == "ZY":  # Y = S X S^dagger
        target.sdg(primitive.qubits[1])
        target.rzx(angle, *primitive.qubits)
        target.s(primitive.qubits[1])
    else:
        getattr(target, f"r{primitive.letters.lower()}")(angle, *primitive.qubits)


def append_noise(target: QuantumCircuit, gate: Gate, noise: Noise) -> None:
    """Appends the errors that follow a gate."""
    if len(gate.qubits) == 2 and noise.depolarizing_two:
        error = depolarizing_error(noise.depolarizing_two * 16 / 15, 2)
        target.append(error.to_instruction(), list(gate.qubits))
    for qubit in gate.qubits:
        if len(gate.qubits) == 1 and noise.depolarizing:
            target.append(depolarizing_error(noise.depolarizing * 4 / 3, 1).to_instruction(), [qubit])
        if noise.amplitude_damping:
            target.append(amplitude_damping_error(noise.amplitude_damping).to_instruction(), [qubit])


def simulator(name: str, qubits: int) -> tuple[Any, bool]:
    """Returns the simulator of an executor name, and whether it is a fake backend.

    Raises:
        RequestError: No such method or fake backend, or one with too few qubits.
    """
    if name in METHODS:
        return AerSimulator(method=name), False
    try:
        from qiskit_ibm_runtime import fake_provider
    except ImportError as error:
        raise RequestError(f"aer:{name} needs the extra qfedfm[ibm]") from error
    classes = {
        kind.lower().removesuffix("v2"): kind for kind in dir(fake_provider) if kind.startswith("Fake")
    }
    kind = classes.get(name.replace("_", ""))
    if kind is None:
        known = [
            f"fake_{other.removeprefix('fake')}" for other in classes if not other.startswith("fakeprov")
        ]
        raise RequestError(
            f"aer knows neither a method nor a fake backend {name!r}{nearest(name, [*known, *METHODS])}"
        )
    device = getattr(fake_provider, kind)()
    if device.num_qubits < qubits:
        raise RequestError(f"{name} has {device.num_qubits} qubits, the circuit needs {qubits}")
    # Trajectories are far slower than density matrices while those are small.
    method = "density_matrix" if qubits <= 10 else "statevector"
    return AerSimulator.from_backend(device, method=method), True


class Prepared:
    """A circuit transpiled for one simulator."""

    def __init__(self, circuit: Circuit, name: str, noise: Noise) -> None:
        noise.check(circuit)
        if noise.on_gates and name != "density_matrix":
            raise RequestError(f"noise needs density matrices: use aer:density_matrix, not aer:{name}")
        self.circuit, self.noise = circuit, noise
        self.backend, self.fake = simulator(name, circuit.qubits)
        if self.fake and noise != Noise():
            raise RequestError(f"aer:{name} has the noise of its device: give no other")
        self._readout: dict[str, Any] = {}
        if noise.readout:
            # Given to each run, not to the simulator: its noise model would restrict the gates it takes.
            model, p = NoiseModel(), noise.readout
            model.add_all_qubit_readout_error(ReadoutError([[1 - p, p], [p, 1 - p]]))
            self._readout = {"noise_model": model}
        self.strings = strings_of(circuit)
        self.parameters: list[Parameter] = []
        angles: list[Angle] = []
        base = QuantumCircuit(circuit.qubits)
        for gate in circuit.gates:
            for primitive in gate.primitives():
                angle: Any = None
                if isinstance(primitive, Rotation):
                    angle = primitive.angle.offset
                    if primitive.angle.terms:
                        angle = Parameter(f"a{len(angles)}")
                        self.parameters.append(angle)
                        angles.append(primitive.angle)
                append_primitive(base, primitive, angle)
            if noise.on_gates:
                append_noise(base, gate, noise)
        self.columns = AngleColumns(circuit, angles)
        self.base = base
        self._exact: QuantumCircuit | None = None
        self._settings: list[tuple[dict[int, str], list[int], QuantumCircuit]] | None = None

    def exact(self) -> QuantumCircuit:
        """The circuit with all Pauli strings saved at its end, transpiled."""
        if self._exact is None:
            whole = self._transpile(self.base)
            layout = whole.layout.final_index_layout() if whole.layout else range(self.circuit.qubits)
            for number, string in enumerate(self.strings.strings):
                letters = "".join(letter for _, letter in reversed(string)) or "I"
                qubits = [layout[qubit] for qubit, _ in string] or [0]
                whole.save_expectation_value(Pauli(letters), qubits, label=f"s{number}")
            self._exact = whole
        return self._exact

    def settings(self) -> list[tuple[dict[int, str], list[int], QuantumCircuit]]:
        """Measured circuits: the letters on the qubits, the strings read off them, the circuit."""
        if self._settings is None:
            self._settings = []
            for letters, members in settings_of(self.strings.strings):
                whole = self.base.copy()
                for qubit, letter in letters.items():
                    if letter == "Y":
                        whole.sdg(qubit)
                    if letter in "XY":
                        whole.h(qubit)
                whole.measure_all()
                self._settings.append((letters, members, self._transpile(whole)))
        return self._settings

    def _transpile(self, circuit: QuantumCircuit) -> QuantumCircuit:
        if self.fake:
            return transpile(circuit, self.backend, optimization_level=1, seed_transpiler=7)
        # Only into gates that the method has: what is measured is the circuit as it stands.
        return transpile(circuit, self.backend, optimization_level=0)

    def values(self, angles: Any, amplitudes: Any, shots: int | None, seed: int) -> Any:
        """Returns the Pauli strings, shape ``(N, strings)``, for angles ``(N, columns)``."""
        if shots is None:
            result = self._run([self.exact()], angles, amplitudes, {})
            labels = [f"s{number}" for number in range(len(self.strings.strings))]
            data = [result.data(sample) for sample in range(len(angles))]
            return np.array([[np.real(row[label]) for label in labels] for row in data])
        out = np.zeros((len(angles), len(self.strings.strings)))
        for offset, (_, members, measured) in enumerate(self.settings()):
            options = {"shots": shots, "seed_simulator": seed + offset, **self._readout}
            result = self._run([measured], angles, amplitudes, options)
            for sample in range(len(angles)):
                counts = result.data(sample)["counts"]
                bits = np.array([int(key, 16) for key in counts], dtype=np.int64)
                share = np.array(list(counts.values()), dtype=float) / shots
                for number in members:
                    mask = sum(1 << qubit for qubit, _ in self.strings.strings[number])
                    signs = 1 - 2 * (np.bitwise_count(bits & mask) & 1).astype(float)
                    out[sample, number] = signs @ share
        return out

    def _run(
        self, circuits: list[QuantumCircuit], angles: Any, amplitudes: Any, options: dict[str, Any]
    ) -> Any:
        if amplitudes is not None:
            bound = []
            for row, amplitude in zip(angles, amplitudes, strict=True):
                start = QuantumCircuit(*circuits[0].qregs, *circuits[0].cregs)
                # Qiskit's index has qubit 0 as its lowest bit.
                turned = amplitude.reshape((2,) * self.circuit.qubits).T.reshape(-1)
                start.initialize((turned / np.linalg.norm(turned)).tolist(), range(self.circuit.qubits))
                body = circuits[0].assign_parameters(dict(zip(self.parameters, row, strict=True)))
                bound.append(start.compose(body))
            job = self.backend.run(bound, **options)
        elif self.parameters:
            binds = {
                parameter: angles[:, column].tolist() for column, parameter in enumerate(self.parameters)
            }
            job = self.backend.run(circuits, parameter_binds=[binds], **options)
        else:
            job = self.backend.run(circuits * len(angles), **options)
        result = job.result()
        if not result.success:
            raise RequestError(f"Aer cannot run circuit {self.circuit.name}: {result.status}")
        return result


#: How far SPSA moves every angle, radians.
SPSA_STEP = 0.1


class _Shifted(torch.autograd.Function):
    """Values of the strings by the angles; derivatives by parameter shift or SPSA, in one job."""

    @staticmethod
    def forward(
        ctx: Any, angles: Tensor, prepared: Prepared, shots: int | None, seed: int, gradient: str
    ) -> Tensor:
        ctx.save_for_backward(angles)
        ctx.rest = prepared, shots, seed, gradient
        return torch.from_numpy(prepared.values(angles.detach().numpy(), None, shots, seed))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None, None]:
        (angles,) = ctx.saved_tensors
        prepared, shots, seed, gradient = ctx.rest
        count, columns = angles.shape
        if gradient == "spsa":
            # All angles at once along a random corner: two evaluations, whatever their number.
            corner = torch.from_numpy(np.random.default_rng(seed).choice([-1.0, 1.0], (count, columns)))
            moved = torch.stack([angles + SPSA_STEP * corner, angles - SPSA_STEP * corner], dim=1)
            values = prepared.values(moved.flatten(0, 1).numpy(), None, shots, seed + 1)
            plus, minus = torch.from_numpy(values).reshape(count, 2, -1).unbind(1)
            slope = ((plus - minus) * upstream).sum(-1, keepdim=True) / (2 * SPSA_STEP)
            return slope * corner, None, None, None, None
        shifts = math.pi / 2 * torch.eye(columns, dtype=angles.dtype)
        moved = torch.cat([angles.unsqueeze(1) + shifts, angles.unsqueeze(1) - shifts], dim=1)
        values = prepared.values(moved.flatten(0, 1).numpy(), None, shots, seed + 1)
        plus, minus = torch.from_numpy(values).reshape(count, 2, columns, -1).unbind(1)
        return ((plus - minus) / 2 @ upstream.unsqueeze(-1)).squeeze(-1), None, None, None, None


@lru_cache(maxsize=32)
def prepared(circuit: Circuit, name: str, noise: Noise) -> Prepared:
    """Returns the transpiled circuit; recent ones are kept."""
    return Prepared(circuit, name, noise)


def run(
    circuit: Circuit,
    inputs: Tensor,
    weights: Tensor,
    name: str,
    noise: Noise,
    shots: int | None,
    generator: torch.Generator | None,
    gradient: str,
) -> Tensor:
    """Returns ``(K, B, observables)`` for inputs ``(K, B, n)`` and weights ``(K, m)``."""
    ready = prepared(circuit, name or "statevector", noise)
    book = active_book()
    if book is not None and ready.fake and shots is not None:
        from qfedfm.quantum.ibm.aer_device import aer_device
        from qfedfm.quantum.ibm.loop import in_loop

        return in_loop(aer_device(ready, f"aer:{name}", shots), circuit, inputs, weights, book, gradient)
    drawn = shots is not None or gradient == "spsa"
    seed = int(torch.randint(2**30, (), generator=generator)) if drawn else 0
    angles = ready.columns(inputs, weights)
    if circuit.amplitudes:
        if torch.is_grad_enabled() and (inputs.requires_grad or weights.requires_grad):
            raise RequestError(
                "aer has no gradients of circuits with amplitudes as inputs (no parameter shift): use torch"
            )
        start = inputs.detach().to("cpu", torch.float64).flatten(0, 1).numpy()
        values = torch.from_numpy(ready.values(angles.detach().numpy(), start, shots, seed))
    else:
        values = _Shifted.apply(angles, ready, shots, seed, gradient)  # type: ignore[no-untyped-call]
    # Measured bits were flipped one by one; exact values shrink instead.
    out = ready.strings.combine(values, noise.readout if shots is None else 0.0)
    return out.reshape(*inputs.shape[:2], -1).to(inputs.device, inputs.dtype)
