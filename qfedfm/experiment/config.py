"""The experiment file as one frozen value; it only composes the options of the parts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from qfedfm.aggregation import AggregationConfig, FedAvg
from qfedfm.core.config import Config
from qfedfm.core.errors import NotBuiltError, RequestError
from qfedfm.data import DataConfig, MachinesPartition
from qfedfm.federation.compatibility import Adapter, check
from qfedfm.federation.config import ClientConfig, FederationConfig
from qfedfm.federation.engines.flower.compatibility import check_machines
from qfedfm.federation.stages import StageConfig
from qfedfm.models import ModelConfig
from qfedfm.models.adapters import LoraConfig
from qfedfm.models.heads import CIRCUITS, TRAINED_CIRCUITS
from qfedfm.optim.circuits.options import CircuitOptimizerConfig
from qfedfm.security.config import SecurityConfig

RESULTS_VERSION = 3
"""Raised whenever a change of the package changes numbers, so that stale results are never reused."""

_NOT_BUILT = {
    "trust": "trust is not built yet; leave the key out",
    "incentives": "incentives is not built yet; leave the key out",
}


def _runs_circuits(part: Any) -> bool:
    """Returns whether an optimizer or algorithm evaluates the circuit beside the training step's gradient."""
    if isinstance(part, CircuitOptimizerConfig):
        return True
    return bool(getattr(part, "needs_circuit", False) or getattr(part, "seeded", False))


class Experiment(Config):
    """Everything that defines a run.

    Args:
        name: Names the run's folder; letters, digits, ``.``, ``_`` and ``-``.
        seed: The seed of every random stream.
        data: Texts (or images, or features), labels, and who holds them.
        model: Backbone, adapter and head.
        federation: Rounds, cohort, engine, sampler, server optimizer, faults.
        client: Local training.
        aggregation: The rule from updates to the next model.
        stages: Steps around the update, in order on the client, reversed on the server.
        security: How what travels is protected.
        device: ``auto`` is CUDA where there is one.
        track: Trackers beside the run's folder.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = "experiment"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    federation: FederationConfig = FederationConfig()
    client: ClientConfig = ClientConfig()
    aggregation: AggregationConfig = FedAvg()
    stages: tuple[StageConfig, ...] = ()
    security: SecurityConfig = SecurityConfig()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    track: tuple[Literal["tensorboard"], ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _built(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key, sentence in _NOT_BUILT.items():
                if key in values:
                    raise NotBuiltError(sentence)
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        clients = getattr(self.data.partition, "clients", None)
        cohort = self.federation.cohort
        if self.federation.engine != "central" and clients and cohort and cohort > clients:
            raise RequestError(
                f"federation.cohort is {cohort} but data.partition.clients is {clients}; "
                "a cohort can be at most all clients"
            )
        optimizer, head = self.client.optimizer, self.model.head
        if isinstance(optimizer, CircuitOptimizerConfig) and head.kind not in TRAINED_CIRCUITS:
            raise RequestError(
                f"client.optimizer {optimizer.kind} trains the weights of a circuit, and model.head "
                f"{head.kind} trains none; use model.head {{kind: quantum}}, or an ordinary optimizer"
            )
        method = self.client.algorithm
        if method.needs_circuit and head.kind not in TRAINED_CIRCUITS:
            raise RequestError(
                f"client.algorithm {method.kind} works on the weights of a circuit, and model.head "
                f"{head.kind} trains none; use model.head {{kind: quantum}}, or client.algorithm sgd"
            )
        if getattr(method, "shots", None) is not None and head.kind not in CIRCUITS:
            raise RequestError(
                f"client.algorithm.shots measures a circuit, and model.head {head.kind} has none; "
                "leave it out"
            )
        if getattr(head, "hardware", None) is not None:
            own = next((part.kind for part in (optimizer, method) if _runs_circuits(part)), None)
            if own is not None:
                raise RequestError(
                    f"{own} runs the circuit in a way of its own, and with model.head.hardware each step is "
                    "one job with its gradient; use an ordinary client.optimizer and client.algorithm"
                )
        protocol = self.security.sum
        check_machines(
            self.federation,
            self.aggregation,
            self.client.algorithm,
            self.security,
            machines=isinstance(self.data.partition, MachinesPartition),
        )
        check(
            self.federation,
            self.client,
            self.aggregation,
            self.stages,
            self.adapter(),
            protocol.reveals,
        )
        together = cohort or clients
        if together:
            protocol.check(together)
        return self

    def adapter(self) -> Adapter | None:
        """Returns what the server must know of the LoRA adapter, or None for other adapters and none."""
        options = self.model.adapter
        if not isinstance(options, LoraConfig):
            return None
        return Adapter(rank=options.rank, scale=options.scale, dora=options.dora)

    def defining(self) -> dict[str, Any]:
        """Returns the options that results depend on: all but the name, the trackers and a budget of jobs."""
        found = {key: value for key, value in self.plain().items() if key not in ("name", "track")}
        hardware = found["model"]["head"].pop("hardware", None)
        if hardware is not None:  # a budget may be raised, and the run goes on
            del hardware["max_jobs"], hardware["max_seconds"]
            found["model"]["head"]["hardware"] = hardware
        return found
