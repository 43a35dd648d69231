"""Which parts of a federation fit together, and why the others do not.

Everything here is decided from the options alone, before data or weights are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qfedfm.aggregation import AggregationConfig, FedAvg, HetLora, ModelSoup, RoLora
from qfedfm.core.errors import RequestError
from qfedfm.core.seed_update import MOST_MOVED
from qfedfm.federation.algorithms.fedkseed import FedKSeed
from qfedfm.federation.config import ClientConfig, FederationConfig
from qfedfm.federation.stages import Stage
from qfedfm.federation.stages.chain import feeds_back
from qfedfm.security.summation.protocol import Reveals


@dataclass(frozen=True)
class Adapter:
    """What the server must know of a LoRA adapter.

    Args:
        rank: Its rank r.
        scale: Its scale s.
        dora: Whether magnitudes are trained beside the factors.
    """

    rank: int
    scale: float
    dora: bool = False


def check(
    federation: FederationConfig,
    client: ClientConfig,
    aggregation: AggregationConfig,
    stages: Sequence[Stage],
    adapter: Adapter | None,
    reveals: Reveals = "individuals",
) -> None:
    """Refuses combinations that have no mathematical meaning, each with its reason.

    Args:
        federation: Rounds, cohort, server optimizer.
        client: Local training.
        aggregation: The rule.
        stages: In the client's order.
        adapter: The LoRA adapter, or None for other adapters and for none.
        reveals: What the server sees of a round: each update, or behind a sum protocol only their sum.

    Raises:
        RequestError: One sentence: which keys, and what would be right.
    """
    _rule(aggregation, adapter, federation)
    _ranks(client, aggregation, adapter)
    _personal(federation, client, aggregation)
    _coordinates(federation, client, aggregation, stages)
    _stages(stages)
    _seeded(client, aggregation, stages)
    if reveals == "sum":
        _sum_only(federation, client, aggregation, stages)


def _rule(rule: AggregationConfig, adapter: Adapter | None, federation: FederationConfig) -> None:
    if rule.needs_lora and adapter is None:
        raise RequestError(
            f"aggregation.kind {rule.kind} combines LoRA factors, but model.adapter is not lora; "
            "use fedavg, or model.adapter {kind: lora}"
        )
    if rule.needs_lora and adapter is not None and adapter.dora:
        raise RequestError(
            f"aggregation.kind {rule.kind} is not defined for DoRA, whose product has trained magnitudes; "
            "set model.adapter.dora to false, or use fedavg"
        )
    if isinstance(rule, FedAvg) and rule.swarm is not None:
        if adapter is not None or rule.angles != "plain" or rule.projection != "plain":
            raise RequestError(
                "aggregation.swarm mixes whole differences: it has no certificate for LoRA factors and no "
                "other angles or projections; leave it out, or set model.adapter to {kind: none}"
            )
    if isinstance(rule, ModelSoup) and federation.rounds != 1:
        raise RequestError(
            f"aggregation.kind soup averages once at the end, but federation.rounds is {federation.rounds}; "
            "set it to 1 and raise client.epochs or client.steps"
        )


def _seeded(client: ClientConfig, rule: AggregationConfig, stages: Sequence[Stage]) -> None:
    if not client.algorithm.seeded:
        return
    name = f"client.algorithm {client.algorithm.kind} sends coefficients of its directions"
    if rule.kind != "fedavg" or rule.angles != "plain" or rule.projection != "plain":
        raise RequestError(f"{name}, of which only means are defined; set aggregation to {{kind: fedavg}}")
    if stages:
        raise RequestError(f"{name} and packs them itself; leave stages out")
    if client.keep_optimizer_state or client.ranks is not None:
        raise RequestError(f"{name}; leave client.keep_optimizer_state and client.ranks out")
    method = client.algorithm
    if isinstance(method, FedKSeed) and method.pool > MOST_MOVED:
        if client.steps is None or client.steps * method.directions > MOST_MOVED:
            raise RequestError(
                f"{name}, at most {MOST_MOVED} that moved in a round, so that no message is above 20 kB; "
                f"with a pool of {method.pool} set client.steps to at most {MOST_MOVED // method.directions}"
            )


def _ranks(client: ClientConfig, rule: AggregationConfig, adapter: Adapter | None) -> None:
    if client.ranks is None:
        return
    if adapter is None:
        raise RequestError("client.ranks are LoRA ranks, but model.adapter is not lora; leave them out")
    if max(client.ranks) > adapter.rank:
        raise RequestError(
            f"client.ranks holds {max(client.ranks)}, above model.adapter.rank {adapter.rank}; "
            "raise the adapter's rank or lower the client's"
        )
    mixed = len(set(client.ranks)) > 1 or client.ranks[0] != adapter.rank
    if mixed and not rule.mixed_ranks:
        raise RequestError(
            f"aggregation.kind {rule.kind} cannot combine clients of ranks "
            f"{', '.join(map(str, sorted(set(client.ranks))))}; use flora, flexlora, best_rank or hetlora, "
            "or leave client.ranks out"
        )
    if mixed and (client.algorithm.remembers or client.algorithm.rescales):
        raise RequestError(
            f"client.algorithm {client.algorithm.kind} keeps vectors over all ranks, which clients of lower "
            "ranks do not train; leave client.ranks out, or use sgd or fedprox"
        )


def _personal(federation: FederationConfig, client: ClientConfig, rule: AggregationConfig) -> None:
    own = any(rule.keeps(name) for name in ("adapter/layer.lora_B", "head/output.weight"))
    kept = own or client.algorithm.kind in ("ditto", "pfedme", "local_parts")
    if kept and federation.engine == "central":
        what = f"aggregation.kind {rule.kind}" if own else f"client.algorithm {client.algorithm.kind}"
        raise RequestError(
            f"{what} leaves models with the clients, and federation.engine central has one; use local"
        )
    if own and client.algorithm.kind in ("ditto", "pfedme"):
        raise RequestError(
            f"client.algorithm {client.algorithm.kind} trains a second, whole model at each client, and "
            f"aggregation.kind {rule.kind} leaves parts of the first there; use one of the two"
        )


def _coordinates(
    federation: FederationConfig, client: ClientConfig, rule: AggregationConfig, stages: Sequence[Stage]
) -> None:
    """Whatever remembers a vector needs coordinates that stay what they are from round to round."""
    optimizer, algorithm = federation.server_optimizer, client.algorithm
    plain = optimizer.kind == "fedavg" and optimizer.lr == 1
    if algorithm.moves_server and not plain:
        raise RequestError(
            f"client.algorithm {algorithm.kind} is itself the server's step; leave "
            "federation.server_optimizer out"
        )
    if algorithm.uniform and rule.weighting != "uniform":
        raise RequestError(
            f"client.algorithm {algorithm.kind} is defined for the plain mean over clients; set "
            "aggregation.weighting to uniform"
        )
    if algorithm.kind == "metric_average" and rule.angles != "plain":
        raise RequestError(
            "client.algorithm metric_average weighs differences of circuit weights, and aggregation.angles "
            f"{rule.angles} averages directions; set it to plain"
        )
    mixed = isinstance(rule, FedAvg) and rule.swarm is not None
    if algorithm.rescales and (mixed or rule.needs_individuals or not rule.fixed_coordinates):
        raise RequestError(
            f"client.algorithm {algorithm.kind} rescales updates for a linear mean, and aggregation.kind "
            f"{rule.kind} is not linear in them; use fedavg, fedit, ffa_lora or rolora"
        )
    why = ""
    if not rule.fixed_coordinates:
        why = f"aggregation.kind {rule.kind} gives the factors other coordinates each round"
    elif isinstance(rule, RoLora):
        why = "aggregation.kind rolora trains another factor each round"
    elif isinstance(rule, HetLora) and rule.prune < 1:
        why = "aggregation.kind hetlora with prune changes ranks from round to round"
    if not why:
        return
    if not plain:
        what = "learning rates other than 1" if optimizer.kind == "fedavg" else "its momenta"
        raise RequestError(
            f"{why}, so federation.server_optimizer {optimizer.kind} with {what} has no meaning there; "
            "leave it out, or use fedit or ffa_lora"
        )
    if algorithm.remembers:
        raise RequestError(
            f"{why}, so the vectors that client.algorithm {algorithm.kind} keeps lose their meaning; "
            "use fedit or ffa_lora, or client.algorithm sgd or fedprox"
        )
    if client.keep_optimizer_state and not isinstance(rule, RoLora):
        raise RequestError(
            f"{why}, so kept momenta lose their meaning; set client.keep_optimizer_state to false"
        )
    if feeds_back(stages) and not isinstance(rule, RoLora):
        raise RequestError(
            f"{why}, so what a client did not send cannot be added later; set error_feedback to false"
        )
    if any(algorithm.keeps(name) for name in ("adapter/layer.lora_A", "adapter/layer.lora_B")) and (
        not rule.fixed_coordinates
    ):
        raise RequestError(
            f"{why}, so a client cannot keep one of them; let client.algorithm local_parts name the head only"
        )


def _stages(stages: Sequence[Stage]) -> None:
    first = next((i for i, stage in enumerate(stages) if stage.compresses), len(stages))
    late = [stage.kind for stage in stages[first:] if not stage.compresses]
    if late:
        raise RequestError(
            f"stages: {late[0]} works on whole differences and must stand before {stages[first].kind}"
        )
    kinds = [stage.kind for stage in stages[first:]]
    if len(set(kinds)) < len(kinds) or kinds == ["quantize", "topk"]:
        raise RequestError("stages: give topk at most once, then quantize at most once, in this order")


def _sum_only(
    federation: FederationConfig, client: ClientConfig, rule: AggregationConfig, stages: Sequence[Stage]
) -> None:
    if federation.engine == "central":
        raise RequestError(
            "federation.engine central has one client, and a sum over it is its update; use local, or leave "
            "security.sum out"
        )
    if rule.sees != "sum":
        raise RequestError(
            f"aggregation.kind {rule.kind} needs each client's update, but security.sum reveals only "
            "their sum; use fedavg, fedit, ffa_lora, rolora or fedsvd (without circular angles or aligned "
            "projections), or leave security.sum out"
        )
    if client.algorithm.seeded:
        raise RequestError(
            f"client.algorithm {client.algorithm.kind} packs its few numbers itself, and security.sum "
            "adds whole differences; leave security.sum out"
        )
    if client.algorithm.rescales:
        raise RequestError(
            f"client.algorithm {client.algorithm.kind} rescales each client's update on the server, but "
            "security.sum reveals only their sum; use sgd"
        )
    if client.algorithm.auxiliary:
        raise RequestError(
            f"client.algorithm {client.algorithm.kind} sends more than its update, and security.sum adds up "
            "updates only; use sgd, fedprox or feddyn"
        )
    packed = [stage.kind for stage in stages if stage.compresses]
    if packed:
        raise RequestError(
            f"stages: {packed[0]} packs each difference by itself, and packed numbers cannot be added behind "
            "security.sum; leave it out"
        )
