// The watching half of the leases benchmark: a process that takes a watch of all leases through lease table, backend and
// feed, as flanneld does, and says when the feed has a change. Its kernel is the fake one: no devices.
//
// node leases-watcher.js <etcd endpoint>; messages go to the parent: once all are there, at each change, and on "report".

import { pino } from 'pino';
import { VxlanBackend } from '../../flanneld/backend/vxlan-backend.ts';
import { decodeLease, type Lease } from '../../flanneld/lease/lease.ts';
import { type NetworkConfig, parseNetworkConfig, type VxlanConfig } from '../../flanneld/lease/network-config.ts';
import { LeaseFeed } from '../../flanneld/lease-feed.ts';
import { PeerWatch } from '../../flanneld/peer-watch.ts';
import type { FlanneldView } from '../../flanneld/status.ts';
import { FeedTable } from '../../lib/feed/feed-table.ts';
import { address } from '../../lib/net/address.ts';
import { openEtcdRegistry } from '../../lib/registry/etcd-registry.ts';
import { systemClock } from '../../lib/run/clock.ts';
import { Metrics } from '../../lib/run/status-server.ts';
import { FakeKernel } from '../fakes/fake-kernel.ts';

export interface WatcherReport {
  readonly leases: number;
  readonly seenUnixMs: number;
  readonly rssBytes: number;
  readonly cpuSeconds: number;
}

const [endpoint = ''] = process.argv.slice(2);
const registry = await openEtcdRegistry({ endpoints: [endpoint] });
const [kernel, table, log] = [new FakeKernel(), new FeedTable(), pino({ level: 'silent' })];
const eth0 = kernel.addLink({ name: 'eth0', up: true, mtuBytes: 1500 });
const local = address('192.168.255.1');
const underlay = { linkIndex: eth0.index, name: 'eth0', mtuBytes: 1500, local, publicIp: local };
const own = decodeLease(
  '/many/subnets/10.255.255.0-24',
  `{"PublicIP":"${local}","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:01"},"NodeName":"me"}`,
) as Lease;
const network = parseNetworkConfig('{"Network":"10.0.0.0/8"}') as NetworkConfig;
let follow = (_keys?: readonly string[]): void => undefined;
const context = { kernel, clock: systemClock, log, nodeName: 'me', underlay };
const backend = new VxlanBackend(network.backend as VxlanConfig, { ...context, onChange: (keys) => follow(keys) });
await backend.start(own);
const view: FlanneldView = {
  node: 'me',
  etcdAt: { endpoints: [], tls: {} },
  phase: '',
  underlayUp: true,
  etcd: { connected: true },
  feedInSync: false,
  malformed: 0,
};
const feed = new LeaseFeed(table, systemClock);
const terms = { etcdPrefix: '/many', nodeName: 'me', publicIps: [local] };
const watch = new PeerWatch({
  ...{ view, table, feed, backend, terms, log },
  clock: systemClock,
  metrics: new Metrics('bench'),
});
follow = (keys) => watch.publishSoon(keys);
let isReady = false;
table.subscribe((event) => {
  if (event.type === 'in-sync') isReady = true;
  // The fake kernel keeps a record for tests, which is no part of what is measured.
  kernel.clearRecords();
  if (event.type === 'in-sync' || (isReady && event.type === 'group')) report();
});
process.on('message', report);
process.on('disconnect', () => process.exit(0));
registry.watch(watch.folder, (event) => watch.hear(event), new AbortController().signal);

function report(): void {
  const { user, system } = process.cpuUsage();
  const message: WatcherReport = {
    leases: table.routeCount,
    seenUnixMs: performance.timeOrigin + performance.now(),
    rssBytes: process.memoryUsage.rss(),
    cpuSeconds: (user + system) / 1e6,
  };
  process.send?.(message);
}
