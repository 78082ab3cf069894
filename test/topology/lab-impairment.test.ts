// Delay, loss and rate of a topology file, on the links of a lab that is made from it; and that other links have none.
//
// What a link does, it does in each direction. By netem or the lab's own link, as the
// kernel can; the bounds hold for either and on a busy machine.

import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { run } from '../../ctl/child.ts';
import { eventually } from '../eventually.ts';
import { lab, labName, labOk, remainsOf } from './lab-command.ts';

const TOPOLOGY = `
name: impaired
summary: A link that delays, one that loses, one that is slow, one that is good.
bfd: false
routers: [router]
networks: {a: {router: router, prefix: 192.168.64.0/24}}
nodes:
  node1: {network: a}
  node2: {network: a, delay: 20 ms}
  node3: {network: a, loss: 10 %}
  node4: {network: a, rate: 8 Mbit/s}
etcd: {network: a}
`;
const ADDRESSES = { node2: '192.168.64.12', node3: '192.168.64.13', node4: '192.168.64.14', etcd: '192.168.64.10' };
const PINGS = 1_000;
const BULK_BYTES = 2_000_000;
/** What tbf lets through at once before it limits. */
const BURST_BYTES = 65_536;
const PATIENCE = { timeoutMs: 30_000, intervalMs: 100 };

const name = labName();
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gh-impaired-'));
  const path = join(folder, 'impaired.yaml');
  await writeFile(path, TOPOLOGY);
  await labOk(name, 'up', '--topology', path);
}, 120_000);

afterAll(async () => {
  await lab(name, 'down');
  await rm(folder, { recursive: true, force: true });
  expect(remainsOf(name)).toEqual([]);
});

it('delays by what the file says, there and back, and no other link', async () => {
  expect(await shortestPing('node2')).toBeGreaterThanOrEqual(39);
  expect(await shortestPing('etcd')).toBeLessThan(20);
});

it('loses the share that the file says, in each direction', async () => {
  // 19 % are expected of pings that cross twice; 5 standard deviations of 1,000 are 6.2 %.
  const lost = await lostPings('node3');
  expect(lost).toBeGreaterThan(0.12 * PINGS);
  expect(lost).toBeLessThan(0.26 * PINGS);
  // Not none: on a busy machine the last answers may be too late for ping.
  expect(await lostPings('etcd')).toBeLessThan(0.01 * PINGS);
});

it('lets no more through than the rate', async () => {
  const script = `
    const { createServer, connect } = require('node:net');
    if (process.argv[1] === 'hear') {
      createServer((socket) => {
        let count = 0, first = 0;
        socket.on('data', (bytes) => {
          first ||= performance.now();
          count += bytes.length;
        }).on('end', () => { console.log(count, performance.now() - first); process.exit(0); });
      }).listen(7000, () => console.error('listening'));
    } else connect(7000, process.argv[1]).end(Buffer.alloc(${BULK_BYTES}));`;
  const hearing = spawn('ip', ['netns', 'exec', `gh-${name}-node4`, process.execPath, '-e', script, 'hear']);
  let out = '';
  let err = '';
  hearing.stdout.on('data', (bytes) => {
    out += String(bytes);
  });
  hearing.stderr.on('data', (bytes) => {
    err += String(bytes);
  });
  try {
    await eventually('it listens', () => err.includes('listening'), PATIENCE);
    await run([...inNode1(), process.execPath, '-e', script, ADDRESSES.node4]);
    await eventually('all has come', () => out.endsWith('\n'), PATIENCE);
  } finally {
    hearing.kill('SIGKILL');
  }
  const [bytes = 0, ms = 0] = out.split(' ').map(Number);
  expect(bytes).toBe(BULK_BYTES);
  expect(((bytes - BURST_BYTES) * 8) / ms / 1_000).toBeLessThanOrEqual(8.5);
});

it('a scenario that impairs such a link again is refused before anything is made', async () => {
  const path = join(folder, 'again.yaml');
  const lesson = 'A scenario of the test of the lab itself, which teaches nobody anything.';
  await writeFile(
    path,
    `name: again\ntopology: ${join(folder, 'impaired.yaml')}\nlesson: ${lesson}\nflows: [node1 > node2]\nsteps:\n  - {at: 1 s, impair: {link: node2, delay: 1 ms}}\nend: 2 s\nexpect: [no loss]\n`,
  );
  const { code, stderr } = await lab(labName(), 'run', path);
  expect(stderr).toBe('lab: again: link node2 is impaired by topology impaired already\n');
  expect(code).toBe(2);
});

/** Of ten, in milliseconds. */
async function shortestPing(to: keyof typeof ADDRESSES): Promise<number> {
  const text = await run([...inNode1(), 'ping', '-n', '-q', '-c', '10', '-i', '0.05', ADDRESSES[to]]);
  return Number(/rtt min\/avg\/max\/mdev = ([\d.]+)/.exec(text)?.[1]);
}

async function lostPings(to: keyof typeof ADDRESSES): Promise<number> {
  const text = await run([...inNode1(), 'ping', '-n', '-q', '-c', String(PINGS), '-i', '0.003', ADDRESSES[to]]);
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(text) ?? [];
  return Number(sent) - Number(received);
}

function inNode1(): readonly string[] {
  return ['ip', 'netns', 'exec', `gh-${name}-node1`];
}
