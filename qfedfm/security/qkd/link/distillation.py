"""From sifted bits to a key: compare, correct, verify, amplify, and put authentication's share back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from qfedfm.core.config import Config
from qfedfm.core.random import Streams
from qfedfm.security.qkd.link.cascade import FRAME, Reconciled, reconcile, variant
from qfedfm.security.qkd.link.conversation import TAG_BITS, Conversation
from qfedfm.security.qkd.link.outcome import Key, SessionAborted, Statistics
from qfedfm.security.qkd.link.polynomial_hash import blocks_of, verification_tag
from qfedfm.security.qkd.link.toeplitz import ToeplitzHash

Bits = NDArray[np.uint8]


class Distillation(Config):
    """How sifted bits become a key.

    Args:
        secrecy: eps_sec.
        correctness: eps_cor.
        cascade: The Cascade variant.
        frame: Bits of a Cascade frame.
        sample: Share of the key basis that is compared to estimate its error rate.
        error_limit: Largest error rate of either basis; above it the session ends. The default is where the
            asymptotic key of BB84 is gone.
    """

    secrecy: Annotated[float, Field(gt=0, lt=0.1)] = 1e-9
    correctness: Annotated[float, Field(gt=0, lt=0.1)] = 1e-15
    cascade: Literal["original", "option3", "option4", "option7"] = "option7"
    frame: Annotated[int, Field(ge=100)] = FRAME
    sample: Annotated[float, Field(gt=0, lt=0.5)] = 0.02
    error_limit: Annotated[float, Field(gt=0, lt=0.5)] = 0.110028


@dataclass(frozen=True)
class Sifted:
    """Sifted bits of both bases.

    Args:
        alice_x: Alice's bits of the key basis, (n,).
        bob_x: Bob's.
        alice_z: Alice's bits of the other basis, (k,).
        bob_z: Bob's.
    """

    alice_x: Bits
    bob_x: Bits
    alice_z: Bits
    bob_z: Bits


Length = Callable[[NDArray[np.bool_], Statistics], tuple[float, float]]
"""From (which key-basis bits are kept (n,), statistics with the leak) to (key length, phase error bound)."""


@dataclass
class Progress:
    """Statistics as they become known, so that an aborted session still has them."""

    statistics: Statistics

    def note(self, **values: float) -> None:
        """Adds what is known now."""
        self.statistics = replace(self.statistics, **values)  # type: ignore[arg-type]


def distil(
    sifted: Sifted,
    conversation: Conversation,
    options: Distillation,
    streams: Streams,
    length: Length,
    progress: Progress,
) -> Key:
    """Returns the key, or ends the session.

    Args:
        sifted: Sifted bits.
        conversation: The authenticated classical channel.
        options: How.
        streams: Public choices (sample, permutations, hash seeds).
        length: The security proof: how long a key these statistics allow.
        progress: Where statistics are noted.

    Raises:
        SessionAborted: With the reason; nothing of the bits may be used.
    """
    kept = estimate(sifted, conversation, options, streams, progress)
    alice, bob = sifted.alice_x[kept], sifted.bob_x[kept]
    found = correct(alice, bob, conversation, options, streams, progress)
    allowed, phase = length(kept, progress.statistics)
    secret = max(0, min(math.floor(allowed), len(alice)))
    overhead = TAG_BITS * (len(conversation.sent) + 1)
    if secret <= overhead:
        raise SessionAborted(
            "no_key",
            f"these statistics allow a key of {secret} bits, and authentication needs {overhead}: "
            f"error rates {progress.statistics.qber_x:.4f} (X) and {progress.statistics.qber_z:.4f} (Z), "
            f"phase error bound {phase:.4f}",
        )
    seed = _public_bits(streams, "toeplitz", len(alice) + secret - 1)
    conversation.send("amplification", np.packbits(seed).tobytes())
    progress.note(authentication_bits=TAG_BITS * len(conversation.sent))
    hashed = ToeplitzHash(seed, len(alice), secret)(np.stack([alice, found]))
    conversation.seed.replenish(np.packbits(hashed[0, :overhead]).tobytes())
    return Key(hashed[0, overhead:], hashed[1, overhead:], secret, progress.statistics, phase)


def estimate(
    sifted: Sifted, conversation: Conversation, options: Distillation, streams: Streams, progress: Progress
) -> NDArray[np.bool_]:
    """Compares the other basis and a sample of the key basis; returns which key bits remain, (n,) bool."""
    n = len(sifted.alice_x)
    wanted = min(n // 2, max(round(options.sample * n), min(1000, n // 4)))
    if wanted < 50 or len(sifted.alice_z) < 50:
        raise SessionAborted(
            "too_few",
            f"only {n} sifted bits in X and {len(sifted.alice_z)} in Z; too few to estimate anything",
        )
    rng = streams("sample")
    kept = np.ones(n, dtype=bool)
    kept[rng.choice(n, wanted, replace=False)] = False
    compared = (sifted.alice_x[~kept], sifted.bob_x[~kept], sifted.alice_z, sifted.bob_z)
    conversation.send("estimation", np.packbits(~kept).tobytes() + np.packbits(compared[1]).tobytes())
    conversation.send("estimation", b"".join(np.packbits(bits).tobytes() for bits in compared))
    qber_x = float((compared[0] != compared[1]).mean())
    qber_z = float((compared[2] != compared[3]).mean())
    progress.note(
        raw_bits=int(kept.sum()), compared_bits=wanted + len(sifted.alice_z), qber_x=qber_x, qber_z=qber_z
    )
    worst = max(qber_x, qber_z)
    if worst > options.error_limit:
        raise SessionAborted(
            "qber",
            f"the error rate is {worst:.4f}, above the limit {options.error_limit:.4f}: someone may be "
            "listening, or the link is broken",
        )
    return kept


def correct(
    alice: Bits,
    bob: Bits,
    conversation: Conversation,
    options: Distillation,
    streams: Streams,
    progress: Progress,
) -> Bits:
    """Returns Bob's bits, corrected and verified to be Alice's."""
    errors = progress.statistics.qber_x * (progress.statistics.compared_bits or 1)
    estimated = progress.statistics.qber_x if errors else progress.statistics.qber_z
    flipped = -1
    tampering = conversation.tampering
    if tampering is not None and tampering.message == "parity":
        first = variant(options.cascade).block_sizes(estimated, min(options.frame, len(alice)))[0]
        flipped = tampering.bit % max(1, min(options.frame, len(alice)) // int(first))
        conversation.tampering = tampering.model_copy(update={"bit": flipped})
    found = reconcile(
        alice,
        bob,
        estimated,
        streams,
        kind=options.cascade,
        frame=options.frame,
        fresh=False,
        flipped=flipped,
    )
    progress.note(parities=found.leak)
    conversation.send("parity", np.packbits(found.transcript).tobytes())
    bits = found.bits
    if _verified(alice, bits, conversation, options, streams.at("all"), progress):
        return bits
    bits = _disclose_failed(alice, bits, found, conversation, options, streams, progress)
    if not _verified(alice, bits, conversation, options, streams.at("again"), progress):
        raise SessionAborted(
            "verification", "the keys still differ after error correction; the session's bits are discarded"
        )
    return bits


def _verified(
    alice: Bits,
    bob: Bits,
    conversation: Conversation,
    options: Distillation,
    streams: Streams,
    progress: Progress,
) -> bool:
    """Compares a tag of the keys under a fresh public key; counts its bits."""
    key = np.packbits(_public_bits(streams, "verification", 128)).tobytes()
    length = tag_length(len(alice), options.correctness)
    tag = verification_tag(key, alice, length)
    conversation.send("verification", key + tag)
    progress.note(tag_bits=progress.statistics.tag_bits + length)
    return verification_tag(key, bob, length) == tag


def _disclose_failed(
    alice: Bits,
    bob: Bits,
    found: Reconciled,
    conversation: Conversation,
    options: Distillation,
    streams: Streams,
    progress: Progress,
) -> Bits:
    """Finds the frames that still differ by a tag each and has Alice disclose them; every bit is counted."""
    key = np.packbits(_public_bits(streams, "frames", 128)).tobytes()
    length = tag_length(options.frame, options.correctness)
    tags = [verification_tag(key, alice[start:stop], length) for start, stop in found.frames]
    conversation.send("verification", key + b"".join(tags))
    wrong = [
        (start, stop)
        for (start, stop), tag in zip(found.frames, tags, strict=True)
        if verification_tag(key, bob[start:stop], length) != tag
    ]
    bits, disclosed = bob.copy(), b""
    for start, stop in wrong:
        bits[start:stop] = alice[start:stop]
        disclosed += np.packbits(alice[start:stop]).tobytes()
    conversation.send("verification", disclosed or b"\0")
    progress.note(
        tag_bits=progress.statistics.tag_bits + length * len(tags),
        disclosed_bits=sum(stop - start for start, stop in wrong),
    )
    return bits


def tag_length(bits: int, correctness: float) -> int:
    """Returns how many bits of the hash make two different keys of ``bits`` collide with at most eps_cor."""
    return min(128, 8 * math.ceil(math.log2(blocks_of(bits) / correctness) / 8))


def _public_bits(streams: Streams, name: str, count: int) -> Bits:
    octets = np.frombuffer(streams(name).bytes(-(-count // 8)), dtype=np.uint8)
    return np.unpackbits(octets)[:count]
