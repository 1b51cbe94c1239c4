// BullMQ on Redis.
import { main, require } from "./harness.mjs";

const { Queue, Worker } = require("bullmq");

const BEST = { concurrency: 100 };
const CHUNK = 5_000;
const connection = (uri) => ({ url: uri, maxRetriesPerRequest: null });
const gone = { removeOnComplete: true };

async function bulk(queue, count, priorities) {
  for (let start = 0; start < count; start += CHUNK) {
    const size = Math.min(CHUNK, count - start);
    await queue.addBulk(
      Array.from({ length: size }, (_, i) => ({
        name: "noop",
        data: { number: start + i },
        opts: priorities > 1 ? { ...gone, priority: 1 + ((start + i) % priorities) } : gone,
      })),
    );
  }
}

await main({
  async open(uri) {
    const queue = new Queue("bench", { connection: connection(uri) });
    await queue.waitUntilReady();
    return {
      one: (number) => queue.add("noop", { number }, gone),
      bulk: (count) => bulk(queue, count, 1),
      close: () => queue.close(),
    };
  },
  async fill(uri, count, priorities) {
    const queue = new Queue("bench", { connection: connection(uri) });
    await bulk(queue, count, priorities);
    await queue.close();
  },
  async work(uri, best, handle) {
    const options = best ? BEST : {};
    const worker = new Worker("bench", async (job) => handle(job.data.number), { connection: connection(uri), ...options });
    await worker.waitUntilReady();
    return () => worker.close(true);
  },
});
