// A data plane as a process of its own: started in a namespace by dataplane-rig.ts, driven by JSON lines on standard input.
//
// Plain JavaScript on top of dist/, because it runs outside of vitest. Each line in is {"id", "op", "value"}; each line
// out is {"id", "result"} or {"id", "error"}; {"id": 0} says that the plane is open, {"failure"} that it failed later.

import { createInterface } from 'node:readline';

const dist = process.env.GINGHAM_DIST ?? new URL('../../dist', import.meta.url).pathname;
const { openDataPlane } = await import(`${dist}/flanneld/dataplane/open-data-plane.js`);

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

const [config, options] = process.argv.slice(2).map((text) => JSON.parse(text));
let plane;
try {
  plane = await openDataPlane(config, { ...options, onFailure: (error) => say({ failure: error.message }) });
} catch (error) {
  say({ id: 0, error: error.message });
  process.exit(error.exitCode ?? 1);
}
say({ id: 0, result: plane.io });

const operations = {
  setPeer: (peer) => plane.setPeer(peer),
  removePeer: (node) => plane.removePeer(node),
  setRoutes: (routes) => plane.setRoutes(routes),
  setMtu: (mtuBytes) => plane.setMtu(mtuBytes),
  stats: () => plane.stats(),
  persist: () => plane.persist(),
  close: () => plane.close(),
  // As a daemon that fails: without closing anything.
  exit: (code) => process.exit(code),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, op, value } = JSON.parse(line);
  try {
    say({ id, result: (await operations[op](value)) ?? null });
  } catch (error) {
    say({ id, error: error.message });
  }
}
process.exit(0);
