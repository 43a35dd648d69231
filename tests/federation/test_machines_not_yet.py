"""What docs/flower.md lists as not between machines yet is refused in those words; engine local has it."""

from __future__ import annotations

import pytest
from machines import config

from qfedfm.core.errors import RequestError
from qfedfm.federation.engines.flower.compatibility import check_machines
from qfedfm.security.summation.ckks import Ckks

QKD = {"kind": "qkd", "preset": "modern_fibre", "distance_km": 10, "block": 50_000}
MANAGER = {"url": "https://kme:8443", "authority": "ca.pem", "certificate": "{sae}.pem", "key": "{sae}.key"}
LORA = {"adapter": {"kind": "lora", "rank": 2}, "head": {"kind": "linear"}}
TEXTS = {"data": {"source": "docstrings"}, "model": LORA}
NOT_YET = {
    "security.channel.cipher otp needs a pad for each byte": {
        "security": {"channel": {**QKD, "cipher": "otp"}}
    },
    "security.channel.key_manager needs the certificates of both ends": {
        "security": {"channel": {"kind": "qkd", "key_manager": MANAGER}}
    },
    "security.sum masks with keys qkd is not delivered to other machines yet": {
        "security": {"sum": {"kind": "masks", "keys": "qkd"}}
    },
    "security.sum ghz_phase is not delivered to other machines yet": {
        "security": {"sum": {"kind": "ghz_phase"}}
    },
    "security.sum qft_sum is not delivered to other machines yet": {"security": {"sum": {"kind": "qft_sum"}}},
    "client.algorithm fedkseed sends seeds, which engine flower does not deliver yet": {
        "client": {"algorithm": {"kind": "fedkseed"}}
    },
    "federation.sampler balanced needs the clients' class counts": {
        "federation": {"cohort": 2, "sampler": {"kind": "balanced"}}
    },
    "fedsa_lora leaves parts of the model with the clients": {
        **TEXTS,
        "aggregation": {"kind": "fedsa_lora"},
    },
    "local_parts leaves parts of the model with the clients": {
        "client": {"algorithm": {"kind": "local_parts"}}
    },
}


@pytest.mark.parametrize("sentence", NOT_YET)
def test_it_is_refused_and_engine_local_has_it(sentence):
    assert config("local", NOT_YET[sentence]).federation.engine == "local"
    with pytest.raises(RequestError) as found:
        config("flower", NOT_YET[sentence])
    assert sentence in str(found.value) and "\n" not in str(found.value)
    assert "use" in str(found.value), "and what would be right"


def test_ckks_is_refused_too():
    """Asked directly: its options are refused before that where its package is not installed."""
    good = config("flower", {})
    security = good.security.model_copy(update={"sum": Ckks.model_construct()})
    with pytest.raises(RequestError, match="ckks is not delivered to other machines yet"):
        check_machines(good.federation, good.aggregation, good.client.algorithm, security, machines=False)


def test_an_algorithm_whose_clients_keep_nothing_is_not_refused():
    for kind in ("scaffold", "ditto", "fedprox"):
        assert config("flower", {"client": {"algorithm": {"kind": kind}}}).federation.engine == "flower"
