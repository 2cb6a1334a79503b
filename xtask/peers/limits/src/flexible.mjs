// Asks so many times, so many at once, and prints the seconds that it took.
import { Redis } from "ioredis";
import { RateLimiterRedis } from "rate-limiter-flexible";

const [url, tasks, calls] = process.argv.slice(2);
const redis = new Redis(url);
const limiter = new RateLimiterRedis({ storeClient: redis, points: 1_000_000, duration: 60 });
await limiter.consume("warm");

const each = Math.floor(Number(calls) / Number(tasks));
const ask = async (task) => {
  for (let turn = 0; turn < each; turn++) {
    await limiter.consume(`user:${(task * 7919 + turn) % 1000}`);
  }
};
const begun = performance.now();
await Promise.all(Array.from({ length: Number(tasks) }, (_, task) => ask(task)));
console.log((performance.now() - begun) / 1000);
process.exit(0);
