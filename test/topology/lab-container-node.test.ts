// `gingham node`, the main process of a node container, in a namespace that stands for the container's.
//
// flanneld is played by the test, which writes subnet.env; everything else is real.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CommandError, run } from '../../ctl/child.ts';
import { eventually } from '../eventually.ts';

const GINGHAM = join(import.meta.dirname, '../../dist/ctl/main.js');
const PATIENCE = { timeoutMs: 10_000, intervalMs: 50 };

let nodes = 0;
let namespace = '';
let folder = '';
let node: ChildProcess;

beforeEach(async () => {
  nodes++;
  namespace = `ghc-${process.pid}-${nodes}`;
  folder = await mkdtemp(join(tmpdir(), 'gh-node-'));
  await run(['ip', 'netns', 'add', namespace]);
  await run(['ip', '-n', namespace, 'link', 'set', 'lo', 'up']);
  node = startNode();
});

afterEach(async () => {
  // By SIGTERM, which ends the pod's process too: that one is in a namespace of its own.
  if (node.exitCode === null && node.signalCode === null) {
    const ended = once(node, 'exit');
    node.kill('SIGTERM');
    await ended;
  }
  const left = (await run(['ip', 'netns', 'pids', namespace])).split('\n').filter((pid) => pid !== '');
  for (const pid of left) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It has ended since it was listed.
    }
  }
  await run(['ip', 'netns', 'delete', namespace]);
  await rm(folder, { recursive: true, force: true });
});

it('plugs the pod when a subnet is leased, again when it changes, and cleans up on SIGTERM', async () => {
  await writeSubnet('10.5.7.1/24', 1450);
  await eventually('the pod has its address', async () => (await inPod('address')).includes('10.5.7.2/24'), PATIENCE);
  expect(await inPod('link')).toContain('mtu 1450');
  expect(await run([...gingham('pod-exec'), '--', 'ping', '-n', '-c', '1', '-W', '2', '10.5.7.1'])).toContain(
    '1 received',
  );
  await writeSubnet('10.5.8.1/24', 1400);
  await eventually(
    'the pod has its new address',
    async () => (await inPod('address')).includes('10.5.8.2/24'),
    PATIENCE,
  );
  expect(await run([...gingham('pod-exec'), '--', 'ping', '-n', '-c', '1', '-W', '2', '10.5.8.1'])).toContain(
    '1 received',
  );
  node.kill('SIGTERM');
  expect(await once(node, 'exit')).toEqual([0, null]);
  expect(await readdir(folder)).toEqual(['subnet.env']);
  expect(await inNode('-brief', 'link')).not.toMatch(/cni0|pod0/);
});

it('takes over after a crash, and ends the pod of the crashed one', async () => {
  await writeSubnet('10.5.7.1/24', 1450);
  await eventually('the pod has its address', async () => (await inPod('address')).includes('10.5.7.2/24'), PATIENCE);
  const former = await inPod('-json', 'link', 'show', 'eth0');
  node.kill('SIGKILL');
  await once(node, 'exit');
  node = startNode();
  await eventually(
    'a new pod has the address',
    async () => {
      const address = await inPod('address');
      return address.includes('10.5.7.2/24') && (await inPod('-json', 'link', 'show', 'eth0')) !== former;
    },
    PATIENCE,
  );
  expect((await inNode('-brief', 'link')).match(/pod0/g)).toHaveLength(1);
});

it('says that it needs CAP_SYS_ADMIN, exit code 4', async () => {
  const without = ['setpriv', '--bounding-set', '-sys_admin', '--inh-caps', '-sys_admin', '--'];
  const argv = [
    'ip',
    'netns',
    'exec',
    namespace,
    ...without,
    process.execPath,
    GINGHAM,
    'node',
    '--run-dir',
    join(folder, 'x'),
  ];
  const child = spawn(argv[0] ?? '', argv.slice(1), { stdio: ['ignore', 'pipe', 'ignore'] });
  let output = '';
  child.stdout.on('data', (bytes) => {
    output += String(bytes);
  });
  expect(await once(child, 'close')).toEqual([4, null]);
  expect(output).toContain("cannot make the pod's network namespace (it takes CAP_SYS_ADMIN");
});

it('pod-exec and ping say what is missing before there is a subnet', async () => {
  await eventually('the pod is there', () => inPod('link'), PATIENCE);
  await expect(run([...gingham('ping')])).rejects.toThrow('this node has no subnet yet');
  await writeSubnet('10.5.7.1/24', 1450);
  const failure = await run([...gingham('ping')]).catch((error: unknown) => error as CommandError);
  expect(failure).toBeInstanceOf(CommandError);
  expect(failure).toMatchObject({ exitCode: 4, message: expect.stringContaining('flanneld has not started') });
});

function startNode(): ChildProcess {
  const argv = ['netns', 'exec', namespace, process.execPath, GINGHAM, 'node', '--run-dir', folder];
  return spawn('ip', argv, { stdio: 'ignore' });
}

function gingham(command: string): readonly string[] {
  return ['ip', 'netns', 'exec', namespace, process.execPath, GINGHAM, command, '--run-dir', folder];
}

function inNode(...args: readonly string[]): Promise<string> {
  return run(['ip', '-n', namespace, ...args]);
}

function inPod(...args: readonly string[]): Promise<string> {
  return run([...gingham('pod-exec'), '--', 'ip', ...args]);
}

/** As flanneld does: the whole file at once. */
async function writeSubnet(subnet: string, mtuBytes: number): Promise<void> {
  await writeFile(
    join(folder, 'subnet.env'),
    `FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=${subnet}\nFLANNEL_MTU=${mtuBytes}\n`,
  );
}
