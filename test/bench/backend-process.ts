// One node's backend of flanneld as a process of its own, without etcd: it is given its lease and that of the other node.
//
// Started in a namespace by dataplane-rows.ts. It prints "programmed" once the other node can be reached, and ends when its
// standard input closes. Routes are not its business, as they are not flanneld's.

import { openBackend } from '../../flanneld/backend/open-backend.ts';
import type { PlaneIoChoice, PlaneTuning } from '../../flanneld/dataplane/data-plane.ts';
import { openDataPlane } from '../../flanneld/dataplane/open-data-plane.ts';
import type { Lease } from '../../flanneld/lease/lease.ts';
import type { BackendConfig } from '../../flanneld/lease/network-config.ts';
import { openKernel } from '../../lib/kernel/rtnetlink-kernel.ts';
import { address } from '../../lib/net/address.ts';
import { mac } from '../../lib/net/mac.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { systemClock } from '../../lib/run/clock.ts';
import { runMain } from '../../lib/run/lifecycle.ts';
import { createLogger } from '../../lib/run/log.ts';
import type { BenchNode } from './node-pair.ts';

const VNI = 1;
const VXLAN_PORT = 8472;
const UDP_PORT = 8285;

export interface BackendRequest {
  readonly type: BackendConfig['type'];
  readonly userSpace: boolean;
  readonly io: PlaneIoChoice;
  readonly tuning?: PlaneTuning;
  readonly own: BenchNode;
  readonly other: BenchNode;
  /** Of the cable, as the backend is to see it. */
  readonly underlayMtuBytes: number;
}

await runMain(async () => {
  const request = JSON.parse(process.argv[2] ?? '') as BackendRequest;
  const log = createLogger('bench', 'warn');
  const kernel = openKernel(log);
  const link = (await kernel.list('link')).find(({ name }) => name === 'ul');
  if (link === undefined) throw new Error('there is no underlay');
  const local = address(request.own.underlay);
  const underlay = {
    ...{ linkIndex: link.index, name: link.name, mtuBytes: request.underlayMtuBytes },
    ...{ local, publicIp: local },
  };
  let isTold = false;
  const backend = openBackend(
    backendConfig(request),
    {
      vxlanUser: request.userSpace,
      io: request.io,
      openPlane: (plane, options) => openDataPlane(plane, { ...options, tuning: request.tuning ?? {} }),
    },
    {
      ...{ kernel, clock: systemClock, log, underlay, nodeName: request.own.namespace },
      onChange: () => {
        if (isTold || backend.problem() !== undefined || backend.peers()[0]?.programmed !== true) return;
        isTold = true;
        process.stdout.write('programmed\n');
      },
    },
  );
  await backend.start(leaseOf(request.own, request.type));
  backend.setPeers([leaseOf(request.other, request.type)]);
  process.stdin.resume();
  await new Promise((resolve) => {
    process.stdin.once('end', resolve);
    process.once('SIGTERM', resolve);
  });
  await backend.stop();
  await kernel.close();
  // A profile is written where the process ends by itself.
  process.stdin.destroy();
});

function backendConfig({ type, userSpace }: BackendRequest): BackendConfig {
  if (type === 'udp') return { type, port: UDP_PORT };
  if (type === 'ipip') return { type, directRouting: false, userSpace };
  if (type === 'host-gw') return { type };
  const fixed = { vni: VNI, port: VXLAN_PORT, directRouting: false, gbp: false, learning: false };
  return { type, userSpace, ...fixed } as const;
}

function leaseOf(node: BenchNode, type: BackendConfig['type']): Lease {
  return {
    key: `/bench/subnets/${node.subnet.replace('/', '-')}`,
    subnet: prefix(node.subnet),
    publicIp: address(node.underlay),
    backendType: type,
    nodeName: node.namespace,
    ...(type === 'vxlan' && { vtep: { vni: VNI, mac: mac(node.mac) } }),
  };
}
