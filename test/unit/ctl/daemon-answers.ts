// What the three daemons of a healthy node say in /status, as far as the commands read it: to be changed by the tests.
//
// Documentation addresses (RFC 5737); one peer, node2.

import type { BgpdStatus, FelixStatus, FlanneldStatus } from '../../../ctl/daemon-status.ts';

export const flanneld: FlanneldStatus = {
  ...{ node: 'node1', subnet: '10.5.1.0/24', backend: 'vxlan', device: 'flannel.1', mtu: 1450 },
  ...{ publicIP: '192.0.2.1', interface: 'eth0', malformedLeases: 0, peers: [], drops: null, deviceCounters: null },
  config: { fault: null, needsRestart: [] },
  etcd: { connected: true, endpoints: ['http://192.0.2.9:2379'], tls: {} },
};
export const peer = {
  ...{ node: 'node2', address: '192.0.2.2', asn: 64512, state: 'Established', since: '2029-12-31T00:00:00Z' },
  ...{ sessions: 1, routesReceived: 1, routesAdvertised: 1, bfd: { state: 'Up' } },
};
export const bgpd: BgpdStatus = { node: 'node1', asn: 64512, peers: [peer] };
export const felix: FelixStatus = {
  ...{ node: 'node1', mode: 'routed' },
  routes: { wanted: 1, programmed: 1, waiting: 0, blocked: 0, refused: 0, pending: 0 },
};
