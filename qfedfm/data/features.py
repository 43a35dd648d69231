"""The source ``features``: seeded Gaussian class clusters, memory-mapped, for tests of scale.

Sample i is ``separation * u[label_i] + noise`` with ``u`` unit vectors and unit Gaussian noise. Rows are
drawn and written in chunks, each from its own named stream, so memory does not grow with the number of
samples; the finished file lies in the cache under the hash of everything it depends on.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.files import cache_folder, placing, write_atomic
from qfedfm.core.random import Streams
from qfedfm.data.config import FeaturesConfig

_CHUNK_BYTES = 8 << 20
_FORMAT = 1


def features(
    config: FeaturesConfig, samples: int, streams: Streams, cache: Path | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64], str]:
    """Returns clusters, drawing them unless the cache has them.

    Args:
        config: Dimension, classes and separation.
        samples: Number of rows.
        streams: Everything is drawn from these.
        cache: Folder of the cache, by default ``cache_folder("features")``.

    Returns:
        Features, shape (samples, dimension), read-only and memory-mapped; labels, shape (samples,), as
        balanced as they can be, in random order; and the SHA-256 of the features.
    """
    dimension = config.dimension
    labels = streams("labels").permutation(np.arange(samples) % config.classes)
    facts = [_FORMAT, streams.key("features").hex(), samples, dimension, config.classes, config.separation]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
    folder = cache if cache is not None else cache_folder("features")
    path, note = folder / f"{key}.f32", folder / f"{key}.json"
    if not (path.is_file() and note.is_file() and path.stat().st_size == 4 * samples * dimension):
        digest = _write(path, config, labels, streams)
        write_atomic(note, json.dumps({"sha256": digest}))
    mapped = np.memmap(path, dtype="<f4", mode="r", shape=(samples, dimension))
    return mapped, labels.astype(np.int64), str(json.loads(note.read_text())["sha256"])


def _write(path: Path, config: FeaturesConfig, labels: NDArray[np.int64], streams: Streams) -> str:
    centres = streams("centres").standard_normal((config.classes, config.dimension))
    centres *= config.separation / np.linalg.norm(centres, axis=1, keepdims=True)
    centres_CD = centres.astype(np.float32)
    rows = max(1, _CHUNK_BYTES // (4 * config.dimension))
    digest = hashlib.sha256()
    with placing(path) as temporary, temporary.open("wb") as stream:
        for chunk in range(math.ceil(len(labels) / rows)):
            part = labels[chunk * rows : (chunk + 1) * rows]
            block = streams("noise", chunk).standard_normal((len(part), config.dimension), dtype=np.float32)
            block += centres_CD[part]
            content = block.astype("<f4", copy=False).tobytes()
            digest.update(content)
            stream.write(content)
    return digest.hexdigest()
