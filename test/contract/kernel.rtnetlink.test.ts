// The kernel contract on the real kernel: every test in a network namespace of its own. Needs root.
//
// Without root nothing of it can run: then one test is left out, and its name says why.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'vitest';
import { openKernel } from '../../lib/kernel/rtnetlink-kernel.ts';
import { type KernelRig, kernelContract } from './kernel.contract.ts';
import { kernelLinkEntriesContract } from './kernel-link-entries.contract.ts';
import { kernelNexthopsContract } from './kernel-nexthops.contract.ts';
import { kernelPairsContract } from './kernel-pairs.contract.ts';
import { kernelRoutesContract } from './kernel-routes.contract.ts';
import { kernelRulesContract } from './kernel-rules.contract.ts';
import { enterNewNetworkNamespace } from './network-namespace.ts';

async function open(): Promise<KernelRig> {
  const leave = enterNewNetworkNamespace();
  ip('link', 'set', 'lo', 'up');
  const kernel = openKernel();
  return {
    kernel,
    async addCard(name) {
      // The other end must be up for the card to have carrier; IPv6 link-local addresses would only be noise.
      ip('link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}-far`);
      for (const end of [name, `${name}-far`]) ip('link', 'set', end, 'addrgenmode', 'none', 'up');
      return Number(readFileSync(`/proc/thread-self/net/dev_snmp6/${name}`, 'utf8').match(/ifIndex\s+(\d+)/)?.[1]);
    },
    async dispose() {
      await kernel.close();
      leave();
    },
  };
}

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

if (process.getuid?.() === 0) {
  kernelContract('RtnetlinkKernel', open);
  kernelRoutesContract('RtnetlinkKernel', open);
  kernelNexthopsContract('RtnetlinkKernel', open);
  kernelLinkEntriesContract('RtnetlinkKernel', open);
  kernelRulesContract('RtnetlinkKernel', open);
  kernelPairsContract('RtnetlinkKernel', open);
} else {
  // Namespaces and routes need CAP_SYS_ADMIN and CAP_NET_ADMIN.
  test.skip('RtnetlinkKernel: not run, because it needs root', () => undefined);
}
