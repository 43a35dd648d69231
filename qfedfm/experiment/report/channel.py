"""What the channel of a run spent: key bits, waiting, and what the links still held."""

from __future__ import annotations

from qfedfm.experiment import quantities
from qfedfm.experiment.report.bars import stacked_bars
from qfedfm.experiment.report.lines import Line, line_chart
from qfedfm.experiment.report.page import cards, figure, warning
from qfedfm.experiment.report.records import Records
from qfedfm.experiment.report.svg import escape


def channel(records: Records) -> str:
    """Returns key bits and waiting by round; empty for a run without a channel."""
    rounds = [line for line in records.rounds if "key_bits_used" in line]
    if not rounds:
        return ""
    numbers = [int(line["round"]) for line in rounds]
    kind = escape(str(records.option("security.channel.kind", "")))
    cipher = escape(str(records.option("security.channel.cipher", "")))
    used = sum(int(line["key_bits_used"]) for line in rounds)
    waited = sum(float(line["key_wait_seconds"]) for line in rounds)
    lede = (
        f'<p class="lede">Channel {kind}, cipher {cipher}: {quantities.count(used)} key bits drawn, '
        f"{quantities.duration(waited)} of simulated waiting for keys.</p>"
    )
    fallbacks = [line for line in rounds if line.get("fallback")]
    for line in fallbacks[:1]:
        words = f"{len(fallbacks)} rounds fell back to ML-KEM-768, the first (round {line['round']}): "
        lede += warning(words + str(line["fallback"]))
    if used == 0:
        return lede
    bits = [("key bits", [float(line["key_bits_used"]) for line in rounds])]
    waits = [("waiting", [float(line["key_wait_seconds"]) for line in rounds])]
    pools = [
        (int(line["round"]), float(min(line["key_pool_bits"].values())))
        for line in rounds
        if line.get("key_pool_bits")
    ]
    return lede + cards(
        [
            figure(
                "Key bits",
                stacked_bars("Key bits by round", numbers, bits, "bits, all clients", quantities.count),
                "Drawn from the links, authentication keys of messages included.",
            ),
            figure(
                "Waiting for keys",
                stacked_bars("Waiting by round", numbers, waits, "simulated seconds", quantities.duration),
                "In the simulated clock; the slowest link decides.",
            ),
            figure(
                "Emptiest link",
                line_chart("Key bits of the emptiest link by round", [Line("pool", pools, colour=2)], "bits"),
                "After the round; links fill while clients train and wait.",
            ),
        ]
    )
