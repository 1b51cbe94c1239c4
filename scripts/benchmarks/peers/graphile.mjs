// graphile-worker on PostgreSQL.
import { main, require } from "./harness.mjs";

const { Logger, makeWorkerUtils, run } = require("graphile-worker");
const pg = require("pg");

const BEST = { concurrentJobs: 24, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
const CHUNK = 5_000;
const silent = { logger: new Logger(() => () => {}) };

async function addAll(utils, count, priorities) {
  for (let start = 0; start < count; start += CHUNK) {
    const size = Math.min(CHUNK, count - start);
    await utils.addJobs(
      Array.from({ length: size }, (_, i) => ({
        identifier: "noop",
        payload: { number: start + i },
        ...(priorities > 1 && { priority: (start + i) % priorities }),
      })),
    );
  }
}

await main({
  async open(uri) {
    const utils = await makeWorkerUtils({ connectionString: uri, ...silent });
    await utils.migrate();
    return {
      one: (number) => utils.addJob("noop", { number }),
      bulk: (count) => addAll(utils, count, 1),
      close: () => utils.release(),
    };
  },
  async fill(uri, count, priorities) {
    const utils = await makeWorkerUtils({ connectionString: uri, ...silent });
    await utils.migrate();
    await addAll(utils, count, priorities);
    await utils.release();
    const client = new pg.Client(uri);
    await client.connect();
    await client.query("vacuum analyze graphile_worker._private_jobs");
    await client.end();
  },
  async work(uri, best, handle) {
    const taskList = { noop: (payload) => void handle(payload.number) };
    const worker = best ? { ...BEST, connectionString: uri, ...silent } : { connectionString: uri, ...silent };
    const runner = await run({ preset: { worker }, taskList, noHandleSignals: true });
    return () => runner.stop();
  },
});
