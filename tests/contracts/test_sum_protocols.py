"""What every sum protocol must do, whatever its method: the room's union is the list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.random import Streams
from qfedfm.security.summation import Ckks, SumConfig, SumProtocol

sys.path.insert(0, str(Path(__file__).parents[1] / "security"))
from summing import add_up, job, true_sum, updates

KINDS: list[type[SumProtocol]] = list(get_args(get_args(SumConfig)[0]))


@pytest.fixture(params=KINDS, ids=lambda kind: kind.model_fields["kind"].default)
def protocol(request) -> SumProtocol:
    if request.param is Ckks:
        pytest.importorskip("tenseal")
    return request.param()


def test_it_is_a_frozen_value_that_survives_a_file(protocol):
    assert type(protocol).model_validate(protocol.plain()) == protocol
    with pytest.raises(ValueError, match="frozen"):
        protocol.kind = "other"


def test_it_says_what_it_promises(protocol):
    promise = protocol.promise
    for words in (promise.hides_from, promise.malicious_server, promise.trusted, promise.server_sees):
        assert words
    assert promise.exactness and protocol.contributes in protocol.phases


def test_the_mean_is_that_of_those_who_are_in_it(protocol):
    found = updates(5, 40)
    total = add_up(protocol, found)
    assert total.clients == (0, 1, 2, 3, 4) and total.weight == pytest.approx(1)
    assert total.total.dtype == np.float64
    np.testing.assert_allclose(total.mean, true_sum(found, range(5)), atol=1e-5 if protocol.exact else 0.1)
    assert set(total.cost.bytes_up) == set(protocol.phases)


def test_who_vanishes_is_not_in_it(protocol):
    found = updates(5, 40)
    total = add_up(protocol, found, leaves={3: protocol.contributes})
    assert total.clients == (0, 1, 2, 4)
    assert total.weight == pytest.approx(sum(job(found).weights[k] for k in total.clients))
    mean = true_sum(found, total.clients) / total.weight
    np.testing.assert_allclose(total.mean, mean, atol=1e-5 if protocol.exact else 0.1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_client_refuses_its_own_bad_update(protocol, bad):
    found = updates(3, 4)
    found[1][2] = bad
    with pytest.raises(UpdateRefusedError):
        protocol.open(Streams(0)).client(job(found), 1, found[1])
