"""Sums under homomorphic encryption: CKKS. Cheon et al., 2017, doi:10.1007/978-3-319-70694-8_15.

Clients encrypt their weighted updates under one public key, the server adds ciphertexts (4096 numbers each,
N = 8192, moduli of 60, 40 and 60 bits, scale 2^40), and clients that hold the secret key decrypt the sum.
TenSEAL does it (extra ``[he]``); its encryption draws its own randomness, so two runs differ a little.

Who has a ciphertext and its exact decryption can solve for the secret key (Li and Micciancio, 2021,
doi:10.1007/978-3-030-77870-5_23), and the server has both; so decryptors add Gaussian noise (``flooding``) to
the sum before they tell it.
"""

from __future__ import annotations

import importlib.util
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.security.summation.protocol import (
    Job,
    Message,
    Promise,
    Sum,
    SumAbortedError,
    SumClient,
    Summation,
    SumProtocol,
    SumServer,
    contribution,
)
from qfedfm.security.summation.wire import join, split

if TYPE_CHECKING:
    import tenseal

DEGREE, MODULI, SCALE = 8192, (60, 40, 60), 2.0**40
SLOTS = DEGREE // 2


class Ckks(SumProtocol):
    """Homomorphic sums; all clients hold one secret key.

    Args:
        bound: Largest absolute number of an update; larger ones are clipped and counted.
        threshold: The part of a round's clients whose updates must arrive, so that the sum is of many.
        decryptors: How many clients are asked to decrypt; one that answers is enough.
        flooding: Standard deviation of the noise on the decrypted sum; 0 for none, which gives the secret key
            away to a server that does the arithmetic.
    """

    kind: Literal["ckks"] = "ckks"
    bound: Annotated[float, Field(gt=0)] = 1.0
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.6
    decryptors: Annotated[int, Field(ge=1)] = 2
    flooding: Annotated[float, Field(ge=0)] = 1e-6

    exact: ClassVar[bool] = False
    sum_phases: ClassVar[tuple[str, ...]] = ("inputs", "decryption")
    contributes: ClassVar[str] = "inputs"

    @property
    def promise(self) -> Promise:
        """The threat model."""
        return Promise(
            hides_from="the server alone; rests on ring learning with errors, and on noise for the key",
            malicious_server="sends one client's ciphertext to be decrypted as the sum, and reads its update",
            trusted="every client, with the secret key: one that helps the server opens all updates",
            server_sees="ciphertexts, who is there, numbers of examples, and the sum",
            exactness=f"about 1e-8 a number, and noise of standard deviation {self.flooding:g}",
        )

    def check(self, clients: int) -> None:
        """Refuses sums over one client, and an installation without TenSEAL."""
        if clients < 2:
            raise RequestError(
                "security.sum ckks over one client a round would show that client's update; use "
                "federation.cohort 2 or more"
            )
        if importlib.util.find_spec("tenseal") is None:
            raise RequestError(
                "security.sum.kind ckks needs the package tenseal, which is not installed; install qfedfm[he]"
            )

    def open(self, streams: Streams, last: Mapping[str, Any] | None = None) -> Summation:
        """Returns the protocol in use, with a fresh key."""
        return _CkksSummation(self)


class _CkksSummation(Summation):
    def __init__(self, options: Ckks) -> None:
        import tenseal

        self._options = options
        self._secret = tenseal.context(tenseal.SCHEME_TYPE.CKKS, DEGREE, coeff_mod_bit_sizes=list(MODULI))
        self._secret.global_scale = SCALE
        self._public = self._secret.copy()
        self._public.make_context_public()

    def server(self, job: Job) -> SumServer:
        if len(job.clients) < 2:
            raise SumAbortedError(f"{len(job.clients)} client is there, and its sum would be its update")
        return _Server(job, self._options, self._public)

    def client(self, job: Job, client: int, update: NDArray[np.float32] | None) -> SumClient:
        return _Client(job, client, self._options, self._secret, update)


class _Client(SumClient):
    def __init__(
        self,
        job: Job,
        client: int,
        options: Ckks,
        context: tenseal.Context,
        update: NDArray[np.float32] | None,
    ) -> None:
        self._flooding = options.flooding
        self._context = context
        self._values: NDArray[np.float64] | None = None
        self._clipped = 0
        if update is not None:
            self._values, self._clipped = contribution(update, job.weights[client], options.bound)

    @property
    def notes(self) -> Mapping[str, int]:
        return {"clipped": self._clipped}

    def reply(self, phase: str, message: Message) -> Message:
        assert isinstance(message, bytes)
        if phase == "inputs":
            assert self._values is not None, "a client without numbers vanishes before it sends them"
            return join(*encrypt(self._context, self._values))
        found = decrypt(self._context, split(message))
        if self._flooding:
            noise = np.random.Generator(np.random.Philox(key=secrets.randbits(128)))
            found += self._flooding * noise.standard_normal(len(found))
        return found.astype("<f8").tobytes()


class _Server(SumServer):
    def __init__(self, job: Job, options: Ckks, context: tenseal.Context) -> None:
        self._job, self._options, self._context = job, options, context
        self._clients: tuple[int, ...] = ()
        self._sum: list[bytes] = []
        self._total: NDArray[np.float64] | None = None
        self._refused: dict[str, str] = {}

    def ask(self, phase: str) -> Mapping[int, Message]:
        if phase == "inputs":
            return dict.fromkeys(self._job.clients, b"")
        return dict.fromkeys(self._clients[: self._options.decryptors], join(*self._sum))

    def take(self, phase: str, replies: Mapping[int, Message]) -> None:
        if phase == "inputs":
            self._add({k: m for k, m in replies.items() if isinstance(m, bytes)})
            return
        length = 8 * self._job.size
        told = [m for _, m in sorted(replies.items()) if isinstance(m, bytes) and len(m) == length]
        if not told:
            raise SumAbortedError("no client that was asked decrypted the sum")
        values = [np.frombuffer(message, "<f8") for message in told]
        apart = max((float(np.abs(v - values[0]).max()) for v in values[1:]), default=0.0)
        if apart > 20 * self._options.flooding + 1e-6:
            raise SumAbortedError(f"clients decrypted sums that differ by {apart:.2g}: one of them is wrong")
        self._total = np.asarray(values[0], np.float64)

    def result(self) -> Sum:
        assert self._total is not None
        weight = sum(self._job.weights[client] for client in self._clients)
        notes = {"refused": self._refused} if self._refused else {}
        return Sum(self._clients, self._total, weight, notes=notes)

    def _add(self, replies: Mapping[int, bytes]) -> None:
        """Adds the ciphertexts of those whose messages are whole."""
        import tenseal

        chunks = -(-self._job.size // SLOTS)
        total: list[Any] = []
        good = []
        for client in sorted(set(self._job.clients).intersection(replies)):
            try:
                parts = split(replies[client], chunks)
                vectors = [tenseal.ckks_vector_from(self._context, part) for part in parts]
            except (SumAbortedError, ValueError, RuntimeError) as error:
                self._refused[str(client)] = str(error)
                continue
            if [v.size() for v in vectors] != _sizes(self._job.size):
                self._refused[str(client)] = "its ciphertexts hold another number of values"
                continue
            total = vectors if not total else [a.add_(b) for a, b in zip(total, vectors, strict=True)]
            good.append(client)
        needs = self._job.needed(self._options.threshold)
        if len(good) < needs:
            raise SumAbortedError(f"{len(good)} clients sent updates, and the sum needs {needs}")
        self._clients = tuple(good)
        self._sum = [vector.serialize() for vector in total]


def encrypt(context: tenseal.Context, values: NDArray[np.float64]) -> list[bytes]:
    """Returns the ciphertexts of d numbers, 4096 in each."""
    import tenseal

    return [
        bytes(tenseal.ckks_vector(context, values[start : start + SLOTS].tolist()).serialize())
        for start in range(0, len(values), SLOTS)
    ]


def decrypt(context: tenseal.Context, ciphertexts: list[bytes]) -> NDArray[np.float64]:
    """Returns the numbers in ciphertexts; the context holds the secret key."""
    import tenseal

    found = [tenseal.ckks_vector_from(context, part).decrypt() for part in ciphertexts]
    return np.concatenate([np.asarray(part, np.float64) for part in found])


def _sizes(size: int) -> list[int]:
    return [min(SLOTS, size - start) for start in range(0, size, SLOTS)]
