"""What a federation works on: samples, which client holds which, and what is held out."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Modality = Literal["text", "image", "features"]


@dataclass(frozen=True)
class ClientIndex:
    """The samples of every client in compressed rows: two arrays, however many clients.

    Args:
        train_indices: Training samples of all clients, client after client, shape (training samples,).
        train_offsets: Client k holds ``train_indices[train_offsets[k]:train_offsets[k + 1]]``,
            shape (clients + 1,).
        validation_indices: The same for the parts that clients hold out.
        validation_offsets: The same for the parts that clients hold out.
        names: Names of natural owners, or empty.
    """

    train_indices: Ints
    train_offsets: Ints
    validation_indices: Ints
    validation_offsets: Ints
    names: tuple[str, ...] = ()

    @staticmethod
    def of(
        owners: Ints,
        clients: int,
        samples: Ints,
        validation_fraction: float = 0.0,
        rng: np.random.Generator | None = None,
        names: tuple[str, ...] = (),
    ) -> ClientIndex:
        """Builds the index from owners.

        Args:
            owners: Client of each sample, -1 for nobody, shape (samples,).
            clients: Number of clients.
            samples: Index of each sample in the data, shape (samples,).
            validation_fraction: Part of its samples each client holds out, rounded down, in [0, 1).
            rng: Draws the held-out parts.
            names: Names of natural owners.
        """
        held = owners >= 0
        owners, samples = owners[held], samples[held]
        chosen = np.zeros(len(owners), dtype=np.bool_)
        sizes = np.bincount(owners, minlength=clients)
        if validation_fraction:
            assert rng is not None
            order = rng.permutation(len(owners))
            order = order[np.argsort(owners[order], kind="stable")]
            rank = np.arange(len(owners)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            out = np.minimum((sizes * validation_fraction + 1e-9).astype(np.int64), sizes - 1)
            chosen[order[rank < np.repeat(out, sizes)]] = True

        def rows(part: NDArray[np.bool_]) -> tuple[Ints, Ints]:
            order = np.lexsort((samples[part], owners[part]))
            counts = np.bincount(owners[part], minlength=clients)
            return samples[part][order], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

        return ClientIndex(*rows(~chosen), *rows(chosen), names)

    def __len__(self) -> int:
        return len(self.train_offsets) - 1

    def train(self, client: int) -> Ints:
        """Returns the indices of a client's training samples, ascending."""
        return self.train_indices[self.train_offsets[client] : self.train_offsets[client + 1]]

    def validation(self, client: int) -> Ints:
        """Returns the indices of the samples a client holds out, ascending."""
        return self.validation_indices[self.validation_offsets[client] : self.validation_offsets[client + 1]]

    @cached_property
    def sizes(self) -> Ints:
        """Training samples per client, shape (clients,)."""
        return np.diff(self.train_offsets)

    @property
    def validation_sizes(self) -> Ints:
        """Held-out samples per client, shape (clients,)."""
        return np.diff(self.validation_offsets)

    def table(self, labels: Ints, classes: int) -> Ints:
        """Returns the training samples of each client in each class, shape (clients, classes)."""
        codes = np.repeat(np.arange(len(self)), self.sizes) * classes + labels[self.train_indices]
        return np.bincount(codes, minlength=len(self) * classes).reshape(len(self), classes)


@dataclass(frozen=True)
class Duplicates:
    """Texts (or images) that more than one client holds.

    Args:
        texts: Distinct texts held by two or more clients.
        samples: Samples that carry one of these texts.
        client_pairs: Pairs of clients with a text in common; None where there are too many to count.
        largest: Up to ten such pairs with the most texts in common, as (client, client, texts).
    """

    texts: int = 0
    samples: int = 0
    client_pairs: int | None = 0
    largest: tuple[tuple[int, int, int], ...] = ()

    def plain(self) -> dict[str, Any]:
        """Returns builtins, for a JSON record."""
        return {
            "texts": self.texts,
            "samples": self.samples,
            "client_pairs": self.client_pairs,
            "largest": [list(pair) for pair in self.largest],
        }

    @staticmethod
    def between(groups: Ints, clients: ClientIndex, most_pairs: int = 2_000_000) -> Duplicates:
        """Counts groups of identical samples that span clients.

        Args:
            groups: Identical samples have the same number, shape (samples,).
            clients: Who holds what, training and held-out parts together.
            most_pairs: Beyond this many pairs they are not listed.
        """
        index = np.concatenate([clients.train_indices, clients.validation_indices])
        holder = np.concatenate(
            [
                np.repeat(np.arange(len(clients)), clients.sizes),
                np.repeat(np.arange(len(clients)), clients.validation_sizes),
            ]
        )
        held, of_sample = np.unique(groups[index], return_inverse=True)
        if len(held) == len(index):
            return Duplicates()
        pairs = np.unique(np.stack([of_sample, holder], 1), axis=0)  # distinct (text, client)
        holders = np.bincount(pairs[:, 0], minlength=len(held))
        shared = holders > 1
        texts, samples = int(shared.sum()), int(shared[of_sample].sum())
        if not texts or int((holders[shared] * (holders[shared] - 1) // 2).sum()) > most_pairs:
            return Duplicates(texts, samples, None if texts else 0)
        counts: dict[tuple[int, int], int] = {}
        starts = np.cumsum(holders) - holders
        for text in np.flatnonzero(shared).tolist():
            who = pairs[starts[text] : starts[text] + holders[text], 1].tolist()
            for i, first in enumerate(who):
                for second in who[i + 1 :]:
                    counts[first, second] = counts.get((first, second), 0) + 1
        largest = sorted(((a, b, n) for (a, b), n in counts.items()), key=lambda p: (-p[2], p))[:10]
        return Duplicates(texts, samples, len(counts), tuple(largest))


@dataclass(frozen=True)
class FederatedData:
    """Samples and their division among clients.

    Args:
        modality: What the samples are.
        inputs: Texts, or images of shape (samples, height, width) in [0, 1], or features of shape
            (samples, dimension), float32, possibly memory-mapped.
        labels: Class of every sample, shape (samples,).
        label_names: Names of the classes. Labels that only test samples carry come last.
        clients: Which client holds what.
        test: Indices of the test samples, ascending.
        public: Indices of samples that no client holds, for pretraining by the server; may be empty.
        fingerprint: SHA-256 of the content and of the division.
        duplicates: What several clients hold alike.
        warnings: Sentences for the user.

    Raises:
        ValueError: A sample stands in two of train, validation, test and public, or is held by two clients.
    """

    modality: Modality
    inputs: Sequence[str] | NDArray[np.float32]
    labels: Ints
    label_names: tuple[str, ...]
    clients: ClientIndex
    test: Ints
    public: Ints
    fingerprint: str
    duplicates: Duplicates = field(default_factory=Duplicates)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        uses = np.zeros(len(self.labels), dtype=np.int64)
        for part in (self.clients.train_indices, self.clients.validation_indices, self.test, self.public):
            np.add.at(uses, part, 1)
        if (uses > 1).any():
            sample = int(np.flatnonzero(uses > 1)[0])
            raise ValueError(
                f"{int((uses > 1).sum())} samples stand in more than one of the clients' parts, test and "
                f"public (the first is sample {sample}); these must be disjoint"
            )

    @property
    def classes(self) -> int:
        """Number of classes, those that only test samples carry included."""
        return len(self.label_names)

    def majority_accuracy(self) -> float:
        """Returns the test accuracy of always answering the most frequent training label."""
        counts = np.bincount(self.labels[self.clients.train_indices], minlength=self.classes)
        return float((self.labels[self.test] == int(counts.argmax())).mean())

    def release(self) -> None:
        """Drops the pages of a memory-mapped ``inputs`` from this process; they are read again on use."""
        mapped = getattr(self.inputs, "_mmap", None)
        if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
