// Whole clusters on the real kernel through the lab's command line: every backend in both modes, daemons killed and
// started again, user-space and kernel VXLAN side by side.
//
//   node1, node2: 192.168.64.0/24 --- router --- node3: 192.168.65.0/24      (host-gw: all in one network)
//
// Each lab has a name of its own and is removed even when its test fails.

import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../eventually.ts';
import { lab, labName, labOk, remainsOf, strayDevices } from './lab-command.ts';

const BACKENDS = ['vxlan', 'vxlan-user', 'udp', 'ipip', 'host-gw'] as const;
const MODES = ['routed', 'flannel'] as const;
const EVERYTHING = BACKENDS.flatMap((backend) => MODES.map((mode) => ({ backend, mode })));

/** A restarted daemon has to find its peers again; the hold timer is the longest wait on that way. */
const RECOVERY = { timeoutMs: 30_000, intervalMs: 100 };

const TCP_BYTES = 4_000_000;
/** Takes one connection's bytes to their end and answers with their hash. */
const TCP_SERVER = `require('net').createServer({ allowHalfOpen: true }, (socket) => {
  const hash = require('crypto').createHash('sha256');
  socket.on('data', (bytes) => hash.update(bytes)).on('end', () => socket.end(hash.digest('hex')));
}).listen(5001)`;
const TCP_CLIENT = `require('net').connect(5001, process.argv[1], function () {
  this.end(Buffer.alloc(${TCP_BYTES}, '0123456789abcdef')).pipe(process.stdout);
})`;

interface Status {
  readonly ready: boolean;
  readonly missing: readonly string[];
  readonly nodes: readonly { readonly node: string; readonly subnet: string; readonly routes: number }[];
}

describe.each(EVERYTHING)('three nodes, $backend, $mode mode', ({ backend, mode }) => {
  const name = labName();
  afterEach(() => lab(name, 'down'));

  it('come up, reach each other, and leave nothing behind', async () => {
    const before = strayDevices();
    const table = await labOk(name, 'up', '--backend', backend, '--mode', mode);
    expect(table).toMatch(/start to converged: \d+\.\d\d s; pod to pod: 6 of 6 pairs/);
    expect(table.match(/^node\d .* 2\/2, /gm)).toHaveLength(3);
    expect(JSON.parse(await labOk(name, 'ping', '--json'))).toMatchObject({ pairs: 6, lost: 0 });
    expect(strayDevices()).toEqual(before);
    await labOk(name, 'down');
    expect(remainsOf(name)).toEqual([]);
  });
});

describe('a daemon killed with SIGKILL and started again', () => {
  const name = labName();
  beforeAll(() => labOk(name, 'up'));
  afterAll(() => lab(name, 'down'));

  it.each(['flanneld', 'bgpd', 'felix'])('%s: the cluster returns to the full table', async (daemon) => {
    await labOk(name, 'kill', `node1/${daemon}`);
    expect((await lab(name, 'status')).stdout).toContain(`not ${daemon}`);
    await labOk(name, 'start', `node1/${daemon}`);
    const status = await recovered(name);
    expect(status.nodes.map((node) => node.routes)).toEqual([4, 4, 4]);
    expect(JSON.parse(await labOk(name, 'ping', '--json'))).toMatchObject({ pairs: 6, lost: 0 });
  });

  it('bgpd: the other nodes drop its routes while it is gone', async () => {
    const subnet = (await recovered(name)).nodes[0]?.subnet ?? '';
    await labOk(name, 'kill', 'node1/bgpd');
    await eventually("node2 has no route to node1's subnet", async () => !(await routesOf('node2')).includes(subnet));
    await labOk(name, 'start', 'node1/bgpd');
    await eventually(
      "node2 has a route to node1's subnet",
      async () => (await routesOf('node2')).includes(subnet),
      RECOVERY,
    );
    await recovered(name);
  });

  it('felix: no route changes, and a ping goes on', async () => {
    const [own, other] = (await recovered(name)).nodes;
    const monitor = listen('exec', 'node1', '--', 'ip', '-o', 'monitor', 'route', 'nexthop');
    const target = `${other?.subnet.split('/')[0]?.replace(/0$/, '2')}`;
    const ping = listen('exec', 'node1/pod', '--', 'ping', '-n', '-i', '0.05', target);
    try {
      // A route of our own making shows that the monitor sees what happens.
      await eventually('the monitor listens', async () => {
        await labOk(name, 'exec', 'node1', '--', 'ip', 'route', 'replace', 'unreachable', '192.0.2.1');
        return monitor.text().includes('192.0.2.1');
      });
      await labOk(name, 'exec', 'node1', '--', 'ip', 'route', 'delete', 'unreachable', '192.0.2.1');
      await eventually('the monitor has seen the end of it', () =>
        monitor.text().includes('Deleted unreachable 192.0.2.1'),
      );
      const seen = monitor.text().length;
      await labOk(name, 'kill', 'node1/felix');
      await labOk(name, 'start', 'node1/felix');
      await recovered(name);
      expect(monitor.text().slice(seen)).toBe('');
      await eventually('ten more pings have come back', () => (ping.text().match(/icmp_seq/g)?.length ?? 0) > 10);
      ping.process.kill('SIGINT');
      await eventually('ping has summed up', () => ping.text().includes('packets transmitted'));
      expect(ping.text()).toContain(' 0% packet loss');
    } finally {
      ping.process.kill('SIGKILL');
      monitor.process.kill('SIGKILL');
    }
    expect(own?.routes).toBe(4);
  });

  // What flanneld carries is the kernel's, routes outlive the announced restart of a bgpd, and felix finds what it wrote.
  it.each(['flanneld', 'bgpd', 'felix'])(
    '%s, ended with SIGTERM: no ping of one each millisecond is lost',
    async (daemon) => {
      const [, other] = (await recovered(name)).nodes;
      const target = `${other?.subnet.split('/')[0]?.replace(/0$/, '2')}`;
      const ping = listen('exec', 'node1/pod', '--', 'ping', '-n', '-q', '-i', '0.001', target);
      try {
        await labOk(name, 'kill', `node1/${daemon}`, '--signal', 'TERM');
        await eventually('it has ended', async () => (await lab(name, 'status')).stdout.includes(`not ${daemon}`));
        await labOk(name, 'start', `node1/${daemon}`);
        await recovered(name);
        ping.process.kill('SIGINT');
        await eventually('ping has summed up', () => ping.text().includes('packets transmitted'));
        const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(ping.text()) ?? [];
        console.log(`restart of ${daemon}: ${sent} packets sent, ${received} received`);
        expect(Number(sent)).toBeGreaterThan(500);
        // The last one may be on its way when ping ends.
        expect(Number(sent) - Number(received)).toBeLessThanOrEqual(1);
      } finally {
        ping.process.kill('SIGKILL');
      }
    },
  );

  async function routesOf(node: string): Promise<string> {
    return labOk(name, 'exec', node, '--', 'ip', 'route', 'show', 'proto', '71');
  }

  function listen(...args: readonly string[]): { process: ChildProcess; text: () => string } {
    const [, place = '', , ...argv] = args;
    const namespace = `gh-${name}-${place.replace('/', '-')}`;
    const child = spawn('ip', ['netns', 'exec', namespace, ...argv], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (bytes) => {
      text += String(bytes);
    });
    return { process: child, text: () => text };
  }
});

describe('kernel and user-space VXLAN in one cluster', () => {
  const name = labName();
  beforeAll(() => labOk(name, 'up', '--node-backend', 'node2=vxlan-user'));
  afterAll(() => lab(name, 'down'));

  const pairs = [
    ['node1', 'node2'],
    ['node2', 'node1'],
    ['node2', 'node3'],
    ['node3', 'node2'],
  ] as const;

  it('runs the planes that were asked for', async () => {
    const kind = (node: string): Promise<string> =>
      labOk(name, 'exec', node, '--', 'ip', '-d', 'link', 'show', 'flannel.1');
    expect(await kind('node1')).toContain('vxlan id 1');
    expect(await kind('node2')).toContain('tun type tap');
  });

  it.each(pairs)('%s pings %s with full-sized packets that must not be fragmented', async (from, to) => {
    const report = await labOk(
      name,
      ...['exec', `${from}/pod`, '--', 'ping', '-n', '-c', '5', '-i', '0.05', '-W', '2', '-M', 'do', '-s', '1400'],
      await podOf(to),
    );
    expect(report).toContain('5 packets transmitted, 5 received');
  });

  it.each(pairs)('%s sends 4 MB over TCP to %s, and every byte arrives', async (from, to) => {
    const namespace = `gh-${name}-${to}-pod`;
    const server = spawn('ip', ['netns', 'exec', namespace, process.execPath, '-e', TCP_SERVER], { stdio: 'ignore' });
    try {
      const address = await podOf(to);
      const answer = await eventually('the server listens', () =>
        labOk(name, 'exec', `${from}/pod`, '--', process.execPath, '-e', TCP_CLIENT, address),
      );
      expect(answer).toBe(createHash('sha256').update(Buffer.alloc(TCP_BYTES, '0123456789abcdef')).digest('hex'));
    } finally {
      server.kill('SIGKILL');
    }
  });

  async function podOf(node: string): Promise<string> {
    const { nodes } = JSON.parse(await labOk(name, 'status', '--json')) as Status;
    const subnet = nodes.find((candidate) => candidate.node === node)?.subnet ?? '';
    return subnet.replace(/0\/24$/, '2');
  }
});

/** The lab's status once nothing is missing any more. */
async function recovered(name: string): Promise<Status> {
  return eventually(
    'the cluster has its full table again',
    async () => {
      const outcome = await lab(name, 'status', '--json');
      const status = JSON.parse(outcome.stdout) as Status;
      if (!status.ready) throw new Error(status.missing.join('; '));
      return status;
    },
    RECOVERY,
  );
}
