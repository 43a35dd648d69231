"""What noise leaves of the parity's mean."""

from __future__ import annotations


def visibility(clients: int, depolarizing: float = 0.0, loss: float = 0.0, channels: int = 1) -> float:
    """Returns V: what a GHZ state's parities are multiplied by.

    A Pauli error of total probability p on one qubit is X, Y or Z with p/3 each; two of the three flip the
    parity of equatorial measurements, so that each channel multiplies it by 1 - 4p/3. (Qiskit's
    ``depolarizing_error(λ, 1)`` has λ = 4p/3.) A lost qubit that nobody notices is read at random.

    Args:
        clients: K, one qubit each.
        depolarizing: p of each channel, 0 to 3/4.
        loss: Probability that a channel loses its qubit unnoticed.
        channels: Channels that each qubit goes through: 1 in total, or 2 (there and back).
    """
    return ((1.0 - 4.0 * depolarizing / 3.0) * (1.0 - loss)) ** (clients * channels)


def arrival(clients: int, loss: float, channels: int = 1) -> float:
    """Returns the probability that no qubit of a state is lost."""
    return (1.0 - loss) ** (clients * channels)
