// The doctor on a live cluster: finds what is planted, names the mend, and has nothing to say once it is done.
//
// The faults are real: a packet filter, a link's MTU, a setting, an ended process, a wrong clock. Each is mended before the
// next. That etcd is dead: ctl-views.test.ts.

import type { ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { doctorAnswer } from '../../ctl/doctor/doctor.ts';
import { eventually } from '../eventually.ts';
import { makeCertificate } from '../fakes/certificate.ts';
import { answerOf, ctlWords, gingham, labForTests, PATIENCE } from './ctl-command.ts';
import { lab, labOk, startLab } from './lab-command.ts';

const BGPD_MAIN = join(import.meta.dirname, '../../dist/bgpd/main.js');
const SHIFTED_CLOCK = join(import.meta.dirname, 'shifted-clock.mjs');
const FLANNELD_MAIN = join(import.meta.dirname, '../../dist/flanneld/main.js');
const ETCD = 'http://192.168.66.10:2379';

const { name, folder } = labForTests();

/** Runs a command in a machine of the lab. */
async function inMachine(machine: string, ...command: readonly string[]): Promise<void> {
  await labOk(name, 'exec', machine, '--', ...command);
}

interface Fault {
  readonly fault: string;
  readonly plant: () => Promise<unknown>;
  readonly mend: () => Promise<unknown>;
  readonly found: RegExp;
  readonly mended: RegExp;
}

const FILTER = 'inet doctor_test';
const block = (machine: string, rule: string) => async (): Promise<void> => {
  await inMachine(
    machine,
    'nft',
    `add table ${FILTER}; add chain ${FILTER} in { type filter hook input priority -20; };`,
  );
  await inMachine(machine, 'nft', `add rule ${FILTER} in ${rule}`);
};
const unblock = (machine: string) => () => inMachine(machine, 'nft', `delete table ${FILTER}`);
const sysctl = (machine: string, setting: string) => () => inMachine(machine, 'sysctl', '-qw', setting);

const FAULTS: readonly Fault[] = [
  {
    fault: 'a UDP port that is blocked',
    plant: block('node2', 'udp dport 8472 drop'),
    mend: unblock('node2'),
    found: /^node2 is reached: .* answers, the tunnel does not$/,
    mended: /UDP port 8472/,
  },
  {
    fault: 'a link on the way with a smaller MTU',
    plant: () => inMachine('node2', 'ip', 'link', 'set', 'eth0', 'mtu', '1300'),
    mend: () => inMachine('node2', 'ip', 'link', 'set', 'eth0', 'mtu', '1500'),
    found: /^node2 is reached: small packets arrive/,
    mended: /smaller MTU/,
  },
  {
    fault: 'a bridge of pods with too large an MTU',
    plant: () => inMachine('node1', 'ip', 'link', 'set', 'cni0', 'mtu', '1500'),
    mend: () => inMachine('node1', 'ip', 'link', 'set', 'cni0', 'mtu', '1450'),
    found: /^MTU of the pods: cni0 has 1500/,
    mended: /ip link set cni0 mtu 1450/,
  },
  {
    fault: 'a strict reverse path filter',
    plant: sysctl('node1', 'net.ipv4.conf.all.rp_filter=1'),
    mend: sysctl('node1', 'net.ipv4.conf.all.rp_filter=0'),
    found: /^replies may come another way: net\.ipv4\.conf\.eth0\.rp_filter is strict/,
    mended: /rp_filter=2/,
  },
  {
    fault: "an underlay route inside the overlay's network",
    plant: () => inMachine('node1', 'ip', 'route', 'add', '10.5.250.0/24', 'via', '192.168.64.1'),
    mend: () => inMachine('node1', 'ip', 'route', 'del', '10.5.250.0/24'),
    found: /^addresses are free: 10\.5\.250\.0\/24 \(eth0\) lies in the overlay's network/,
    mended: /another Network/,
  },
  {
    fault: "another program's chain that drops what is forwarded",
    plant: () =>
      inMachine(
        'node1',
        'nft',
        `add table ${FILTER}; add chain ${FILTER} f { type filter hook forward priority 5; policy drop; }`,
      ),
    mend: unblock('node1'),
    found: /^nobody drops what is forwarded: /,
    mended: /DOCKER-USER/,
  },
  {
    fault: 'a daemon that does not run',
    plant: () => labOk(name, 'kill', 'node1/felix'),
    mend: () => labOk(name, 'start', 'node1/felix'),
    found: /^felix runs: felix does not run/,
    mended: /start felix/,
  },
  {
    fault: 'forwarding that is off, and no felix to switch it on',
    plant: async () => {
      await labOk(name, 'kill', 'node1/felix');
      await inMachine('node1', 'sysctl', '-qw', 'net.ipv4.ip_forward=0');
    },
    mend: () => labOk(name, 'start', 'node1/felix'),
    found: /^packets are forwarded: net\.ipv4\.ip_forward is 0$/,
    mended: /sysctl -w net\.ipv4\.ip_forward=1/,
  },
  {
    fault: 'a clock that is an hour ahead, of the daemons and of whoever asks',
    plant: async () => {
      process.env['NODE_OPTIONS'] = `--import=${SHIFTED_CLOCK}`;
      await restart('node1');
    },
    mend: async () => {
      delete process.env['NODE_OPTIONS'];
      await restart('node1');
    },
    found: /^clocks agree: http:.* is 3\d{3} s behind this node$/,
    mended: /time service/,
  },
  {
    fault: 'a certificate that has run out',
    plant: startWithOldCertificate,
    mend: async () => {
      await endByHand();
      await labOk(name, 'start', 'node1/bgpd');
    },
    found: /^certificate of bgpd: .*old\.cert ran out on 2024-02-01T/,
    mended: /put a new one there/,
  },
  {
    fault: 'a session that is down',
    plant: () => labOk(name, 'kill', 'node3/bgpd'),
    mend: () => labOk(name, 'start', 'node3/bgpd'),
    found: /^session with node3: Active: /,
    mended: /TCP port 1790/,
  },
  {
    fault: 'a malformed lease in etcd',
    plant: () => etcdctl('put', '/coreos.com/network/subnets/10.5.66.0-24', 'nonsense'),
    mend: () => etcdctl('del', '/coreos.com/network/subnets/10.5.66.0-24'),
    found: /^leases: 1 entries in etcd are no leases$/,
    mended: /names the keys/,
  },
  {
    fault: 'a network config in etcd that is wrong',
    plant: () => etcdctl('put', '/coreos.com/network/config', '{"Network": "10.5.0.0/16", "SubnetLen": 8}'),
    mend: () =>
      etcdctl('put', '/coreos.com/network/config', '{"Network": "10.5.0.0/16", "Backend": {"Type": "vxlan"}}'),
    found: /^network config: .*SubnetLen/,
    mended: /config in etcd/,
  },
];

/** Ends the daemons of a node and starts them anew. */
async function restart(node: string): Promise<void> {
  for (const daemon of ['felix', 'bgpd', 'flanneld']) await labOk(name, 'kill', `${node}/${daemon}`);
  for (const daemon of ['flanneld', 'bgpd', 'felix']) await labOk(name, 'start', `${node}/${daemon}`);
}

let byHand: ChildProcess | undefined;

/** node1's bgpd with TLS, for which the lab has no option: the certificate was good for one month. */
async function startWithOldCertificate(): Promise<void> {
  const { certPem, keyPem } = makeCertificate('node1', undefined, [], ['node1'], ['240101000000Z', '240201000000Z']);
  const files = { 'ca-file': ['ca', certPem], 'cert-file': ['cert', certPem], 'key-file': ['key', keyPem] } as const;
  const flags: string[] = [];
  for (const [flag, [kind, pem]] of Object.entries(files)) {
    const path = join(folder(), `old.${kind}`);
    await writeFile(path, pem);
    flags.push(`--tls-${flag}`, path);
  }
  await labOk(name, 'kill', 'node1/bgpd');
  const own = ['--node-name', 'node1', '--run-dir', `/run/gingham-lab/${name}/node1`, '--etcd-endpoints', ETCD];
  byHand = startLab(name, 'exec', 'node1', '--', process.execPath, BGPD_MAIN, ...own, ...flags);
}

async function endByHand(): Promise<void> {
  const ended = new Promise((resolve) => byHand?.once('close', resolve));
  byHand?.kill('SIGTERM');
  await ended;
}

async function etcdctl(...args: readonly string[]): Promise<void> {
  await labOk(name, 'exec', 'node1', '--', 'env', 'ETCDCTL_API=3', 'etcdctl', '--endpoints', ETCD, ...args);
}

/** What the doctor complains about, as `check: detail`, with what mends it. */
async function complaints(
  ...args: readonly string[]
): Promise<readonly { readonly text: string; readonly mend: string }[]> {
  const { findings } = await answerOf(name, doctorAnswer, 'doctor', ...args);
  return findings
    .filter(({ state }) => state !== 'ok')
    .map(({ check, detail, mend = '' }) => ({ text: `${check}: ${detail}`, mend }));
}

describe('the doctor finds', () => {
  it.each(FAULTS)(
    '$fault, names the mend, and has nothing to say once it is done',
    async ({ plant, mend, found, mended }) => {
      await plant();
      try {
        const seen = async (): Promise<string | undefined> =>
          (await complaints()).find(({ text }) => found.test(text))?.mend;
        expect(await eventually('the fault is found', seen, PATIENCE)).toMatch(mended);
      } finally {
        await mend();
      }
      await eventually('all is well again', async () => (await gingham(name, 'doctor')).code === 0, PATIENCE);
    },
  );

  it('a machine without TUN devices', async () => {
    // A mount namespace of its own in which /dev/net is empty.
    const hidden = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', 'sh'];
    const command = [...ctlWords(name), 'doctor', '--json'];
    const { stdout } = await lab(name, 'exec', 'node1', '--', ...hidden, ...command);
    const { findings } = doctorAnswer.parse(JSON.parse(stdout));
    expect(findings.find(({ check }) => check === 'kernel has tun')).toMatchObject({
      state: 'warn',
      mend: expect.stringContaining('--device /dev/net/tun'),
    });
  });

  it('two nodes with one name: the later one says so, the earlier one has ended', async () => {
    const words = ['--etcd-endpoints', ETCD, '--node-name', 'node1', '--run-dir', folder(), '--status-port', '19251'];
    const second = startLab(name, 'exec', 'node2', '--', process.execPath, FLANNELD_MAIN, ...words);
    const ended = new Promise((resolve) => second.once('close', resolve));
    try {
      const check = 'names are unique';
      const told = async (): Promise<unknown> =>
        (await answerOf(name, doctorAnswer, '--run-dir', folder(), 'doctor')).findings.find(
          (one) => one.check === check,
        );
      expect(await eventually('the later one has seen it', told, PATIENCE)).toMatchObject({
        state: 'warn',
        detail: expect.stringContaining('a node of this name was at 192.168.64.11'),
        mend: expect.stringContaining('--node-name'),
      });
      const texts = async (): Promise<boolean> =>
        (await complaints()).some(({ text }) => text.startsWith('flanneld runs: '));
      await eventually('the earlier one has ended', texts, PATIENCE);
    } finally {
      second.kill('SIGTERM');
      await ended;
    }
  });
});
