// Writing to the kernel with the plugin's errors, and finding a link by its name.
//
// All changes of one call are needed: the first refusal is thrown, whatever became of the rest; the caller undoes all.

import type { Kernel, KernelChange, Link, LinkSpec } from '../lib/kernel/kernel.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';

/** Throws `CniError` (102) with what was refused and why. */
export async function writeAll(kernel: Kernel, changes: readonly KernelChange[]): Promise<void> {
  const [refused] = (await kernel.apply(changes)).filter((failure) => failure !== undefined);
  if (refused === undefined) return;
  const reason = refused.message === undefined ? refused.code : `${refused.code}: ${refused.message}`;
  throw new CniError(CNI_ERROR.kernelRefused, `the kernel refused to ${refused.what}: ${reason}`);
}

export function putLink(link: LinkSpec): KernelChange {
  return { op: 'put', kind: 'link', link };
}

export async function linkNamed(kernel: Kernel, linkName: string): Promise<Link | undefined> {
  return (await kernel.list('link', { linkName }))[0];
}

/** As `linkNamed`, for a link that was made a moment ago. Throws `CniError` (102). */
export async function madeLink(kernel: Kernel, name: string): Promise<Link> {
  const link = await linkNamed(kernel, name);
  if (link !== undefined) return link;
  throw new CniError(CNI_ERROR.kernelRefused, `interface ${name} was made and is gone: somebody removed it`);
}
