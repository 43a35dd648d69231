"""What clients on other machines cannot do, decided from the options alone."""

from __future__ import annotations

from qfedfm.aggregation import AggregationConfig
from qfedfm.aggregation.rule import Rule
from qfedfm.core.errors import RequestError
from qfedfm.federation.algorithms.base import Algorithm
from qfedfm.federation.config import FederationConfig
from qfedfm.federation.sampling import BalancedSampler
from qfedfm.security.config import SecurityConfig
from qfedfm.security.summation import Masks, Plain


def check_machines(
    federation: FederationConfig,
    aggregation: AggregationConfig,
    algorithm: Algorithm,
    security: SecurityConfig,
    *,
    machines: bool,
) -> None:
    """Refuses what engine flower, or a partition over machines, does not go together with.

    Args:
        federation: Its engine and its sampler.
        aggregation: The rule.
        algorithm: What clients do differently.
        security: Channel and sum protocol.
        machines: Whether every client has data of its own on its machine.

    Raises:
        RequestError: One sentence: which keys, and what would be right.
    """
    if federation.engine != "flower":
        if machines:
            raise RequestError(
                f"data.partition is machines, and federation.engine {federation.engine} reads all data here; "
                "use engine flower, or another partition"
            )
        return
    if type(aggregation).keeps is not Rule.keeps or type(algorithm).keeps is not Algorithm.keeps:
        kind = aggregation.kind if type(aggregation).keeps is not Rule.keeps else algorithm.kind
        raise RequestError(
            f"{kind} leaves parts of the model with the clients, and the server of engine flower could not "
            "test what it does not have; use engine local"
        )
    if isinstance(federation.sampler, BalancedSampler):
        raise RequestError(
            "federation.sampler balanced needs the clients' class counts, which do not leave their machines; "
            "use uniform, by_size or cyclic"
        )
    if algorithm.seeded:
        raise RequestError(
            f"client.algorithm {algorithm.kind} sends seeds, which engine flower does not deliver yet; use "
            "engine local"
        )
    if security.channel.cipher == "otp":
        raise RequestError(
            "security.channel.cipher otp needs a pad for each byte on both machines, which engine flower "
            "does not deliver yet; use aes-gcm, or engine local"
        )
    if security.channel.key_manager is not None:
        raise RequestError(
            "security.channel.key_manager needs the certificates of both ends in one place, which engine "
            "flower has not; leave it out and join with --keys, or use engine local"
        )
    protocol = security.sum
    if security.channel.kind != "none" and protocol.reveals == "sum":
        raise RequestError(
            f"security.channel {security.channel.kind} around security.sum {protocol.kind} is not delivered "
            "to other machines yet; use one of the two, or engine local"
        )
    if not isinstance(protocol, Plain) and not (isinstance(protocol, Masks) and protocol.keys != "qkd"):
        keys = f" with keys {protocol.keys}" if isinstance(protocol, Masks) else ""
        raise RequestError(
            f"security.sum {protocol.kind}{keys} is not delivered to other machines yet; use masks with keys "
            "x25519 or ml-kem, or engine local"
        )
