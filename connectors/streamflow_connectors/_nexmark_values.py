"""The channels through which Nexmark's bids come."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa

from streamflow_connectors._random import random_text, random_words

HOT_CHANNELS = ("Google", "Facebook", "Baidu", "Apple")
CHANNELS = 10_000


@lru_cache(maxsize=8)
def channels(seed: int) -> tuple[pa.Array, pa.Array]:
    """The names and the URLs of all channels, the hot ones first; nine in ten of the others' URLs name the channel."""
    count = len(HOT_CHANNELS) + CHANNELS
    numbers = np.arange(count, dtype=np.int64)
    words = [random_text(numbers, seed, f"url {part}", 5, 5).to_pylist() for part in range(3)]
    named = (random_words(numbers, seed, "url names the channel") >> np.uint64(32)) % np.uint64(10) > 0
    names, urls = list(HOT_CHANNELS), []
    names += [f"channel-{number}" for number in range(CHANNELS)]
    for number, (first, second, third) in enumerate(zip(*words, strict=True)):
        url = f"https://www.nexmark.com/{first}/{second}/{third}/item.htm?query=1"
        cold = number - len(HOT_CHANNELS)
        urls.append(f"{url}&channel_id={cold}" if cold >= 0 and named[number] else url)
    return pa.array(names), pa.array(urls)
