// A docker engine for the compose test: the one that is running, else one of our own that leaves nothing behind.
//
// Our own dockerd lives in a network namespace of its own, joined to the machine by a veth pair with address
// translation. docker0, its firewall chains and its forwarding policy are therefore made in there, not in the machine,
// two runs do not meet, and deleting the namespace removes all of it.
//
// The namespace is entered with nsenter, not with "ip netns exec": that one hides the cgroups which dockerd needs.

import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { removeLeftovers } from './leftovers.mjs';
import { run, succeeds, until } from './process.mjs';
import { removeFolder } from './scratch-folder.mjs';

const FORWARD = '/proc/sys/net/ipv4/ip_forward';

/** Gives `{ env, stop }`: the variables with which docker and docker-compose reach an engine, and how to end it. */
export async function startEngine(folder) {
  if (await succeeds('docker', ['info'], { limitSeconds: 10 }))
    return { env: process.env, stop: async () => undefined };
  await removeLeftovers();
  console.log('no docker engine answers: starting one for this test');
  const namespace = `ghdocker${process.pid}`;
  const undo = [];
  const stop = async () => {
    for (const step of undo.reverse()) await step().catch((error) => console.error(error.message));
    undo.length = 0;
  };
  try {
    await makeNamespace(namespace, undo);
    return { env: await startDockerd(namespace, folder, undo), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function makeNamespace(namespace, undo) {
  // 198.18.0.0/15 is for test equipment (RFC 2544): a /30 of it, chosen by our pid.
  const slot = process.pid % 16384;
  const third = slot >> 6;
  const fourth = (slot & 63) * 4;
  const [outside, inside] = [1, 2].map((host) => `198.18.${third}.${fourth + host}`);
  const device = `ghd${process.pid}`;
  await run('ip', ['netns', 'add', namespace]);
  undo.push(() => run('ip', ['netns', 'del', namespace]));
  await run('ip', ['link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace]);
  undo.push(() => succeeds('ip', ['link', 'del', device]));
  await run('ip', ['addr', 'add', `${outside}/30`, 'dev', device]);
  await run('ip', ['link', 'set', device, 'up']);
  for (const args of [
    ['link', 'set', 'lo', 'up'],
    ['link', 'set', 'eth0', 'up'],
    ['addr', 'add', `${inside}/30`, 'dev', 'eth0'],
    ['route', 'add', 'default', 'via', outside],
  ]) {
    await run('ip', ['-n', namespace, ...args]);
  }
  await translate(device, `${outside}/30`, undo);
}

/** The build downloads packages: what leaves the namespace goes on under the machine's address. */
async function translate(device, subnet, undo) {
  const table = `gingham-${device}`;
  await run('nft', ['-f', '-'], {
    input: `table ip ${table} {
      chain out { type nat hook postrouting priority 100; ip saddr ${subnet} oifname != "${device}" masquerade; }
    }`,
  });
  undo.push(() => run('nft', ['delete', 'table', 'ip', table]));
  const before = readFileSync(FORWARD, 'utf8').trim();
  if (before === '1') return;
  writeFileSync(FORWARD, '1');
  // Another run's engine may have come to rely on it meanwhile.
  undo.push(async () => {
    const others = readdirSync('/sys/class/net').some((name) => /^ghd\d+$/.test(name) && name !== device);
    if (!others) writeFileSync(FORWARD, before);
  });
}

async function startDockerd(namespace, folder, undo) {
  mkdirSync(folder, { recursive: true });
  const socket = `unix://${join(folder, 'docker.sock')}`;
  const log = join(folder, 'dockerd.log');
  const file = openSync(log, 'w');
  const args = ['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')];
  args.push('--pidfile', join(folder, 'docker.pid'), '--host', socket);
  // A process group of its own, so that Ctrl-C reaches us first and the containers are taken down in order.
  const dockerd = spawn('nsenter', [`--net=/run/netns/${namespace}`, 'dockerd', ...args], {
    stdio: ['ignore', file, file],
    detached: true,
  });
  closeSync(file);
  let over = false;
  const end = () => {
    over = true;
  };
  dockerd.once('close', end).once('error', end);
  undo.push(async () => {
    dockerd.kill('SIGTERM');
    await until('dockerd to end', 30, () => (over ? true : undefined));
    await removeFolder(folder);
  });
  const env = { ...process.env, DOCKER_HOST: socket };
  await until('dockerd to answer', 60, async () => {
    if (over) return true;
    return (await succeeds('docker', ['info'], { env, limitSeconds: 10 })) ? true : undefined;
  });
  if (over) throw new Error(`dockerd did not start:\n${tail(log)}`);
  return env;
}

function tail(path) {
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(-20).join('\n') : '';
}
