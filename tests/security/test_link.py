"""The link pulse by pulse: statistics against formulas, every attack, every tampered message."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qfedfm.cli.main import invoke
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.security.qkd.entropy import chsh
from qfedfm.security.qkd.link.circuits import intercepted_error, outcome_probabilities
from qfedfm.security.qkd.link.conversation import AuthenticationSeed, Conversation
from qfedfm.security.qkd.link.distillation import Distillation, tag_length
from qfedfm.security.qkd.link.entangled import measure_pairs, run_entangled_session
from qfedfm.security.qkd.link.eve import MESSAGES, InterceptResend, NoEve, PhotonNumberSplitting, Tampering
from qfedfm.security.qkd.link.outcome import Abort, Key, SessionAborted
from qfedfm.security.qkd.link.pulses import expected_gains, send_pulses
from qfedfm.security.qkd.link.session import process, pulses_for, run_session
from qfedfm.security.qkd.rates import lim, plob, preset, rate
from qfedfm.security.qkd.rates.decoy import gain_and_errors
from qfedfm.security.qkd.rates.lim_optimum import optimised

CLEAN = preset("modern_fibre").model_copy(update={"misalignment": 0.0, "dark_count": 0.0, "basis_x": 0.5})


def spread(p, n):
    return 4 * np.sqrt(np.maximum(np.asarray(p) * (1 - np.asarray(p)), 1e-12) / np.maximum(n, 1))


@pytest.mark.parametrize("distance", [0, 25, 50, 100])
@pytest.mark.parametrize("name", ["gys", "lim2014", "modern_fibre"])
def test_statistics_are_those_of_the_formulas(name, distance):
    link = preset(name)
    found = send_pulses(link, distance, 6_000_000, Streams(11))
    gains, errors = expected_gains(link, distance)
    sent = found.sent.sum(axis=1)
    assert (np.abs(found.gains() - gains) <= spread(gains, sent) + 1 / sent).all()
    kept = np.bincount(found.intensity[found.sifted], minlength=3)
    seen = kept * np.array(errors) >= 8  # else counts are far from normal
    assert (np.abs(found.errors() - errors) <= spread(errors, kept))[seen].all()
    share = link.basis_x**2 + (1 - link.basis_x) ** 2
    assert abs(found.sifted.mean() - share) <= spread(share, len(found.pulse))
    shares = np.array(link.probabilities)
    assert (np.abs(sent / found.pulses - shares) <= spread(shares, found.pulses)).all()
    if link.after_pulse == 0:  # then the formulas of Ma et al. describe the same link
        paper = [gain_and_errors(link, distance, mu) for mu in link.intensities]
        assert (
            np.abs(found.gains() - [q for q, _ in paper]) <= spread(gains, sent) + 3e-3 * np.array(gains)
        ).all()


def test_dead_time():
    link = CLEAN.model_copy(update={"dead_gates": 50})
    found = send_pulses(link, 0, 2_000_000, Streams(1))
    gains, _ = expected_gains(link, 0)
    assert found.gains()[:2] == pytest.approx(gains[:2], rel=0.02)
    assert np.diff(found.pulse).min() > 50


def test_chunks_and_seeds():
    one = send_pulses(preset("gys"), 10, 5_000_000, Streams(2))
    two = send_pulses(preset("gys"), 10, 5_000_000, Streams(2))
    other = send_pulses(preset("gys"), 10, 5_000_000, Streams(3))
    assert (one.pulse == two.pulse).all() and (one.bob == two.bob).all()
    assert len(one.pulse) != len(other.pulse) or (one.pulse != other.pulse).any()
    assert one.pulse.max() > 1 << 22 and (np.diff(one.pulse) > 0).all()
    assert one.sent.sum() == 5_000_000


@pytest.mark.parametrize("distance", [0, 25, 50, 100])
def test_a_session_gives_both_parties_one_key(distance):
    link = optimised(preset("modern_fibre"), distance, 100_000)
    pulses = pulses_for(link, distance, 100_000)
    found = run_session(link, distance, pulses, Streams(7))
    assert isinstance(found, Key)
    assert (found.alice == found.bob).all() and 0.48 < found.alice.mean() < 0.52
    assert len(found.alice) == found.secret_bits - found.statistics.authentication_bits
    # A finite block can never beat the asymptotic formula of the same link.
    limit = rate("decoy-bb84", link.model_copy(update={"sifting": 1.0, "correction": 1.0}), distance,
                 decoys="infinite")  # fmt: skip
    assert found.secret_bits / pulses < limit.key_rate_per_pulse
    assert found.secret_bits / pulses < plob(link.efficiency(distance)) or distance == 0


def test_the_length_is_that_of_the_proof_and_the_ledger_is_exact():
    link = preset("modern_fibre").model_copy(update={"basis_x": 0.8})
    detections = send_pulses(link, 25, pulses_for(link, 25, 200_000), Streams(3))
    seed = AuthenticationSeed.fresh()
    before = seed.messages
    found = process(detections, link, Streams(3), seed=seed)
    assert isinstance(found, Key)
    s = found.statistics
    in_x, in_z = detections.alice_x & detections.bob_x, ~detections.alice_x & ~detections.bob_x
    assert s.raw_bits + s.compared_bits == in_x.sum() + in_z.sum()
    assert s.leak == s.parities + tag_length(s.raw_bits, 1e-15) and s.disclosed_bits == 0
    wrong = detections.alice[in_z] != detections.bob[in_z]
    level = detections.intensity
    # The proof on the counts of all of X is an upper bound up to the compared sample; on Z it is the same.
    counts = lim.Counts(
        tuple(np.bincount(level[in_x], minlength=3).astype(float)),
        tuple(np.bincount(level[in_z], minlength=3).astype(float)),
        tuple(np.bincount(level[in_z], weights=wrong, minlength=3)),
    )
    whole = lim.bounds(counts, link.intensities, link.probabilities, s.leak)
    assert 0.93 * whole.key_bits < found.secret_bits < whole.key_bits
    # 7 messages used a pad each; the new key put back as many.
    assert s.authentication_bits == 7 * 128 and seed.messages == before


def test_intercept_resend_on_everything():
    detections = send_pulses(CLEAN, 0, 2_500_000, Streams(1), eve=InterceptResend())
    kept = detections.sifted
    assert kept.sum() >= 200_000
    assert (detections.alice != detections.bob)[kept].mean() == pytest.approx(0.25, abs=0.004)
    found = process(detections, CLEAN, Streams(1))
    assert isinstance(found, Abort) and found.reason == "qber" and "0.25" in found.sentence


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.6])
def test_intercept_resend_on_a_fraction(fraction):
    eve = InterceptResend(fraction=fraction)
    detections = send_pulses(CLEAN, 0, 1_500_000, Streams(2), eve=eve)
    kept = detections.sifted
    error = (detections.alice != detections.bob)[kept].mean()
    assert abs(error - fraction / 4) <= spread(fraction / 4, kept.sum())


def test_a_listening_eve_shortens_the_key_until_there_is_none():
    lengths = []
    for fraction in (0.0, 0.1, 0.25, 0.39, 0.45):
        found = run_session(
            CLEAN, 0, 2_000_000, Streams(3), eve=InterceptResend(fraction=fraction), source="single"
        )
        lengths.append(found.secret_bits if isinstance(found, Key) else 0)
    assert lengths[0] > lengths[1] > lengths[2] > 0 and lengths[-1] == 0


@pytest.mark.parametrize(("bases", "silent"), [("x", 0), ("z", 1)])
def test_eve_in_one_basis_is_seen_in_the_other(bases, silent):
    detections = send_pulses(CLEAN, 0, 400_000, Streams(4), eve=InterceptResend(bases=bases))
    wrong = detections.alice != detections.bob
    in_x, in_z = detections.alice_x & detections.bob_x, ~detections.alice_x & ~detections.bob_x
    rates = [wrong[in_x].mean(), wrong[in_z].mean()]
    assert rates[silent] == 0 and rates[1 - silent] == pytest.approx(0.5, abs=0.01)
    found = process(detections, CLEAN, Streams(4))
    assert isinstance(found, Abort) and found.reason == "qber"


def test_photon_number_splitting_shows_in_the_decoys_alone():
    link = preset("modern_fibre").model_copy(update={"basis_x": 0.8})
    pulses = pulses_for(link, 50, 200_000)
    honest = send_pulses(link, 50, pulses, Streams(5))
    split = send_pulses(link, 50, pulses, Streams(5), eve=PhotonNumberSplitting())
    gains, errors = expected_gains(link, 50)
    sent = split.sent.sum(axis=1)
    assert abs(split.gains()[0] - gains[0]) <= spread(gains[0], sent[0])
    kept = (split.intensity[split.sifted] == 0).sum()
    assert abs(split.errors()[0] - errors[0]) <= spread(errors[0], kept)
    assert split.gains()[1] < 0.6 * honest.gains()[1]
    assert isinstance(process(honest, link, Streams(5)), Key)
    found = process(split, link, Streams(5))
    assert isinstance(found, Abort) and found.reason == "no_key"
    with pytest.raises(RequestError, match="single photons cannot be split"):
        run_session(link, 0, 1000, Streams(0), eve=PhotonNumberSplitting(), source="single")


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("bit", [0, 123])
def test_a_flipped_bit_of_any_message_ends_the_session(message, bit):
    seed = AuthenticationSeed.fresh()
    eve = Tampering(message=message, bit=bit)
    found = run_session(CLEAN, 0, 200_000, Streams(6), eve=eve, source="single", seed=seed)
    assert isinstance(found, Abort)
    assert (found.reason, found.message) == ("tampered", message)
    assert found.statistics.authentication_bits == seed.used_bits > 0


def test_the_authentication_seed_runs_out_and_is_replenished():
    seed = AuthenticationSeed.fresh(messages=7)
    for _ in range(3):
        found = run_session(CLEAN, 0, 200_000, Streams(6), source="single", seed=seed)
        assert isinstance(found, Key) and seed.messages >= 7
    short = run_session(CLEAN, 0, 200_000, Streams(6), source="single", seed=AuthenticationSeed.fresh(3))
    assert isinstance(short, Abort) and short.reason == "authentication_exhausted"
    with pytest.raises(RequestError, match="at least 32"):
        AuthenticationSeed(b"short")


def test_every_message_has_a_pad_of_its_own():
    seed = AuthenticationSeed(bytes(range(16)) + bytes(32))
    conversation = Conversation(seed)
    conversation.send("sifting", b"a")
    conversation.send("sifting", b"a")
    with pytest.raises(SessionAborted, match="used up"):
        conversation.send("sifting", b"a")


def test_failed_frames_are_found_disclosed_and_counted(monkeypatch):
    from qfedfm.security.qkd.link import distillation

    real = distillation.reconcile

    def careless(*arguments, **options):
        found = real(*arguments, **options)
        found.bits[15_000] ^= 1
        found.bits[15_003] ^= 1
        return found

    monkeypatch.setattr(distillation, "reconcile", careless)
    found = run_session(CLEAN, 0, 400_000, Streams(6), source="single")
    assert isinstance(found, Key) and (found.alice == found.bob).all()
    s = found.statistics
    frames = max(1, round(s.raw_bits / 10_000))
    assert s.disclosed_bits == 10_000
    assert s.tag_bits == 2 * tag_length(s.raw_bits, 1e-15) + frames * tag_length(10_000, 1e-15)


def test_too_few_bits():
    found = run_session(CLEAN, 0, 200, Streams(1))
    assert isinstance(found, Abort) and found.reason == "too_few"


@pytest.mark.parametrize("error", [0.0, 0.05, 0.10])
def test_pairs_violate_the_classical_bound_as_they_must(error):
    assert measure_pairs(400_000, error, Streams(1)).chsh() == pytest.approx(chsh(error), abs=0.02)


def test_entangled_sessions():
    good = run_entangled_session(400_000, 0.02, Streams(1))
    assert isinstance(good, Key) and (good.alice == good.bob).all()
    assert good.statistics.chsh == pytest.approx(chsh(0.02), abs=0.02)
    for error, intercepted in ((0.2, 0.0), (0.0, 1.0)):
        found = run_entangled_session(200_000, error, Streams(2), intercepted=intercepted)
        assert isinstance(found, Abort) and found.reason == "chsh"


def test_the_states_as_circuits():
    pytest.importorskip("qiskit_aer")
    exact = outcome_probabilities()
    shots = 20_000
    sampled = outcome_probabilities(shots=shots, seed=3)
    assert (np.abs(sampled - exact) <= spread(exact, shots)).all()
    assert intercepted_error(exact) == pytest.approx(0.25) and intercepted_error(exact, 0.4) == pytest.approx(
        0.1
    )
    found = send_pulses(CLEAN, 0, 300_000, Streams(9), source="single")
    for bit in (0, 1):
        for a in (0, 1):
            for b in (0, 1):
                chosen = (found.alice == bit) & (found.alice_x == a) & (found.bob_x == b)
                ones = found.bob[chosen].mean()
                assert abs(ones - exact[bit, a, b]) <= spread(exact[bit, a, b], chosen.sum())


def test_the_command(capsys):
    arguments = [
        "qkd",
        "link",
        "--block",
        "20000",
        "--distance",
        "5",
        "--seed",
        "1",
        "--preset",
        "modern_fibre",
    ]
    assert invoke([*arguments, "--source", "single", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["outcome"] == "key" and found["key_bits"] > 0
    assert found["leak_bits"] == found["parities"] + found["tag_bits"]
    assert invoke([*arguments, "--eve", "intercept_resend", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["reason"] == "qber"
    assert invoke([*arguments, "--source", "pairs"]) == 0
    assert invoke([*arguments, "--eve", "tampering", "--message", "nothing"]) == 2
    assert "one of sifting" in capsys.readouterr().err


def test_options_are_checked():
    with pytest.raises(ValueError, match="secrecy"):
        Distillation(secrecy=0)
    assert NoEve().kind == "none"
