// Fills backlogs, does them one after the other, and prints the seconds from the start of the first
// worker to the last handler.
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";

const [address, backlog, many] = process.argv.slice(2);
const [host, port] = address.split("/")[0].split(":");
const connect = () => new Redis({ host, port: Number(port), maxRetriesPerRequest: null });
const [size, queues] = [Number(backlog), Number(many)];
const pad = "x".repeat(110);

for (let number = 0; number < queues; number++) {
  const queue = new Queue(`q${number}`, { connection: connect() });
  for (let left = size; left > 0; left -= 500) {
    const jobs = Array.from({ length: Math.min(left, 500) }, () => ({ name: "noop", data: { pad } }));
    await queue.addBulk(jobs);
  }
  await queue.close();
}

const begun = performance.now();
const workers = [];
for (let number = 0; number < queues; number++) {
  await new Promise((resolve) => {
    let done = 0;
    const work = async () => {
      if (++done === size) resolve();
    };
    workers.push(
      new Worker(`q${number}`, work, {
        connection: connect(),
        concurrency: 100,
        removeOnComplete: { count: 0 },
      }),
    );
  });
  // It ends while the next one works, as little in its way as can be.
  workers.pop().close();
}
console.log((performance.now() - begun) / 1000);
process.exit(0);
