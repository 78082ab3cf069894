// How long ADD and DEL of a pod take: this plugin in both modes, and the CNI project's bridge plugin with its host-local
// addresses (Debian package containernetworking-plugins), each as a runtime calls it, a process for each call.
//
// The plugins take turns, one pod at a time, so that a machine that is busy for a while is busy for all. Routed mode waits
// for a route that felix writes: flanneld and felix run on the node, as in the lab in flannel mode.

import { execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { type Bench, type BenchResult, countOption, readOptions } from './bench.ts';
import { percentile, rounded } from './statistics.ts';

const execute = promisify(execFile);
const STOCK = '/usr/lib/cni';
const LAB = fileURLToPath(new URL('../../lab/main.js', import.meta.url));
const BUNDLE = fileURLToPath(new URL('../../cni/gingham-cni.cjs', import.meta.url));
const NAMES = ['gingham-bridge', 'gingham-routed', 'stock-bridge'] as const;
type Name = (typeof NAMES)[number];

export const CNI: Bench = {
  name: 'cni',
  summary: 'ADD and DEL of a pod, against the stock bridge and host-local plugins (--pods)',
  run: runCni,
};

interface Contender {
  readonly name: Name;
  readonly argv: readonly string[];
  readonly conf: object;
  readonly addMs: number[];
  readonly delMs: number[];
}

interface Node {
  readonly namespace: string;
  readonly runFolder: string;
  readonly mtu: number;
}

async function runCni(args: readonly string[], say: (line: string) => void, signal: AbortSignal): Promise<BenchResult> {
  const options = readOptions(args, ['pods']);
  const pods = countOption('pods', options.pods, 100);
  const lab = `bench${process.pid}`;
  const folder = await mkdtemp(join(tmpdir(), 'gh-cni-bench-'));
  const pod = `ghbench${process.pid}`;
  try {
    say('a lab of two nodes in flannel mode');
    await execute(process.execPath, [LAB, '--name', lab, 'up', '--nodes', '2', '--mode', 'flannel']);
    const node = await nodeOf(lab);
    await execute('ip', ['netns', 'add', pod]);
    const contenders = NAMES.map((name) => contender(name, node, folder));
    await mkdir(folder, { recursive: true });
    // One round that is not counted: files are read for the first time, bridges are made.
    await round(contenders, node, pod, false);
    say(`${pods} pods with each plugin`);
    for (let done = 0; done < pods; done++) {
      signal.throwIfAborted();
      await round(contenders, node, pod, true);
    }
    return report(contenders);
  } finally {
    await execute('ip', ['netns', 'delete', pod]).catch(() => undefined);
    await execute(process.execPath, [LAB, '--name', lab, 'down']);
    await rm(folder, { recursive: true, force: true });
  }
}

async function nodeOf(lab: string): Promise<Node> {
  const runFolder = `/run/gingham-lab/${lab}/node1`;
  const env = await readFile(join(runFolder, 'subnet.env'), 'utf8');
  return { namespace: `gh-${lab}-node1`, runFolder, mtu: Number(/FLANNEL_MTU=(\d+)/.exec(env)?.[1]) };
}

function contender(name: Name, { runFolder, mtu }: Node, folder: string): Contender {
  const common = { cniVersion: '1.0.0', name };
  const own = { ...common, type: 'gingham-cni', runDir: runFolder, dataDir: join(folder, name) };
  const ipam = { type: 'host-local', dataDir: join(folder, name), ranges: [[{ subnet: '10.200.0.0/24' }]] };
  const ways: Readonly<Record<Name, { readonly argv: readonly string[]; readonly conf: object }>> = {
    'gingham-bridge': { argv: [process.execPath, BUNDLE], conf: { ...own, bridge: 'bench0' } },
    'gingham-routed': { argv: [process.execPath, BUNDLE], conf: { ...own, mode: 'routed' } },
    'stock-bridge': {
      argv: [join(STOCK, 'bridge')],
      conf: { ...common, type: 'bridge', bridge: 'bench1', isDefaultGateway: true, mtu, ipam },
    },
  };
  return { name, ...ways[name], addMs: [], delMs: [] };
}

async function round(contenders: readonly Contender[], node: Node, pod: string, counts: boolean): Promise<void> {
  for (const { name, argv, conf, addMs, delMs } of contenders) {
    for (const [command, times] of [
      ['ADD', addMs],
      ['DEL', delMs],
    ] as const) {
      const tookMs = await timeCall(node.namespace, argv, command, pod, conf).catch((cause: unknown) => {
        throw new ExitError(EXIT.environment, `bench cni: ${name}`, { cause });
      });
      if (counts) times.push(tookMs);
    }
  }
}

/** From the start of the process to its end; nsenter, which starts it, is part of it for all alike. */
function timeCall(
  namespace: string,
  argv: readonly string[],
  command: string,
  pod: string,
  conf: object,
): Promise<number> {
  const env = {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    CNI_COMMAND: command,
    CNI_CONTAINERID: pod,
    CNI_NETNS: `/run/netns/${pod}`,
    CNI_IFNAME: 'eth0',
    CNI_PATH: STOCK,
  };
  const input = JSON.stringify(conf);
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    const child = spawn('nsenter', [`--net=/run/netns/${namespace}`, '--', ...argv], { env });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes) => {
        output += String(bytes);
      });
    }
    child.once('error', reject);
    child.once('exit', (code) => {
      const tookMs = performance.now() - startMs;
      child.once('close', () => (code === 0 ? resolve(tookMs) : reject(new Error(`${command}: ${output}`))));
    });
    child.stdin.end(input);
  });
}

function report(contenders: readonly Contender[]): BenchResult {
  const figures = (times: readonly number[]) => ({
    p50: rounded(percentile(times, 0.5), 1),
    p99: rounded(percentile(times, 0.99), 1),
  });
  const rows = contenders.map(({ name, addMs, delMs }) => ({ name, add_ms: figures(addMs), del_ms: figures(delMs) }));
  const lines = rows.map(
    ({ name, add_ms, del_ms }) =>
      `${name.padEnd(16)}ADD p50 ${add_ms.p50} ms, p99 ${add_ms.p99} ms; DEL p50 ${del_ms.p50} ms, p99 ${del_ms.p99} ms`,
  );
  return { json: { rows }, text: lines.join('\n') };
}
