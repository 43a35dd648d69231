"""Golden numbers of the papers, bounds that must hold, and the laws between protocols."""

from __future__ import annotations

import json
import math

import pytest

from qfedfm.cli.main import invoke
from qfedfm.core.errors import RequestError
from qfedfm.security.qkd import budget
from qfedfm.security.qkd.entropy import bb84_fraction, chsh, six_state_fraction, threshold
from qfedfm.security.qkd.rates import PRESETS, PROTOCOLS, plob, preset, rate, reach
from qfedfm.security.qkd.rates.lim_optimum import decoy_finite
from qfedfm.security.qkd.rates.measurement_device_independent import arm, bounded_pairs, single_pairs
from qfedfm.security.qkd.rates.tomamichel import bb84_finite, deviation, key_length
from qfedfm.security.qkd.rates.twin_field import yields


@pytest.mark.parametrize(("decoys", "kilometres"), [("infinite", 142.014), ("vacuum+weak", 140.619)])
def test_gys_reach(decoys, kilometres):
    assert reach("decoy-bb84", preset("gys"), decoys=decoys) == pytest.approx(kilometres, abs=0.01)


@pytest.mark.parametrize(
    ("decoys", "distance", "expected"),
    [
        ("infinite", 0, 2.55458e-3),
        ("infinite", 50, 2.22595e-4),
        ("infinite", 100, 1.71844e-5),
        ("vacuum+weak", 0, 2.41425e-3),
        ("vacuum+weak", 50, 2.09625e-4),
        ("vacuum+weak", 100, 1.60200e-5),
    ],
)
def test_gys_rates(decoys, distance, expected):
    found = rate("decoy-bb84", preset("gys"), distance, decoys=decoys)
    assert found.key_rate_per_pulse == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("clip", "errors", "phase", "bits"),
    [(True, 7951.474, 0.0511603, 2_484_718), (False, 9252.833, 0.0591109, 2_277_204)],
)
def test_lim_golden_vector(clip, errors, phase, bits):
    found = decoy_finite(preset("lim2014"), 100, 1e7, optimise=False, clip=clip)
    details = found.details
    assert details["pulses"] == pytest.approx(4.9076192e10, rel=1e-7)
    assert details["vacuum_events"] == 0
    assert details["single_photon_events"] == pytest.approx(6365475.98, rel=1e-8)
    assert details["single_photon_events_z"] == pytest.approx(170886.817, rel=1e-8)
    assert details["leak_bits"] == pytest.approx(2026202.554, rel=1e-8)
    assert details["single_photon_errors_z"] == pytest.approx(errors, abs=1e-3)
    assert found.single_photon_error == pytest.approx(phase, abs=1e-7)
    assert found.qber == pytest.approx(0.0261446, abs=1e-7)
    assert abs(details["key_bits"] - bits) <= 1


@pytest.mark.parametrize("distance", [0, 100])
def test_the_best_intensities_are_better_and_grow_with_the_block(distance):
    link = preset("lim2014")
    own = decoy_finite(link, distance, 1e7, optimise=False).key_rate_per_pulse
    best = [rate("decoy-bb84", link, distance, block=n).key_rate_per_pulse for n in (1e5, 1e6, 1e7, 1e9)]
    assert best[2] >= own and best == sorted(best)
    mu1, mu2, mu3 = rate("decoy-bb84", link, distance, block=1e7).details["intensities"]
    assert mu1 > mu2 + mu3 and mu2 > mu3 >= 0


def test_thresholds():
    assert threshold(bb84_fraction) == pytest.approx(0.110028, abs=1e-6)
    assert threshold(lambda e: bb84_fraction(e, 1.16)) == pytest.approx(0.392 / 4, abs=2e-4)
    assert threshold(six_state_fraction) == pytest.approx(0.12619, abs=1e-5)


@pytest.mark.parametrize(("error", "s"), [(0, 2.8284), (0.05, 2.5456), (0.10, 2.2627)])
def test_chsh(error, s):
    assert chsh(error) == pytest.approx(s, abs=1e-4)


@pytest.mark.parametrize(("distance", "bound"), [(50, 0.152003), (100, 0.01449957), (200, 1.442767e-4)])
def test_plob(distance, bound):
    assert plob(10 ** (-0.02 * distance)) == pytest.approx(bound, rel=3e-6)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("protocol", sorted(set(PROTOCOLS) - {"tf"}))
def test_no_protocol_without_a_repeater_passes_the_bound(protocol, name):
    link = preset(name)
    distances = range(0, 451, 30) if link.medium == "fibre" else range(250, 2001, 250)
    for distance in distances:
        assert rate(protocol, link, distance).key_rate_per_pulse <= plob(link.channel(distance))


def test_twin_field_crosses_the_bound_once():
    link = preset("modern_fibre")
    ahead = [rate("tf", link, d).key_rate_per_pulse > plob(link.channel(d)) for d in range(0, 551, 25)]
    assert not ahead[0] and ahead[-1] and ahead == sorted(ahead)


def test_twin_field_scales_with_the_square_root_of_the_transmittance():
    link = preset("modern_fibre").model_copy(update={"dark_count": 0.0})
    far, further = (rate("tf", link, d).key_rate_per_pulse for d in (200, 300))
    roots = math.sqrt(link.channel(300) / link.channel(200))
    assert further / far == pytest.approx(roots, rel=0.03)


def test_twin_field_yields_are_probabilities_with_known_corners():
    link = preset("modern_fibre").model_copy(update={"misalignment": 0.0, "dark_count": 0.0})
    table = yields(link, 1.0)
    assert table[0, 0] == 0 and (table >= 0).all() and (table <= 1).all()
    assert table[1, 0] == pytest.approx(0.5)
    assert table[1, 1] == pytest.approx(0.5)  # Hong, Ou, Mandel: both photons leave by one port
    assert table[2, 1] == pytest.approx(3 / 8)


@pytest.mark.parametrize("distance", [0, 50, 150])
def test_mdi_bounds_hold_and_tighten(distance):
    link = preset("metropolitan")
    eta = arm(link, distance)
    y11, e11 = single_pairs(link, eta)
    loose = bounded_pairs(link, eta, 0.5, 0.1, 0.0)
    tight = bounded_pairs(link, eta, 0.5, 0.01, 0.0)
    assert 0 < loose[0] <= tight[0] <= y11 * (1 + 1e-6)
    assert loose[1] >= tight[1] >= e11 * (1 - 1e-3)
    assert tight[0] == pytest.approx(y11, rel=0.02)


def test_finite_bb84_approaches_the_asymptote():
    link = preset("modern_fibre")
    limit = rate("bb84", link, 50).key_rate_per_pulse / link.sifting
    found = [bb84_finite(link, 50, n).key_rate_per_pulse for n in (1e3, 1e4, 1e6, 1e9)]
    assert found[0] == 0 and found == sorted(found) and found[-1] < limit
    assert found[-1] == pytest.approx(limit, rel=0.12)
    assert deviation(1e4, 1e4, 1e-10) == pytest.approx(math.sqrt(2e-4 * 1.0001 * math.log(2e10)))
    assert key_length(1e6, 1e6, 0.0, 0.0) < 1e6


def test_costs_of_a_federation():
    size, clients = 2_000_000, 10
    assert budget.aes_gcm_bits(2) == 512
    assert budget.one_time_pad_bits([size], authentication=0) / 1e6 == 16
    assert budget.pairwise_mask_bits(size, clients) / 1e6 == 144
    assert budget.prg_mask_bits(clients) / 1e6 == pytest.approx(2.3e-3, rel=0.01)
    assert budget.sparse_mask_bits(size, 3) == 8 * size * 4
    assert budget.one_time_pad_bits([100, 50]) == 8 * 150 + 2 * 256
    ranks = [budget.affordable_rank(r, 10, 4, 384, 16) for r in (1e3, 3e5, 1e7)]
    assert ranks == sorted(ranks) and ranks[0] == 0 and ranks[2] > 0
    bits = budget.one_time_pad_bits([2 * budget.lora_parameters(ranks[2], 4, 384)] * 2)
    assert budget.seconds(bits, 1e7) <= 10 < budget.seconds(bits * (ranks[2] + 1) / ranks[2], 1e7)
    assert budget.seconds(1, 0) == math.inf


def test_the_command(capsys):
    arguments = ["qkd", "rate", "--protocol", "decoy-bb84", "--preset", "gys", "--distance", "50", "--json"]
    assert invoke([*arguments, "--reach"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = "key_rate_per_pulse qber gain single_photon_yield single_photon_error plob reach_km".split()
    assert set(names) <= set(found)
    assert found["reach_km"] == pytest.approx(140.619, abs=0.01)
    assert invoke(["qkd", "rate", "--distance", "0", "--distance", "25", "--protocol", "e91"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--protocol", "bb48"], "did you mean 'bb84'?"),
        (["--preset", "gsy"], "did you mean 'gys'?"),
        (["--distance", "-3"], "at least 0"),
        (["--protocol", "tf", "--block", "1e6"], "no finite-key analysis of tf"),
        (["--block", "5"], "at least 100"),
        (["--decoys", "infinit"], "did you mean 'infinite'?"),
    ],
)
def test_wrong_requests(arguments, sentence, capsys):
    assert invoke(["qkd", "rate", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_decoys_must_be_ordered():
    link = preset("gys").model_copy(update={"intensities": (0.1, 0.2, 0.0)})
    with pytest.raises(RequestError, match="decoy intensity"):
        rate("decoy-bb84", link, 0)
    with pytest.raises(RequestError, match="mu1 > mu2"):
        decoy_finite(link, 0, 1e6, optimise=False)
