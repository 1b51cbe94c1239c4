// What every peer in Node is asked for: `node PEER.mjs MODE COUNT`, the store's address in PEER_URI.
import { createRequire } from "node:module";
import readline from "node:readline";

// The packages of ./scripts/setup peers: imports look beside this file only.
export const require = createRequire(`${process.env.PEER_MODULES}/`);

const now = () => Number(process.hrtime.bigint()) / 1e9; // the monotonic clock, which all processes of a host share
const say = (what) => console.log(JSON.stringify(what));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const SETTLED_MS = 500;

export async function main(peer) {
  const [mode, count] = [process.argv[2], Number(process.argv[3])];
  const uri = process.env.PEER_URI;
  const modes = {
    // Make the schema and a backlog of tasks in ten priorities, or in one; not measured.
    async fill() {
      await peer.fill(uri, count, 1);
      say({});
    },
    async fill10() {
      await peer.fill(uri, count, 10);
      say({});
    },
    // Run no-op tasks as installed, or with the best settings found, until stdin is closed.
    installed: () => work(peer, uri, false),
    best: () => work(peer, uri, true),
    // Tell of each task when it was started.
    async stamp() {
      const stop = await peer.work(uri, true, (number) => say({ number, at: now() }));
      say({});
      await closed();
      await stop();
    },
    async one() {
      const queue = await peer.open(uri);
      const began = now();
      for (let number = 0; number < count; number++) await queue.one(number);
      say({ rate: count / (now() - began) });
      await queue.close();
    },
    async bulk() {
      const queue = await peer.open(uri);
      const began = now();
      await queue.bulk(count);
      say({ rate: count / (now() - began) });
      await queue.close();
    },
    // Enqueue one task after the other, at human pace, and tell when each was sent.
    async send() {
      const queue = await peer.open(uri);
      for (let number = 0; number < count; number++) {
        await pause(50 + 100 * Math.random());
        say({ number, sent: now() });
        await queue.one(number);
      }
      await queue.close();
    },
  };
  await modes[mode]();
  process.exit(0);
}

async function work(peer, uri, best) {
  let [done, began, ended] = [0, 0, 0];
  const counted = Number(process.argv[3]); // tell when so many were started; 0: when nothing was for a while
  const stop = await peer.work(uri, best, () => {
    ended = now();
    began ||= ended;
    if (++done === counted) say({ done, began, ended });
  });
  say({});
  let told = 0;
  setInterval(() => {
    if (!counted && done > told && now() - ended > SETTLED_MS / 1000) {
      told = done;
      say({ done, began, ended });
    }
  }, 50);
  await closed();
  await stop();
}

function closed() {
  return new Promise((done) => readline.createInterface({ input: process.stdin }).on("close", done));
}
