"""The other side of `cargo xtask interop`: does with aetcd what it is told.

    peer.py HOST:PORT README

reads one JSON object a line, {"do": METHOD, ARGUMENT: …}, and answers each with one line, {"answer": …}
or {"error": …}. Bytes are Base64. It ends with its input.
"""

import asyncio
import base64
import json
import re
import sys

import aetcd

# A batch of answers is no larger than a line may be.
LONGEST_LINE = 16 << 20


class Peer:
    """What it can be told to do: one method each."""

    def __init__(self, client, read_value):
        self.client = client
        self.read_value = read_value
        self.watch_of = None
        self.events = None

    async def put(self, key, value, lease=None):
        await self.client.put(decoded(key), decoded(value), lease=lease)

    async def get(self, key):
        return shown(await self.client.get(decoded(key)))

    async def list(self, prefix):
        return [shown(it) for it in await self.client.get_prefix(decoded(prefix))]

    async def delete(self, key):
        return await self.client.delete(decoded(key)) is not None

    async def watch(self, key):
        """Returns once the watch is live; `event` answers what it tells."""
        self.watch_of = await self.client.watch(decoded(key))
        self.events = aiter(self.watch_of)

    async def event(self):
        event = await anext(self.events)
        return {"kind": event.kind, **shown(event.kv)}

    async def unwatch(self):
        await self.watch_of.cancel()

    async def create(self, key, value):
        """Writes if nothing is there; whether it did."""
        client, key = self.client, decoded(key)
        absent = client.transactions.version(key) == 0
        written = client.transactions.put(key, decoded(value))
        done, _ = await client.transaction(compare=[absent], success=[written], failure=[])
        return done

    async def replace(self, key, old, new):
        """Writes if that is there; whether it did."""
        return await self.client.replace(decoded(key), decoded(old), decoded(new))

    async def count(self, key, times):
        """Adds one, so many times; answers how often somebody else was faster."""
        key, lost = decoded(key), 0
        while times > 0:
            found = await self.client.get(key)
            more = str(int(found.value) + 1).encode()
            if await self.client.replace(key, found.value, more):
                times -= 1
            else:
                lost += 1
        return lost

    async def grant(self, seconds):
        return (await self.client.lease(seconds)).id

    async def lease(self, lease):
        """For how many seconds it was granted, and lives still; -1 if it is gone."""
        told = await self.client.get_lease_info(lease, keys=False)
        return {"granted": told.grantedTTL, "left": told.TTL}

    async def read(self, raw):
        """What the reader of the README makes of it."""
        value, end = self.read_value(decoded(raw))
        return {"value": encoded(value), "end": end}


def shown(found):
    if found is None:
        return None
    return {
        "key": encoded(found.key),
        "value": encoded(found.value),
        "lease": found.lease,
        "revision": found.mod_revision,
    }


def encoded(data):
    return base64.b64encode(data).decode()


def decoded(text):
    return base64.b64decode(text)


def reader(readme):
    """The function that the README shows: what is documented is what is checked."""
    with open(readme, encoding="utf-8") as file:
        blocks = re.findall(r"```python\n(.*?)```", file.read(), re.DOTALL)
    names = {}
    exec(compile("\n".join(blocks), readme, "exec"), names)
    return names["read_value"]


async def main(address, readme):
    host, port = address.rsplit(":", 1)
    lines = asyncio.StreamReader(limit=LONGEST_LINE)
    protocol = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    async with aetcd.Client(host, int(port), timeout=20) as client:
        peer = Peer(client, reader(readme))
        while line := await lines.readline():
            order = json.loads(line)
            try:
                method = getattr(peer, order.pop("do"))
                answer = {"answer": await method(**order)}
            except Exception as error:  # It is for the other side to judge.
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
