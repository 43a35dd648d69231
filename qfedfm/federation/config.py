"""The options of a federation and of its clients; each part's own options stand beside the part."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from qfedfm.core.config import Config
from qfedfm.core.errors import RequestError
from qfedfm.federation.algorithms import AlgorithmConfig, PlainTraining
from qfedfm.federation.sampling import SamplerConfig, UniformSampler
from qfedfm.optim.client import AdamWConfig, OptimizerConfig
from qfedfm.optim.server import FedAvgStep, ServerOptimizer

Probability = Annotated[float, Field(ge=0, lt=1)]


class FaultsConfig(Config):
    """Clients that fail, drawn from the experiment's seed.

    Args:
        dropout: Probability that a chosen client does not reply.
        straggler: Probability that a chosen client is slow.
        straggler_work: The part of its local steps that a slow client finishes (at least one step).
    """

    dropout: Probability = 0.0
    straggler: Probability = 0.0
    straggler_work: Annotated[float, Field(gt=0, le=1)] = 0.5


class FlowerConfig(Config):
    """Clients on other machines (``engine: flower``).

    Args:
        deadline: Seconds after which a message that has no reply counts as lost.
        minimum: How many clients must reply; a round with fewer leaves the model as it was.
        wait: Seconds in which all clients must have joined before the first round.
    """

    deadline: Annotated[float, Field(gt=0)] = 600.0
    minimum: Annotated[int, Field(ge=1)] = 1
    wait: Annotated[float, Field(ge=0)] = 3600.0


class FederationConfig(Config):
    """Rounds, who takes part, and where it runs.

    Args:
        rounds: How many rounds.
        cohort: Clients per round; null means all.
        engine: ``local`` (every client in this process) or ``central`` (one client that holds all data:
            the baseline, on the same code path), or ``flower`` (clients on machines of their own).
        batch_clients: How many head-only clients are trained in one call; null lets the engine decide.
        evaluate_every: Test after every so many rounds (and always after the last).
        byte_budget: The run ends after the round in which so many bytes, up and down together, have
            travelled, or after ``rounds``; null for no such limit. A schedule still counts ``rounds``.
        flower: Deadlines of engine flower.
    """

    rounds: Annotated[int, Field(ge=1)] = 5
    cohort: Annotated[int, Field(ge=1)] | None = None
    engine: Literal["local", "central", "flower"] = "local"
    sampler: SamplerConfig = UniformSampler()
    server_optimizer: ServerOptimizer = FedAvgStep()
    faults: FaultsConfig = FaultsConfig()
    batch_clients: Annotated[int, Field(ge=1)] | None = None
    evaluate_every: Annotated[int, Field(ge=1)] = 1
    byte_budget: Annotated[int, Field(ge=1)] | None = None
    flower: FlowerConfig = FlowerConfig()


class ClientConfig(Config):
    """What each client does in a round.

    Args:
        epochs: Passes over its own data; ignored where ``steps`` is given.
        steps: Exactly so many steps instead of epochs (the data is passed over as often as needed).
        batch_size: Examples a step.
        optimizer: A torch optimizer, or one of circuit weights with an ordinary one for the ``rest``.
        algorithm: What the method does differently from plain training.
        schedule: How the learning rate falls over the rounds.
        logit_adjustment: Strength tau of the correction for label skew: a client's loss is the
            cross-entropy of ``logits + tau * log(its own class frequencies)``, so that it need not learn
            how frequent its classes are (Menon et al., 2021, arXiv:2007.07314; Zhang et al., 2022,
            arXiv:2209.00189). 0 is plain cross-entropy, 1 the balanced softmax.
        clip_norm: Largest L2 norm of a step's gradient, per client; null for none.
        keep_optimizer_state: Whether momenta survive from round to round in the client store; such
            clients are trained one by one.
        ranks: LoRA ranks in turn: client k trains ``ranks[k mod len(ranks)]``, at most the adapter's rank;
            null for the adapter's. All share the adapter's scale (each client's alpha is in proportion
            to its rank).
    """

    epochs: Annotated[int, Field(ge=1)] = 1
    steps: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 32
    optimizer: OptimizerConfig = AdamWConfig()
    algorithm: AlgorithmConfig = PlainTraining()
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    logit_adjustment: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    keep_optimizer_state: bool = False
    ranks: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _defined(self) -> ClientConfig:
        self.algorithm.check(
            self.optimizer, constant_rate=self.schedule == "constant", clipped=self.clip_norm is not None
        )
        if self.algorithm.one_step and self.steps != 1:
            raise RequestError(
                f"client.algorithm {self.algorithm.kind} takes one step a round, at the global model; set "
                "client.steps to 1"
            )
        if self.optimizer.kind == "rotosolve" and self.algorithm.corrects:
            raise RequestError(
                f"client.algorithm {self.algorithm.kind} corrects gradients, and client.optimizer rotosolve "
                "uses none; use client.algorithm {kind: sgd}, or another optimizer"
            )
        return self

    def rate_scale(self, round_number: int, rounds: int) -> float:
        """Returns the factor on the learning rate in round ``round_number`` (from 0) of ``rounds``."""
        part = round_number / max(rounds, 1)
        if self.schedule == "linear":
            return 1 - part
        if self.schedule == "cosine":
            return (1 + math.cos(math.pi * part)) / 2
        return 1.0
