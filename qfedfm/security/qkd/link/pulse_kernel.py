"""Pulses one after another: source, Eve, channel, detectors.

Two words of randomness decide a pulse: one its intensity and both bases, one its photon number and bit;
further words are drawn only where photons arrive. Dark counts are drawn as the gaps between them.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from qfedfm.core.compiled import cached, compiled, digest
from qfedfm.security.qkd.link.compiled import TO_UNIT, step

INTERCEPT, SPLIT = 1, 2
EMPTY, POISSON, SINGLE = 0, 1, 2

_24 = np.uint64(0xFFFFFF)
_20 = np.uint64(0xFFFFF)


@compiled
def _unit(word):
    return np.float64(word >> np.uint64(11)) * TO_UNIT


@compiled
def _gap(rate, word):
    """Gates until the next dark count."""
    if rate <= 0.0:
        return np.int64(1) << np.int64(62)
    value = math.log(1.0 - _unit(word)) / math.log1p(-rate)
    return np.int64(min(value, 4e18))


def _cached_send(digest: int) -> Callable[..., Any]:
    @cached
    def send(pulses, source, link, eve, state, carried, out, sent):
        """See :data:`send`."""
        digest  # noqa: B018  (numba finds what it compiled by the values a function closes over)
        first = np.uint64(source[0] * 16777216.0)
        second = np.uint64((source[0] + source[1]) * 16777216.0)
        basis_a, basis_b = np.uint64(source[6] * 1048576.0), np.uint64(source[7] * 1048576.0)
        single = source[8] > 0.5
        empty = np.empty(3)
        for n in range(3):
            empty[n] = math.exp(-source[3 + n])
        eta, wrong, dark, after, dead = link[0], link[1], link[2], link[3], np.int64(link[4])
        attack, share, eve_x = np.int64(eve[0]), eve[1], eve[2]
        multi_eta, single_eta, single_share = eve[3], eve[4], eve[5]
        s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
        dark0, dark1, blind, echo0, echo1 = carried[0], carried[1], carried[2], carried[3], carried[4]
        if dark0 < 0:
            word, s0, s1, s2, s3 = step(s0, s1, s2, s3)
            dark0 = _gap(dark, word)
            word, s0, s1, s2, s3 = step(s0, s1, s2, s3)
            dark1 = _gap(dark, word)
        found = 0
        for pulse in range(pulses):
            word, s0, s1, s2, s3 = step(s0, s1, s2, s3)
            level = word & _24
            k = np.int64(level >= first) + np.int64(level >= second)
            x_a = ((word >> np.uint64(24)) & _20) < basis_a
            x_b = (word >> np.uint64(44)) < basis_b
            sent[k, np.int64(x_a)] += 1
            word, s0, s1, s2, s3 = step(s0, s1, s2, s3)
            bit = np.int64(word & np.uint64(1))
            u = _unit(word)
            photons = 0
            if single:
                photons = 1
            elif u >= empty[k]:
                term, total = empty[k], empty[k]
                while u >= total and photons < 60:
                    photons += 1
                    term *= source[3 + k] / photons
                    total += term
            click0 = dark0 == 0
            click1 = dark1 == 0
            if click0:
                word, s0, s1, s2, s3 = step(s0, s1, s2, s3)
                dark0 = _gap(dark, word) + 1
            if click1:
                word, s0, s1, s2, s3 = step(s0, s1, s2, s3)
                dark1 = _gap(dark, word) + 1
            dark0 -= 1
            dark1 -= 1
            click0 |= echo0 == 1
            click1 |= echo1 == 1
            echo0 = 0
            echo1 = 0
            if photons > 0:
                there, sent_bit, sent_x = eta, bit, x_a
                arriving = photons
                if attack == INTERCEPT:
                    word, s0, s1, s2, s3 = step(s0, s1, s2, s3)
                    if _unit(word) < share:
                        word, s0, s1, s2, s3 = step(s0, s1, s2, s3)
                        sent_x = _unit(word) < eve_x
                        if sent_x != x_a:
                            sent_bit = np.int64(word & np.uint64(1))
                elif attack == SPLIT:
                    if photons > 1:
                        arriving = photons - 1
                        there = multi_eta
                    else:
                        word, s0, s1, s2, s3 = step(s0, s1, s2, s3)
                        there = single_eta
                        if _unit(word) >= single_share:
                            arriving = 0
                for _ in range(arriving):
                    word, s0, s1, s2, s3 = step(s0, s1, s2, s3)
                    if _unit(word) < there:
                        word, s0, s1, s2, s3 = step(s0, s1, s2, s3)
                        flip = _unit(word) < (wrong if sent_x == x_b else 0.5)
                        if (sent_bit ^ np.int64(flip)) == 0:
                            click0 = True
                        else:
                            click1 = True
            if blind > 0:
                blind -= 1
                continue
            if click0 or click1:
                word, s0, s1, s2, s3 = step(s0, s1, s2, s3)
                read = np.int64(click1)
                if click0 and click1:
                    read = np.int64(word & np.uint64(1))
                if after > 0.0 and _unit(word) < after:
                    echo0 = np.int64(click0)
                    echo1 = np.int64(click1)
                    if click0 and click1:
                        echo0 = 1 - read
                        echo1 = read
                blind = dead
                if found == len(out):
                    return -1
                # pulse (40 bits), photons (6), intensity (2), bases, bits
                out[found] = (
                    (pulse << 16) | (min(photons, 63) << 8) | (k << 4)
                    | (np.int64(x_a) << 3) | (np.int64(x_b) << 2) | (bit << 1) | read
                )  # fmt: skip
                found += 1
        state[0], state[1], state[2], state[3] = s0, s1, s2, s3
        carried[0], carried[1], carried[2], carried[3], carried[4] = dark0, dark1, blind, echo0, echo1
        return found

    function: Callable[..., Any] = send
    return function


#: ``send(pulses, source, link, eve, state, carried, out, sent)`` returns how many pulses were detected, or -1
#: if ``out`` is full. ``source``: probabilities (3), intensities (3), P(X) of Alice and Bob, whether single
#: photons; ``link``: efficiency, misalignment, dark counts per detector, after-pulse, dead gates; ``eve``:
#: attack, share, P(X), efficiency of what is forwarded (multi, single), share of singles let through.
#: ``state`` and ``carried`` continue from call to call (-1: begin). ``out`` packs a detection: pulse << 16 |
#: photons << 8 | intensity << 4 | Alice in X << 3 | Bob in X << 2 | Alice's bit << 1 | Bob's bit. ``sent``
#: (3, 2) counts pulses by intensity, basis.
send = _cached_send(digest(__file__))
