// The two route exchanges that the failover benchmark compares, behind one interface: bgpd with felix, and BIRD.
//
// The same star for both: node 1 is observed, node 2 announces every route and is preferred, node 3 announces them too.

import type { ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Prefix } from '../../lib/net/prefix.ts';
import { eventually } from '../eventually.ts';
import type { LivenessRig, RigNode } from '../topology/liveness-rig.ts';

/** How silence is found. */
export interface Detection {
  readonly name: string;
  /** `undefined`: no BFD. */
  readonly bfdIntervalMs: number | undefined;
}

export interface Stack {
  readonly name: 'gingham' | 'bird';
  /** Starts all three nodes. */
  begin(routes: readonly Prefix[], detection: Detection): Promise<void>;
  /** Node 2 is preferred, and silence would be found. */
  ready(): Promise<void>;
  /** Ends the daemon of node 2. */
  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  /** Starts it again. */
  restart(): Promise<void>;
}

const WAIT = { timeoutMs: 60_000, intervalMs: 20 };
/** Hold time; keepalives are a third of it apart. */
export const HOLD_SECONDS = 9;

export function ginghamStack(rig: LivenessRig): Stack {
  const [one, two, three] = [rig.node(1), rig.node(2), rig.node(3)];
  let withBfd = false;
  return {
    name: 'gingham',
    async begin(routes, { bfdIntervalMs }) {
      withBfd = bfdIntervalMs !== undefined;
      const flags = withBfd
        ? [`--bfd-interval-milliseconds=${bfdIntervalMs}`, '--bfd-multiplier=3', '--maximum-paths=1']
        : ['--bfd=false', '--maximum-paths=1'];
      await one.begin([two, three], flags);
      one.startFelix();
      await Promise.all([two.begin([one], flags, routes), three.begin([one], flags, routes)]);
    },
    async ready() {
      const status = await one.isUp(two, withBfd);
      await one.isUp(three, withBfd);
      if (withBfd && status.bfd.detectionTimeMilliseconds !== undefined) {
        await eventually('fast', async () => ((await one.isUp(two, true)).bfd.detectionTimeMilliseconds ?? 0) < 1_000);
      }
    },
    end: (signal) => two.endBgpd(signal),
    restart: async () => two.startBgpd(),
  };
}

export function birdStack(rig: LivenessRig): Stack {
  let daemon: ChildProcess | undefined;
  let withBfd = false;
  const [one, two, three] = [rig.node(1), rig.node(2), rig.node(3)];
  return {
    name: 'bird',
    async begin(routes, { bfdIntervalMs }) {
      withBfd = bfdIntervalMs !== undefined;
      // BIRD takes a neighbour only where an address of the device says that it is at its other end.
      for (const node of [two, three]) {
        await one.ip(`address add 192.0.2.1 peer ${node.address}/32 dev v${node.number}`);
        await node.ip(`address add ${node.address} peer 192.0.2.1/32 dev ul`);
        await configure(node, birdConfig(node, [{ node: one, device: 'ul' }], routes, bfdIntervalMs));
      }
      const peers = [two, three].map((node) => ({ node, device: `v${node.number}` }));
      await configure(one, birdConfig(one, peers, undefined, bfdIntervalMs));
      for (const node of [one, three]) startBird(node);
      daemon = startBird(two);
    },
    async ready() {
      await eventually(
        'BIRD is up',
        async () => {
          const protocols = await birdc(one, 'show protocols');
          const up = protocols.match(/BGP .*Established/g)?.length === 2;
          return up && (!withBfd || (await birdc(one, 'show bfd sessions')).match(/ Up /g)?.length === 2);
        },
        WAIT,
      );
    },
    async end(signal) {
      const child = daemon;
      if (child === undefined) return;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      // BIRD says Cease on `down`, and nothing where it is killed.
      child.kill(signal);
      await gone;
    },
    restart: async () => {
      daemon = startBird(two);
    },
  };
}

async function configure(node: RigNode, text: string): Promise<void> {
  await node.makeRunFolder();
  await writeFile(join(node.runFolder, 'bird.conf'), text);
}

function startBird(node: RigNode): ChildProcess {
  return node.spawn(['bird', '-f', '-c', join(node.runFolder, 'bird.conf'), '-s', join(node.runFolder, 'bird.ctl')]);
}

async function birdc(node: RigNode, command: string): Promise<string> {
  return node.run(`birdc -s ${join(node.runFolder, 'bird.ctl')} ${command}`);
}

function birdConfig(
  node: RigNode,
  peers: readonly { readonly node: RigNode; readonly device: string }[],
  routes: readonly Prefix[] | undefined,
  bfdIntervalMs: number | undefined,
): string {
  const bfd = bfdIntervalMs === undefined ? '' : `interface "*" { interval ${bfdIntervalMs} ms; multiplier 3; };`;
  const sessions = peers.map(
    ({ node: peer, device }) => `
protocol bgp to${peer.number} {
  local ${node.address} as ${64_600 + node.number};
  neighbor ${peer.address} as ${64_600 + peer.number};
  interface "${device}"; direct; connect delay time 1; connect retry time 1; error wait time 1, 2;
  hold time ${HOLD_SECONDS}; keepalive time ${HOLD_SECONDS / 3}; ${bfd === '' ? '' : 'bfd on;'}
  ipv4 { import ${routes === undefined ? 'all' : 'none'}; export ${routes === undefined ? 'none' : 'all'};
         next hop self; ${peer.number === 2 ? 'preference 200;' : ''} };
}`,
  );
  const given = (routes ?? []).map((route) => `route ${route} blackhole;`).join('\n');
  const tables =
    routes === undefined
      ? 'protocol kernel { metric 0; ipv4 { import none; export all; }; }'
      : `protocol static { ipv4;\n${given}\n}`;
  return `router id ${node.address};\nprotocol device { scan time 1; }\nprotocol bfd { ${bfd} }\n${tables}\n${sessions.join('\n')}\n`;
}
