// The doctor's checks: a healthy node gives no complaint, and each planted fault gives the one finding that names it.
//
// Facts are made by hand here; that they are gathered right is shown on a live cluster (test/topology/ctl-doctor.test.ts).

import { describe, expect, it } from 'vitest';
import type { FlanneldStatus } from '../../../../ctl/daemon-status.ts';
import { examine } from '../../../../ctl/doctor/checks.ts';
import type { Facts, PathFacts } from '../../../../ctl/doctor/facts.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { bgpd, felix, flanneld, peer } from '../daemon-answers.ts';

const NOW_MS = Date.parse('2030-01-01T00:00:00Z');
const READY = { ready: true, checks: [] };

const path: PathFacts = {
  ...{ node: 'node2', publicIP: '192.0.2.2', underlay: true, underlayFull: true, tunnel: true, tunnelFull: true },
};
const healthy: Facts = {
  flanneld: { readiness: READY, status: flanneld },
  bgpd: { readiness: READY, status: bgpd },
  felix: { readiness: READY, status: felix },
  sysctls: { 'net.ipv4.ip_forward': 1, 'net.ipv4.conf.all.rp_filter': 0, 'net.ipv4.conf.eth0.rp_filter': 2 },
  links: [
    { name: 'eth0', mtuBytes: 1500 },
    { name: 'flannel.1', mtuBytes: 1450 },
    { name: 'cni0', mtuBytes: 1450 },
  ],
  foreignRoutes: [
    { destination: '192.0.2.0/24', device: 'eth0' },
    { destination: '10.5.1.0/24', device: 'cni0' },
  ],
  subnetEnv: { mtuBytes: 1450, networks: [prefix('10.5.0.0/16')] },
  etcd: [{ endpoint: 'http://192.0.2.9:2379', aheadSeconds: 0.4 }],
  certificates: [
    { daemon: 'bgpd', path: '/c.pem', validFrom: '2029-01-01T00:00:00Z', validTo: '2031-01-01T00:00:00Z' },
  ],
  paths: [path],
  features: { vxlan: true, tun: true },
  droppingChains: [],
  boundPorts: ['tcp 1790', 'tcp 9251'],
  nowMs: NOW_MS,
};

/** What is complained about, as `state check: detail | mend`. */
function complaints(change: Partial<Facts>): readonly string[] {
  return examine({ ...healthy, ...change }).flatMap((finding) =>
    finding.state === 'ok' ? [] : [`${finding.state} ${finding.check}: ${finding.detail} | ${finding.mend}`],
  );
}

const unready = (name: string, detail: string): Facts['bgpd']['readiness'] => ({
  ready: false,
  checks: [{ name, ok: false, detail }],
});
const certificate = (change: Partial<Facts['certificates'][number]>): Partial<Facts> => ({
  certificates: healthy.certificates.map((one) => ({ ...one, ...change })),
});
const withFlanneld = (change: Partial<FlanneldStatus>): Partial<Facts> => ({
  flanneld: { readiness: READY, status: { ...flanneld, ...change } },
});
const withPath = (change: Partial<PathFacts>): Partial<Facts> => ({ paths: [{ ...path, ...change }] });

it('finds nothing wrong with a healthy node', () => {
  expect(complaints({})).toEqual([]);
});

it('does not miss bgpd in flannel mode', () => {
  const silent = 'bgpd has not started: there is no /run/gingham/bgpd.http';
  const facts = {
    bgpd: { readiness: silent, status: silent },
    felix: { readiness: READY, status: { ...felix, mode: 'flannel' } },
  };
  expect(complaints(facts)).toEqual([]);
  expect(complaints({ bgpd: facts.bgpd })[0]).toMatch(/^fail bgpd runs: bgpd has not started/);
});

const FAULTS: readonly (readonly [fault: string, facts: Partial<Facts>, ...said: readonly RegExp[]])[] = [
  [
    'a daemon that does not run while its port is taken',
    { felix: { readiness: 'felix does not run', status: 'felix does not run' }, boundPorts: ['tcp 9253'] },
    /^fail felix runs: .*tcp 9253 is taken by another program \| find who has it/,
  ],
  [
    'a daemon that is not ready',
    { felix: { readiness: unready('apply', '3 refused: ENETUNREACH'), status: felix } },
    /^fail felix is ready: apply: 3 refused/,
  ],
  [
    'no member of etcd that answers',
    { etcd: [{ endpoint: 'http://192.0.2.9:2379', problem: 'connect ECONNREFUSED' }] },
    /^fail etcd answers: http:\/\/192\.0\.2\.9:2379: connect ECONNREFUSED \| .*--etcd-endpoints/,
  ],
  [
    'one member of two that does not answer',
    { etcd: [...healthy.etcd, { endpoint: 'http://192.0.2.8:2379', problem: 'no answer within 2000 ms' }] },
    /^warn etcd answers: http:\/\/192\.0\.2\.8/,
  ],
  [
    'etcd that answers while flanneld has no watch',
    withFlanneld({ etcd: { ...flanneld.etcd, connected: false, reason: 'permission denied' } }),
    /^fail etcd answers: flanneld has no watch: permission denied/,
  ],
  [
    'a clock that is ahead',
    { etcd: [{ endpoint: 'http://192.0.2.9:2379', aheadSeconds: -30 }] },
    /^fail clocks agree: .* is 30 s behind this node \| run a time service/,
  ],
  [
    'two nodes with one name, as flanneld sees it',
    { flanneld: { readiness: unready('lease', 'another node has it in etcd'), status: flanneld } },
    /^fail flanneld is ready: lease/,
    /^fail names are unique: the lease of this name: another node has it/,
  ],
  [
    'two nodes with one name, on the one that came later',
    withFlanneld({ lease: { takenFrom: '192.0.2.7' } }),
    /^warn names are unique: until this node started, a node of this name was at 192\.0\.2\.7 \| .*--node-name/,
  ],
  [
    'two nodes with one name, as bgpd sees it',
    { bgpd: { readiness: unready('registered', 'another bgpd is registered'), status: bgpd } },
    /^fail bgpd is ready/,
    /^fail names are unique: another bgpd.*\| give each node a name of its own/,
  ],
  [
    'a kernel without TUN devices',
    { features: { tun: "ENOENT: no such file or directory, access '/dev/net/tun'" } },
    /^warn kernel has tun: ENOENT.*\| .*--device \/dev\/net\/tun/,
  ],
  [
    'forwarding that is off',
    { sysctls: { 'net.ipv4.ip_forward': 0 } },
    /^fail packets are forwarded: net\.ipv4\.ip_forward is 0 \| sysctl -w net\.ipv4\.ip_forward=1/,
  ],
  [
    'a strict reverse path filter',
    { sysctls: { 'net.ipv4.ip_forward': 1, 'net.ipv4.conf.all.rp_filter': 1, 'net.ipv4.conf.eth0.rp_filter': 0 } },
    /^warn replies may come another way: net\.ipv4\.conf\.eth0\.rp_filter is strict/,
  ],
  [
    'a tunnel device with another MTU',
    { links: [{ name: 'flannel.1', mtuBytes: 1500 }] },
    /^fail MTU of the tunnel: flannel\.1 has 1500, flanneld wants 1450 \| ip link set flannel\.1 mtu 1450/,
  ],
  ['no tunnel device', { links: [] }, /^fail MTU of the tunnel: there is no flannel\.1 here/],
  [
    'a subnet.env of former times',
    { subnetEnv: { mtuBytes: 1400, networks: [] } },
    /^fail MTU of the tunnel: subnet\.env says 1400/,
  ],
  [
    'a subnet.env that cannot be read',
    { subnetEnv: 'FLANNEL_MTU is missing' },
    /^fail MTU of the tunnel: subnet\.env: FLANNEL_MTU is missing \| restart flanneld/,
  ],
  [
    'a bridge of pods with a larger MTU',
    { links: [...healthy.links.slice(0, 2), { name: 'cni0', mtuBytes: 1500 }] },
    /^warn MTU of the pods: cni0 has 1500, the tunnel 1450/,
  ],
  [
    'a blocked UDP port',
    withPath({ tunnel: false, tunnelFull: false }),
    /^fail node2 is reached: 192\.0\.2\.2 answers, the tunnel does not \| let UDP port 8472 through/,
  ],
  [
    'a node that is gone',
    withPath({ underlay: false, underlayFull: false, tunnel: false, tunnelFull: false }),
    /^fail node2 is reached: no answer from 192\.0\.2\.2/,
  ],
  [
    'a link on the way with a smaller MTU',
    withPath({ underlayFull: false, tunnelFull: false }),
    /^fail node2 is reached: small packets arrive, the underlay loses those of full size/,
  ],
  ['no ping program', { paths: 'ping is not installed' }, /^warn nodes are reached: ping is not installed/],
  [
    'a session that is down',
    { bgpd: { readiness: READY, status: { ...bgpd, peers: [{ ...peer, state: 'Active', whyDown: 'BFD Down' }] } } },
    /^fail session with node2: Active: BFD Down/,
  ],
  [
    "an underlay inside the overlay's network",
    { foreignRoutes: [{ destination: '10.5.64.0/20', device: 'eth1' }] },
    /^fail addresses are free: 10\.5\.64\.0\/20 \(eth1\) lies in the overlay's network 10\.5\.0\.0\/16/,
  ],
  [
    'a certificate that ran out',
    certificate({ validTo: '2029-12-31T00:00:00Z' }),
    /^fail certificate of bgpd: \/c\.pem ran out on 2029-12-31/,
  ],
  [
    'a certificate that soon runs out',
    certificate({ validTo: '2030-01-05T00:00:00Z' }),
    /^warn certificate of bgpd: \/c\.pem runs out on/,
  ],
  [
    'a certificate that is not valid yet',
    certificate({ validFrom: '2030-06-01T00:00:00Z' }),
    /^fail certificate of bgpd: .* is valid from 2030-06-01T00:00:00Z only \| check the clock/,
  ],
  [
    'a certificate that cannot be read',
    certificate({ problem: 'ENOENT' }),
    /^fail certificate of bgpd: \/c\.pem: ENOENT/,
  ],
  [
    "somebody's chain that drops what is forwarded",
    { droppingChains: ['nft ip filter FORWARD'] },
    /^fail nobody drops what is forwarded: nft ip filter FORWARD drops it \| .*DOCKER-USER/,
  ],
  [
    'a wrong network config',
    withFlanneld({ config: { fault: 'SubnetLen 8 is shorter than Network', needsRestart: [] } }),
    /^fail network config: SubnetLen 8/,
  ],
  [
    'a network config that waits for a restart',
    withFlanneld({ config: { fault: null, needsRestart: ['Backend.Port'] } }),
    /^warn network config: changed in etcd, not in use yet: Backend\.Port/,
  ],
  ['malformed leases', withFlanneld({ malformedLeases: 2 }), /^warn leases: 2 entries in etcd are no leases/],
];

describe('finds', () => {
  it.each(FAULTS.map(([fault, facts, ...said]) => ({ fault, facts, said })))('$fault', ({ facts, said }) => {
    const found = complaints(facts);
    expect(found).toHaveLength(said.length);
    for (const [index, pattern] of said.entries()) expect(found[index]).toMatch(pattern);
  });
});
