// The kernel contract on the fake.
// What the fake can do beyond it: test/unit/fakes/fake-kernel.test.ts.

import { FakeKernel } from '../fakes/fake-kernel.ts';
import { type KernelRig, kernelContract } from './kernel.contract.ts';
import { kernelLinkEntriesContract } from './kernel-link-entries.contract.ts';
import { kernelNexthopsContract } from './kernel-nexthops.contract.ts';
import { kernelPairsContract } from './kernel-pairs.contract.ts';
import { kernelRoutesContract } from './kernel-routes.contract.ts';
import { kernelRulesContract } from './kernel-rules.contract.ts';

async function open(): Promise<KernelRig> {
  const kernel = new FakeKernel();
  return {
    kernel,
    addCard: async (name) => kernel.addLink({ name, up: true }).index,
    dispose: () => kernel.close(),
  };
}

kernelContract('FakeKernel', open);
kernelRoutesContract('FakeKernel', open);
kernelNexthopsContract('FakeKernel', open);
kernelLinkEntriesContract('FakeKernel', open);
kernelRulesContract('FakeKernel', open);
kernelPairsContract('FakeKernel', open);
