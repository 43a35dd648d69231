"""Combinations without meaning are refused with the reason; those with one are not."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from qfedfm.aggregation import AggregationConfig
from qfedfm.core.errors import RequestError
from qfedfm.federation.compatibility import Adapter, check
from qfedfm.federation.config import ClientConfig, FederationConfig
from qfedfm.federation.stages import Clip, Quantize, TopK

LORA = Adapter(8, 2.0)
RULES = (
    "fedavg fedit ffa_lora rolora flora flexlora hetlora fedex_lora fedsvd lora_fair fedsa_lora best_rank "
    "soup"
).split()
SGD = {"optimizer": {"kind": "sgd"}}


def fits(kind, *, federation=None, client=None, stages=(), adapter=LORA, reveals="individuals", **options):
    rounds = {"rounds": 1} if kind == "soup" else {}
    check(
        FederationConfig(**{**rounds, **(federation or {})}),
        ClientConfig(**(client or {})),
        TypeAdapter(AggregationConfig).validate_python({"kind": kind, **options}),
        stages,
        adapter,
        reveals,
    )


def refused(match, kind, **options):
    with pytest.raises(RequestError, match=match):
        fits(kind, **options)


@pytest.mark.parametrize("kind", RULES)
def test_every_rule_by_itself(kind):
    fits(kind)
    fits(kind, client={"algorithm": {"kind": "fedprox"}}, stages=[Clip()])


@pytest.mark.parametrize("kind", RULES)
def test_rules_for_lora_need_lora(kind):
    if kind in ("fedavg", "soup"):
        fits(kind, adapter=None)
        fits(kind, adapter=Adapter(8, 2.0, dora=True))
    else:
        refused("model.adapter is not lora", kind, adapter=None)
        refused("DoRA", kind, adapter=Adapter(8, 2.0, dora=True))


@pytest.mark.parametrize("kind", RULES)
def test_mixed_ranks(kind):
    ranks = {"ranks": (2, 4, 8)}
    if kind in ("flora", "flexlora", "best_rank", "hetlora"):
        fits(kind, client=ranks)
    else:
        refused("cannot combine clients of ranks 2, 4, 8", kind, client=ranks)
    fits(kind, client={"ranks": (8,)})
    refused("above model.adapter.rank 8", "flora", client={"ranks": (16,)})
    refused("model.adapter is not lora", "fedavg", client=ranks, adapter=None)


@pytest.mark.parametrize("kind", RULES)
def test_behind_a_sum_protocol(kind):
    if kind in ("fedavg", "fedit", "ffa_lora", "rolora", "fedsvd", "fedsa_lora", "soup"):
        fits(kind, reveals="sum")
        refused("reveals only their sum", kind, reveals="sum", angles="circular")
    else:
        refused("needs each client's update, but security.sum reveals only their sum", kind, reveals="sum")
    refused("reveals only their sum", "soup", recipe="greedy", reveals="sum")
    refused("cannot be added", "fedavg", stages=[Quantize()], reveals="sum")
    refused("rescales", "fedavg", client={**SGD, "algorithm": {"kind": "fednova"}}, reveals="sum")


MOVES = ("flora", "flexlora", "fedex_lora", "fedsvd", "lora_fair", "best_rank")


@pytest.mark.parametrize("kind", RULES)
def test_what_remembers_needs_fixed_coordinates(kind):
    momentum = {"server_optimizer": {"kind": "fedavgm"}}
    scaffold = {**SGD, "algorithm": {"kind": "scaffold"}}
    if kind in MOVES:
        for part in ({"federation": momentum}, {"client": scaffold}):
            refused("other coordinates each round", kind, **part)
        refused("kept momenta", kind, client={"keep_optimizer_state": True})
        refused("error_feedback", kind, stages=[TopK()])
        refused(
            "name the head only", kind, client={"algorithm": {"kind": "local_parts", "names": ["*.lora_B"]}}
        )
        fits(kind, client={"algorithm": {"kind": "local_parts"}})
        fits(kind, stages=[TopK(error_feedback=False)])
    elif kind == "rolora":
        refused("another factor each round", kind, federation=momentum)
        refused("another factor each round", kind, client=scaffold)
        fits(kind, stages=[TopK()])
    elif kind != "soup":
        fits(kind, federation=momentum, stages=[TopK()])
        fits(kind, client=scaffold)


def test_methods_that_need_something_of_the_rule():
    nova = {**SGD, "algorithm": {"kind": "fednova"}}
    fits("fedit", client=nova)
    for kind in ("hetlora", "flora", "fedsvd", "lora_fair"):
        refused("not linear", kind, client=nova)
    dyn = {"algorithm": {"kind": "feddyn"}}
    refused("weighting to uniform", "fedavg", client=dyn)
    refused(
        "itself the server's step", "fedavg", client=dyn, weighting="uniform",
        federation={"server_optimizer": {"kind": "fedadam"}},
    )  # fmt: skip
    fits("fedavg", client=dyn, weighting="uniform")
    refused("averages once", "soup", federation={"rounds": 3})
    refused("use one of the two", "fedsa_lora", client={"algorithm": {"kind": "ditto"}})
    for client in ({"algorithm": {"kind": "ditto"}}, {"algorithm": {"kind": "local_parts"}}):
        refused("central has one", "fedavg", client=client, federation={"engine": "central"})
    refused("hetlora with prune", "hetlora", prune=0.9, federation={"server_optimizer": {"kind": "fedavgm"}})


def test_the_order_of_stages():
    fits("fedavg", stages=[Clip(), TopK(), Quantize()])
    refused("must stand before topk", "fedavg", stages=[TopK(), Clip()])
    refused("in this order", "fedavg", stages=[Quantize(), TopK()])
    refused("in this order", "fedavg", stages=[TopK(), TopK()])
