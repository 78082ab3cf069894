// What this kernel can do and an older one cannot, found out by asking it rather than by its version: distributions
// carry features back.

import { type Kernel, KernelError } from './kernel.ts';

export interface KernelFeatures {
  /** Nexthop objects and groups (Linux 5.3): failover then costs one message, not one per route. */
  readonly nexthopObjects: boolean;
}

/** Asks the kernel. Throws `KernelError` where it cannot be asked at all. */
export async function probeKernelFeatures(kernel: Kernel): Promise<KernelFeatures> {
  try {
    await kernel.list('nexthop');
    return { nexthopObjects: true };
  } catch (error) {
    if (error instanceof KernelError && error.code === 'unsupported') return { nexthopObjects: false };
    throw error;
  }
}
