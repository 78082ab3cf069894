// Pods on two nodes of a real overlay: plugged by `gingham pod`, by podman, and by hand; in both modes; across the overlay,
// to the outside and from it. The cluster is the lab's: two nodes, a router that knows nothing of pods.

import { execFile, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../eventually.ts';
import { KILLS, killCalls } from './cni-kills.ts';
import { CniNode } from './cni-node.ts';
import { labName, labOk, remainsOf } from './lab-command.ts';
import { Podman } from './podman.ts';

const execute = promisify(execFile);
const NODE = process.execPath;
const GINGHAM = join(import.meta.dirname, '../../dist/ctl/main.js');
const BUNDLE = join(import.meta.dirname, '../../dist/cni/gingham-cni.cjs');
/** Answers each connection with the address that it came from. */
const SERVER = `require('net').createServer((s) => s.end(s.remoteAddress.replace('::ffff:', ''))).listen(80)`;
const CLIENT = `require('net').connect(Number(process.argv[2]), process.argv[1]).setTimeout(3000, () => process.exit(1))
  .on('error', () => process.exit(1)).on('data', (b) => process.stdout.write(b))`;

const name = labName();
let subnets: readonly string[];

beforeAll(async () => {
  await labOk(name, 'up', '--nodes', '2');
  const { nodes } = JSON.parse(await labOk(name, 'status', '--json')) as { nodes: { subnet: string }[] };
  subnets = nodes.map(({ subnet }) => subnet);
});
afterAll(async () => {
  await labOk(name, 'down');
  expect(remainsOf(name)).toEqual([]);
});

function namespace(place: string): string {
  return `gh-${name}-${place}`;
}

function runFolder(node: string): string {
  return `/run/gingham-lab/${name}/${node}`;
}

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `gingham <args>` on a node, whatever it says. */
async function tryGingham(node: string, ...args: readonly string[]): Promise<Outcome> {
  const argv = [`--net=/run/netns/${namespace(node)}`, '--', NODE, GINGHAM, ...args];
  const env = { ...process.env, GINGHAM_RUN_DIR: runFolder(node) };
  return execute('nsenter', argv, { env }).then(
    (out) => ({ code: 0, ...out }),
    (failed: Outcome) => failed,
  );
}

/** `gingham <args>` on a node; its standard output. */
async function gingham(node: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await tryGingham(node, ...args);
  if (code !== 0) throw new Error(`gingham ${args.join(' ')}: exit code ${code}\n${stderr}${stdout}`);
  return stdout.trim();
}

/** What a server says to a client in a network namespace. */
async function ask(from: string, address: string, port = 80): Promise<string> {
  const argv = [`--net=${from}`, '--', NODE, '-e', CLIENT, address, String(port)];
  return (await execute('nsenter', argv)).stdout;
}

async function addressOf(node: string, pod: string): Promise<string> {
  const pods = JSON.parse(await gingham(node, 'pod', 'list', '--json')) as { name: string; addresses: string[] }[];
  return pods.find((each) => each.name === pod)?.addresses[0] ?? '';
}

/** Starts a server in a pod; its address. */
async function serve(node: string, pod: string, mode: string): Promise<string> {
  const address = await gingham(node, 'pod', 'run', '-d', '--mode', mode, pod, '--', NODE, '-e', SERVER);
  await eventually(
    `${pod} answers`,
    async () => (await gingham(node, 'pod', 'exec', pod, '--', NODE, '-e', CLIENT, address, '80')) !== '',
  );
  return address;
}

async function route(node: string, ...words: readonly string[]): Promise<string> {
  return (await execute('ip', ['-n', namespace(node), 'route', 'show', ...words])).stdout;
}

describe.each(['bridge', 'routed'])('gingham pod, mode %s', (mode) => {
  test('a pod reaches one on the other node, under its own address; from outside it is the node’s', async () => {
    const server = await serve('node1', `web-${mode}`, mode);
    const client = ['--mode', mode, `client-${mode}`, '--', NODE, '-e', CLIENT, server, '80'];
    const seen = await gingham('node2', 'pod', 'run', ...client);
    expect(seen.startsWith(String(subnets[1]).slice(0, String(subnets[1]).lastIndexOf('.')))).toBe(true);
    expect(JSON.parse(await gingham('node2', 'pod', 'list', '--json'))).toEqual([]);
    expect(JSON.parse(await gingham('node1', 'pod', 'list', '--json'))).toEqual([
      {
        name: `web-${mode}`,
        addresses: [server],
        node: 'node1',
        command: [NODE, '-e', SERVER],
        pid: expect.any(Number) as number,
      },
    ]);
    expect(await gingham('node1', 'ipam', 'check')).toMatch(/^\d+ addresses, nothing amiss$/);
    expect(await gingham('node1', 'ipam', 'show')).toContain(server);
    await gingham('node1', 'pod', 'rm', `web-${mode}`);
    expect(JSON.parse(await gingham('node1', 'ipam', 'show', '--json'))).toEqual([]);
    expect(readdirSync(join(runFolder('node1'), 'pod-runs'))).toEqual([]);
  });

  test('the outside sees the node, whichever pod asks', async () => {
    const outside = execFile('nsenter', [`--net=/run/netns/${namespace('router')}`, '--', NODE, '-e', SERVER]);
    try {
      await eventually(
        'the server outside answers',
        async () => (await ask(`/run/netns/${namespace('node1')}`, '192.168.64.1')) !== '',
      );
      const asks = ['--mode', mode, `asks-${mode}`, '--', NODE, '-e', CLIENT, '192.168.64.1', '80'];
      expect(await gingham('node1', 'pod', 'run', ...asks)).toBe('192.168.64.11');
    } finally {
      outside.kill('SIGKILL');
    }
  });
});

test('a name is taken once; a wrong one, a wrong mode, an exit code', async () => {
  const taken = 'taken';
  await gingham('node1', 'pod', 'run', taken);
  const again = await tryGingham('node1', 'pod', 'run', taken);
  expect([again.code, again.stderr]).toEqual([5, expect.stringContaining(`there is a pod ${taken} already`)]);
  const code = await tryGingham('node1', 'pod', 'exec', taken, '--', 'sh', '-c', 'exit 7');
  expect(code.code).toBe(7);
  await gingham('node1', 'pod', 'rm', taken);
  for (const [args, exit] of [
    [['pod', 'run', 'Web'], 2],
    [['pod', 'run', '--mode', 'x', 'web'], 2],
    [['pod', 'rm', 'web'], 4],
    [['pod', 'run', 'web', '--', '/there/is/no/such/program'], 127],
  ] as const) {
    const outcome = await tryGingham('node1', ...args);
    expect([args, outcome.code]).toEqual([args, exit]);
  }
  expect(JSON.parse(await gingham('node1', 'pod', 'list', '--json'))).toEqual([]);
});

test('a pod whose processes were killed: ipam check tells, ipam release frees its address, pod rm forgets it', async () => {
  const address = await gingham('node1', 'pod', 'run', 'killed');
  const record = readFileSync(join(runFolder('node1'), 'pod-runs', 'killed.json'), 'utf8');
  process.kill((JSON.parse(record) as { holder: { pid: number } }).holder.pid, 'SIGKILL');
  const found = await eventually('the kernel has removed its interface', async () => {
    const outcome = await tryGingham('node1', 'ipam', 'check');
    return outcome.code === 1 && outcome;
  });
  expect(found.stdout).toMatch(new RegExp(`${address}: container killed-[0-9a-f]+ .* has no interface on this node`));
  expect((await tryGingham('node1', 'pod', 'exec', 'killed', '--', 'true')).code).toBe(4);
  expect(await gingham('node1', 'ipam', 'release', address)).toMatch(new RegExp(`^${address} of killed-`));
  expect(await gingham('node1', 'ipam', 'check')).toBe('0 addresses, nothing amiss');
  const again = await tryGingham('node1', 'ipam', 'release', address);
  expect([again.code, again.stderr]).toEqual([4, expect.stringContaining('neither an address in use nor a container')]);
  await gingham('node1', 'pod', 'rm', 'killed');
  expect(JSON.parse(await gingham('node1', 'pod', 'list', '--json'))).toEqual([]);
});

test.each(['SIGINT', 'SIGTERM'] as const)(
  'a server in the foreground: %s ends it, and the pod with it',
  async (signal) => {
    const server = ['pod', 'run', 'web', '--', 'busybox', 'httpd', '-f', '-p', '8000', '-h', '/etc'];
    const argv = [`--net=/run/netns/${namespace('node1')}`, '--', NODE, GINGHAM, ...server];
    const env = { ...process.env, GINGHAM_RUN_DIR: runFolder('node1') };
    // A process group of its own, as a terminal has it: Ctrl-C reaches gingham and the server.
    const child = spawn('nsenter', argv, { env, stdio: 'ignore', detached: true });
    const patience = { timeoutMs: 30_000 };
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    try {
      const page = await eventually(
        'the other node’s pod gets a page',
        async () => {
          const get = `fetch('http://${await addressOf('node1', 'web')}:8000/hostname').then((a) => a.text()).then(console.log)`;
          return (await execute('nsenter', [`--net=/run/netns/${namespace('node2-pod')}`, '--', NODE, '-e', get]))
            .stdout;
        },
        patience,
      );
      expect(page.trim()).toBe(readFileSync('/etc/hostname', 'utf8').trim());
      process.kill(signal === 'SIGINT' ? -(child.pid ?? 0) : (child.pid ?? 0), signal);
      expect(await ended).toBe(128 + constants.signals[signal]);
      expect(JSON.parse(await gingham('node1', 'pod', 'list', '--json'))).toEqual([]);
      expect(JSON.parse(await gingham('node1', 'ipam', 'show', '--json'))).toEqual([]);
    } finally {
      child.kill('SIGKILL');
      await tryGingham('node1', 'pod', 'rm', 'web');
    }
  },
);

describe('a routed pod', () => {
  test('has a route that felix wrote, which no other node hears of; it goes with the pod', async () => {
    const address = await gingham('node1', 'pod', 'run', '--mode', 'routed', 'alone');
    expect(await route('node1', address)).toMatch(new RegExp(`^${address} (nhid \\d+ )?dev gh[0-9a-f]{11} proto 71`));
    expect(await route('node2', 'root', `${address}/32`)).not.toContain(`${address} `);
    await gingham('node1', 'pod', 'rm', 'alone');
    await eventually('the route is gone', async () => (await route('node1', address)) === '');
    expect(readdirSync(join(runFolder('node1'), 'pods'))).toEqual([]);
  });

  test('keeps its route through a restart of flanneld, bgpd and felix', async () => {
    const address = await serve('node1', 'stays', 'routed');
    for (const daemon of ['flanneld', 'bgpd', 'felix']) await labOk(name, 'kill', `node1/${daemon}`);
    await labOk(name, 'up');
    await eventually('node1 is ready', async () => (await tryGingham('node1', 'status')).code === 0, {
      timeoutMs: 30_000,
    });
    expect(await route('node1', address)).toContain(address);
    expect(await ask(`/run/netns/${namespace('node2-pod')}`, address)).not.toBe('');
    await gingham('node1', 'pod', 'rm', 'stays');
  });

  test('is refused while felix is away, with its name, and leaves nothing', async () => {
    await labOk(name, 'kill', 'node2/felix');
    const outcome = await tryGingham('node2', 'pod', 'run', '--mode', 'routed', 'early');
    expect(outcome.code).toBe(4);
    expect(outcome.stderr).toMatch(/felix \(nobody listens on .*felix\.http\) \(CNI code 11\)/);
    expect(JSON.parse(await gingham('node2', 'ipam', 'show', '--json'))).toEqual([]);
    await labOk(name, 'start', 'node2/felix');
    await eventually('felix is there', async () => (await tryGingham('node2', 'health', 'felix')).code === 0);
    await gingham('node2', 'pod', 'run', '--mode', 'routed', 'early');
    await gingham('node2', 'pod', 'rm', 'early');
  });

  test(`${KILLS} calls killed at random points, then GC: no interface, route, neighbour, record or address`, async () => {
    const node = CniNode.of(namespace('node1'), runFolder('node1'));
    const conf = node.conf({ mode: 'routed', name: 'killed', reuseDelaySeconds: 0 });
    const collect = (): Promise<void> => node.collect([], { mode: 'routed', name: 'killed' });
    try {
      // Makes the folders of addresses and records, which stay.
      const first = await node.pod();
      await node.add(first, { conf });
      await node.done('DEL', first, { conf });
      const before = await node.traces();
      expect(before).not.toMatch(/gh[0-9a-f]{11}/);
      expect(await killCalls(node, conf)).toBeGreaterThan(KILLS / 4);
      await collect();
      expect(await node.allocated()).toEqual([]);
      expect(readdirSync(join(runFolder('node1'), 'pods'))).toEqual([]);
      // felix hears of it by flanneld and bgpd: what it wrote goes a moment later.
      await eventually('nothing is left', async () => (await node.traces()) === before);
    } finally {
      await collect();
      await node.remove();
    }
  }, 300_000);

  test('is checked, and known no more after DEL', async () => {
    const [pod, node] = [`gh${process.pid}cc`, namespace('node1')];
    await execute('ip', ['netns', 'add', pod]);
    const folders = { runDir: runFolder('node1'), dataDir: join(runFolder('node1'), 'cni') };
    const conf = { cniVersion: '1.1.0', name: 'hand', type: 'gingham-cni', mode: 'routed', ...folders };
    const call = async (command: string, more: object = {}): Promise<{ code?: number; msg?: string }> => {
      const env = { CNI_COMMAND: command, CNI_CONTAINERID: pod, CNI_NETNS: `/run/netns/${pod}`, CNI_IFNAME: 'eth0' };
      const promise = execute('nsenter', [`--net=/run/netns/${node}`, '--', NODE, BUNDLE], { env });
      promise.child.stdin?.end(JSON.stringify({ ...conf, ...more }));
      const { stdout } = await promise.catch((error: { stdout: string }) => error);
      return (stdout === '' ? {} : JSON.parse(stdout)) as { code?: number; msg?: string };
    };
    try {
      const prevResult = await call('ADD');
      expect(await call('CHECK', { prevResult })).toEqual({});
      await execute('ip', ['-n', pod, 'neighbour', 'del', '169.254.1.1', 'dev', 'eth0']);
      expect(await call('CHECK', { prevResult })).toMatchObject({
        code: 103,
        msg: 'the container has no neighbour 169.254.1.1',
      });
      await call('DEL');
      expect(await call('CHECK', { prevResult })).toMatchObject({ code: 3 });
    } finally {
      await execute('ip', ['netns', 'del', pod]);
    }
  });
});

describe('podman', () => {
  let podmen: readonly Podman[] = [];

  beforeAll(async () => {
    podmen = await Promise.all(['node1', 'node2'].map((node) => Podman.make(namespace(node), runFolder(node))));
  });
  afterAll(() => Promise.all(podmen.map((podman) => podman.remove())));

  test('containers on two nodes reach each other; the outside reaches a published port', async () => {
    const [one, two] = podmen as [Podman, Podman];
    const page = 'mkdir /www && echo hello from node1 >/www/index.html && exec httpd -f -p 80 -h /www';
    await one.start('web', ['-p', '8080:80'], 'sh', '-c', page.replace('mkdir /www', 'busybox mkdir /www'));
    const address = await one.address('web');
    await eventually(
      'the web server answers',
      async () => (await one.once('wget', '-q', '-O', '-', `http://${address}/`)) !== '',
    );
    expect(await two.once('wget', '-q', '-O', '-', `http://${address}/`)).toBe('hello from node1');
    const outside = [`--net=/run/netns/${namespace('router')}`, '--', 'busybox', 'wget', '-q', '-O', '-'];
    const { stdout } = await execute('nsenter', [...outside, 'http://192.168.64.11:8080/']);
    expect(stdout.trim()).toBe('hello from node1');
    await one.run('rm', '-f', '-t', '0', 'web');
    const { stdout: nat } = await execute('nsenter', [`--net=/run/netns/${namespace('node1')}`, '--', 'iptables-save']);
    expect(nat).not.toContain(address);
    expect(JSON.parse(await gingham('node1', 'ipam', 'show', '--json'))).toEqual([]);
  });

  test('address and MAC by its own flags', async () => {
    const [, two] = podmen as [Podman, Podman];
    const wanted = `${String(subnets[1]).slice(0, String(subnets[1]).lastIndexOf('.'))}.77`;
    await two.start('asked', ['--ip', wanted, '--mac-address', '02:11:22:33:44:55'], 'sleep', '600');
    expect(await two.address('asked')).toBe(wanted);
    expect(await two.run('exec', 'asked', 'ip', 'address', 'show', 'eth0')).toContain('02:11:22:33:44:55');
    await two.run('rm', '-f', '-t', '0', 'asked');
  });
});

test('pods that are there when the lab goes are gone with it', async () => {
  const run = ['exec', 'node1', '--', 'gingham', 'pod', 'run', '-d', 'last', '--', 'sleep', '600'];
  const address = (await labOk(name, ...run)).trim();
  expect(await addressOf('node1', 'last')).toBe(address);
});
