"""PennyLane plug-in: ``qml.device("qfedfm.statevector", wires=n)`` runs on the compiled executor.

Expectation values of Pauli sums are computed, and differentiated by vector-Jacobian products, by the
compiled kernel, parameter broadcasting included. Everything else that PennyLane measures (probabilities,
variances, samples, counts, Hermitian observables) is measured by PennyLane on the final state that the
package's torch executor computes; such circuits have no device derivative, and PennyLane differentiates
them by parameter shift. States themselves are not returned: the package keeps no global phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pennylane as qml
import torch
from pennylane.devices import Device, ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.devices.preprocess import decompose, validate_device_wires, validate_measurements
from pennylane.devices.qubit.simulate import measure_final_state
from pennylane.exceptions import DeviceError
from pennylane.transforms import defer_measurements
from pennylane.transforms.core import CompilePipeline

from qfedfm.quantum import statevector
from qfedfm.quantum.memory import check_memory
from qfedfm.quantum.pennylane_tapes import Form, accepts, expectation_strings, form, numbers
from qfedfm.quantum.running import states

_METHODS = ("best", "device", "adjoint")


def _measures_no_state(measurement: Any) -> bool:
    return not isinstance(measurement, qml.measurements.StateMP) or isinstance(
        measurement, qml.measurements.DensityMatrixMP
    )


def _fast(tape: Any) -> bool:
    """Whether the compiled kernel computes all that a tape measures."""
    return not tape.shots and all(expectation_strings(m) is not None for m in tape.measurements)


@simulator_tracking
@single_tape_support
class StatevectorDevice(Device):  # type: ignore[misc]
    """The compiled statevector as a PennyLane device.

    Args:
        wires: Number of wires, or their labels; any number of integers if not given.
        shots: Default number of shots; exact values if not given.
        seed: Seed of the generator that draws shots.
    """

    name = "qfedfm.statevector"

    def __init__(self, wires: Any = None, shots: Any = None, seed: Any = None) -> None:
        super().__init__(wires=wires, shots=shots)
        self._rng = np.random.default_rng(seed)

    def setup_execution_config(
        self, config: ExecutionConfig | None = None, circuit: Any = None
    ) -> ExecutionConfig:
        """Chooses vector-Jacobian products of the device where it has them."""
        config = config or ExecutionConfig()
        if config.device_options:
            raise DeviceError(f"{self.name} has no options, got {sorted(config.device_options)}")
        changes: dict[str, Any] = {}
        if config.mcm_config.mcm_method not in (None, "deferred"):
            raise DeviceError(f"{self.name} defers mid-circuit measurements; it has no other method")
        changes["mcm_config"] = replace(config.mcm_config, mcm_method="deferred")
        if config.gradient_method in _METHODS and self.supports_derivatives(config, circuit):
            changes |= {
                "gradient_method": "adjoint",
                "use_device_gradient": True,
                "use_device_jacobian_product": True,
                "grad_on_execution": False,
            }
        return replace(config, **changes)

    def preprocess_transforms(self, execution_config: ExecutionConfig | None = None) -> CompilePipeline:
        """Returns the transforms that turn any circuit into gates and measurements the device has."""
        program = CompilePipeline()
        program.add_transform(validate_device_wires, wires=self.wires, name=self.name)
        program.add_transform(defer_measurements, allow_postselect=False)
        program.add_transform(
            decompose, stopping_condition=accepts, skip_initial_state_prep=False,
            device_wires=self.wires, name=self.name,
        )  # fmt: skip
        program.add_transform(
            validate_measurements,
            analytic_measurements=_measures_no_state,
            sample_measurements=_measures_no_state,
            name=self.name,
        )
        return program

    def supports_derivatives(
        self, execution_config: ExecutionConfig | None = None, circuit: Any = None
    ) -> bool:
        """Whether the device differentiates: exact expectation values of Pauli sums by gate parameters."""
        if execution_config is not None and execution_config.gradient_method not in _METHODS:
            return False
        if circuit is None:
            return True
        of_gates = sum(len(operation.data) for operation in circuit.operations)
        return _fast(circuit) and all(place < of_gates for place in circuit.trainable_params)

    def supports_vjp(self, execution_config: ExecutionConfig | None = None, circuit: Any = None) -> bool:
        """The same as :meth:`supports_derivatives`."""
        return self.supports_derivatives(execution_config, circuit)

    def execute(self, circuits: Any, execution_config: ExecutionConfig | None = None) -> Any:
        """Returns the measured values of every circuit."""
        return tuple(self._execute(circuit) for circuit in circuits)

    def _execute(self, tape: Any) -> Any:
        tape = tape.map_to_standard_wires()
        fast = _fast(tape)
        shape = form(tape, fast)
        x, w, batch = numbers(tape, shape)
        if not fast:
            state = states(shape.circuit, torch.from_numpy(x), torch.from_numpy(w))[0].numpy()
            axes = (2,) * tape.num_wires
            state = state.reshape(axes if batch is None else (batch, *axes))
            return measure_final_state(tape, state, batch is not None, rng=self._rng)
        out = np.empty((*x.shape[:2], shape.circuit.n_observables), x.dtype)
        _plan(shape, x).forward(x, w, out)
        values = tuple(out[0, :, k] if batch is not None else out[0, 0, k] for k in range(out.shape[2]))
        return values[0] if len(values) == 1 else values

    def compute_vjp(
        self, circuits: Any, cotangents: Any, execution_config: ExecutionConfig | None = None
    ) -> Any:
        """Returns for every circuit a tuple with one product for each trainable parameter."""
        return tuple(self._vjp(tape, slopes) for tape, slopes in zip(circuits, cotangents, strict=True))

    def _vjp(self, tape: Any, slopes: Any) -> tuple[Any, ...]:
        tape = tape.map_to_standard_wires()
        shape = form(tape, True)
        x, w, _ = numbers(tape, shape)
        columns: Sequence[Any] = slopes if len(tape.measurements) > 1 else (slopes,)
        upstream = np.empty((*x.shape[:2], shape.circuit.n_observables), x.dtype)
        for column, values in enumerate(columns):
            upstream[0, :, column] = np.asarray(values)
        return _pick(tape, shape, *_gradients(shape, x, w, upstream))

    def compute_derivatives(self, circuits: Any, execution_config: ExecutionConfig | None = None) -> Any:
        """Returns the Jacobian of every circuit, by one product for each observable; not broadcast."""
        return tuple(self._jacobian(tape) for tape in circuits)

    def _jacobian(self, tape: Any) -> Any:
        if tape.batch_size is not None:
            raise DeviceError(
                f"{self.name} has no Jacobians of broadcast circuits, but their products (VJPs)"
            )
        count = len(tape.measurements)
        rows = []
        for chosen in range(count):
            unit = tuple(float(k == chosen) for k in range(count))
            products = self._vjp(tape, unit if count > 1 else unit[0])
            rows.append(products[0] if len(products) == 1 else products)
        return rows[0] if count == 1 else tuple(rows)


class _Products(tuple[Any, ...]):
    """Derivatives of different shapes, which PennyLane's torch interface asks only whether they are empty."""

    def squeeze(self, axis: Any = None) -> Any:
        """Returns an array with one entry for each of them."""
        return np.empty(len(self))


def _plan(shape: Form, x: Any) -> statevector.Plan:
    check_memory(shape.circuit, x.shape[1], 1, str(x.dtype))
    return statevector.plan(shape.circuit, torch.float32 if x.dtype == np.float32 else torch.float64)


def _gradients(shape: Form, x: Any, w: Any, upstream: Any) -> tuple[Any, Any]:
    """Runs forward and backward; returns the derivatives by inputs and weights."""
    plan = _plan(shape, x)
    kept = plan.forward(x, w, np.empty_like(upstream))
    gx, gw = np.empty_like(x), np.empty_like(w)
    plan.backward(x, w, kept, upstream, gx, gw)
    return gx[0], gw[0]


def _pick(tape: Any, shape: Form, gx: Any, gw: Any) -> tuple[Any, ...]:
    """Returns the derivatives of the trainable parameters in the shapes of these."""
    found = []
    for number in tape.trainable_params:
        batched, first, cell = shape.places[number]
        last = first + int(np.prod(cell, dtype=int))
        if batched:
            found.append(gx[:, first:last].reshape(len(gx), *cell))
        else:
            found.append(gw[first:last].reshape(cell))
    return _Products(found)
