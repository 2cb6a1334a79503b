"""Asks so many times, so many at once, and prints the seconds that it took."""

import asyncio
import sys
import time

import limits

url, tasks, calls = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
item = limits.parse("1000000/minute")


def one_by_one():
    storage = limits.storage.storage_from_string(url)
    limiter = limits.strategies.FixedWindowRateLimiter(storage)
    limiter.hit(item, "warm")
    begun = time.perf_counter()
    for turn in range(calls):
        assert limiter.hit(item, f"user:{turn % 1000}")
    return time.perf_counter() - begun


async def at_once():
    storage = limits.storage.storage_from_string(f"async+{url}")
    limiter = limits.aio.strategies.FixedWindowRateLimiter(storage)
    await limiter.hit(item, "warm")

    async def ask(task):
        for turn in range(calls // tasks):
            assert await limiter.hit(item, f"user:{(task * 7919 + turn) % 1000}")

    begun = time.perf_counter()
    await asyncio.gather(*(ask(task) for task in range(tasks)))
    return time.perf_counter() - begun


print(one_by_one() if tasks == 1 else asyncio.run(at_once()))
