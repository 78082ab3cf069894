// Two namespaces joined by a cable, for one row of the data plane benchmark; and the programs that run in them.
//
//   [ ghb<pid>x<n>a ]  ul 192.0.2.1/24  ------ veth ------  ul 192.0.2.2/24  [ ghb<pid>x<n>b ]
//
// Whoever makes a pair removes it: programs first, by their own process ids, then the namespaces with all that is in them.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const COMMAND_TIMEOUT_MS = 900_000;
const READY_TIMEOUT_MS = 20_000;
let made = 0;

export interface BenchNode {
  readonly namespace: string;
  /** 1 or 2. */
  readonly number: number;
  readonly underlay: string;
  readonly subnet: string;
  /** First address of the subnet: that of the tunnel device. */
  readonly overlay: string;
  readonly mac: string;
}

export interface Program {
  readonly pid: number;
  /** Asks it to end (its standard input closes), then insists. */
  stop(): Promise<void>;
}

export class NodePair {
  readonly nodes: readonly [BenchNode, BenchNode];
  readonly niceness: number;
  readonly #programs: Program[] = [];

  private constructor(name: string, niceness: number) {
    this.niceness = niceness;
    this.nodes = [benchNode(name, 1), benchNode(name, 2)];
  }

  /** Makes both namespaces and the cable, with this MTU; what runs in them runs at this niceness. */
  static async make(mtuBytes: number, niceness = 0): Promise<NodePair> {
    const pair = new NodePair(`ghb${process.pid}x${made++}`, niceness);
    const [a, b] = pair.nodes;
    try {
      for (const { namespace } of pair.nodes) await execute('ip', ['netns', 'add', namespace]);
      await inside(a, `ip link add ul type veth peer name ul netns ${b.namespace}`);
      for (const node of pair.nodes) {
        await inside(node, 'ip link set lo up');
        await inside(node, `ip link set ul mtu ${mtuBytes} up`);
        await inside(node, `ip address add ${node.underlay}/24 dev ul`);
      }
      return pair;
    } catch (error) {
      await pair.remove();
      throw error;
    }
  }

  /** Starts a program in a namespace of this pair and waits until a line that it prints has `ready` in it. */
  async start(node: BenchNode, words: readonly string[], ready: string): Promise<Program> {
    const nice = ['nice', '-n', String(this.niceness)];
    const child = spawn('ip', ['netns', 'exec', node.namespace, ...nice, ...words], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const program = { pid: child.pid ?? 0, stop: () => stop(child) };
    this.#programs.push(program);
    await untilLine(child, words, ready);
    return program;
  }

  /** Runs a measuring command in the first node; gives its standard output. */
  run(command: string, signal: AbortSignal): Promise<string> {
    return inside(this.nodes[0], `nice -n ${this.niceness} ${command}`, signal);
  }

  async remove(): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.stop()));
    for (const { namespace } of this.nodes) {
      await execute('ip', ['netns', 'del', namespace]).catch(() => undefined);
    }
  }
}

/** Runs a command in a node's namespace; gives its standard output, rejects with its words where it fails. */
export async function inside(node: BenchNode, command: string, signal?: AbortSignal): Promise<string> {
  const words = ['netns', 'exec', node.namespace, ...command.split(' ')];
  const limits = { timeout: COMMAND_TIMEOUT_MS, maxBuffer: 64 * 1024 * 1024, ...(signal && { signal }) };
  const { stdout } = await execute('ip', words, limits);
  return stdout;
}

function benchNode(name: string, number: number): BenchNode {
  return {
    namespace: `${name}${number === 1 ? 'a' : 'b'}`,
    number,
    underlay: `192.0.2.${number}`,
    subnet: `10.55.${number}.0/24`,
    overlay: `10.55.${number}.0`,
    mac: `0e:00:00:00:55:0${number}`,
  };
}

function untilLine(child: ChildProcess, words: readonly string[], ready: string): Promise<void> {
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error('no pipes');
  let errors = '';
  stderr.on('data', (bytes: Buffer) => {
    errors = (errors + bytes.toString()).slice(-4_000);
  });
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => reject(new Error(`"${words.join(' ')}" ${why}: ${errors}`));
    const late = setTimeout(() => fail('is not ready in time'), READY_TIMEOUT_MS);
    child.once('exit', (code) => fail(`ended with ${code}`));
    createInterface({ input: stdout }).on('line', (line) => {
      if (!line.includes(ready)) return;
      clearTimeout(late);
      resolve();
    });
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.stdin?.end();
  child.kill('SIGTERM');
  const insist = setTimeout(() => child.kill('SIGKILL'), 3_000);
  await ended;
  clearTimeout(insist);
}
