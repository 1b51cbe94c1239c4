// graphile-worker on PostgreSQL.
import { main, require } from "./harness.mjs";

const { Logger, makeWorkerUtils, run } = require("graphile-worker");
const pg = require("pg");

const BEST = { concurrentJobs: 24, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
const CHUNK = 5_000;
const silent = { logger: new Logger(() => () => {}) };

await main({
  async open(uri) {
    const utils = await makeWorkerUtils({ connectionString: uri, ...silent });
    await utils.migrate();
    return {
      one: (number) => utils.addJob("noop", { number }),
      async bulk(count) {
        for (let start = 0; start < count; start += CHUNK) {
          const size = Math.min(CHUNK, count - start);
          await utils.addJobs(
            Array.from({ length: size }, (_, i) => ({ identifier: "noop", payload: { number: start + i } })),
          );
        }
      },
      close: () => utils.release(),
    };
  },
  async fill(uri, count, priorities) {
    const utils = await makeWorkerUtils({ connectionString: uri, ...silent });
    await utils.migrate();
    await utils.release();
    const client = new pg.Client(uri);
    await client.connect();
    await client.query(
      `select graphile_worker.add_job('noop', json_build_object('number', n), priority := n % $2)
       from generate_series(1, $1::int) n`,
      [count, priorities],
    );
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
