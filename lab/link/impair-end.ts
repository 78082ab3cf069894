// Gives one end of a link delay, loss and a rate: by the kernel's netem and tbf, or where it has no netem by the lab's own
// link. What a person asked for is one way; both ends have it.
//
// netem is tried and not looked up: a kernel that has it as a module tells only then. The rate of the lab's own link is
// tbf's: it stands in the way of what that link sends as well.

import type { Impairment } from '../topology-spec.ts';
import { noLinkRules } from './link-rules.ts';

/** By what packets are delayed and lost; `none` where there is a rate alone. */
export type ImpairedBy = 'none' | 'netem' | 'lab-link';

/** How programs are run where the interface is. */
export interface EndTools {
  readonly run: (argv: readonly string[], input?: string) => Promise<unknown>;
  /** Starts `lab/link/main.js` with these arguments and waits until it is ready. */
  readonly startLink: (args: readonly string[]) => Promise<void>;
}

/** `device` had no qdisc and no link of the lab's. `seed` draws what the lab's own link loses. */
export async function impairEnd(
  device: string,
  { delay = 0, loss = 0, rate }: Impairment,
  seed: number,
  { run, startLink }: EndTools,
): Promise<ImpairedBy> {
  const qdisc = (words: readonly string[]) => run(['tc', 'qdisc', 'replace', 'dev', device, 'root', ...words]);
  const limit = rate === undefined ? [] : ['rate', `${rate}mbit`];
  const isPlain = delay === 0 && loss === 0;
  if (!isPlain) {
    const words = ['netem', 'delay', `${delay}ms`, 'loss', `${loss}%`, ...limit];
    const done = await qdisc(words).then(
      () => true,
      () => false,
    );
    if (done) return 'netem';
  }
  if (rate !== undefined) await qdisc(['tbf', ...limit, 'burst', '64kb', 'latency', '50ms']);
  if (isPlain) return 'none';
  await startLink([device, String(delay), String(loss), String(seed)]);
  return 'lab-link';
}

/** Takes away what `impairEnd` made, but for the process of the lab's own link. */
export async function mendEnd(device: string, run: EndTools['run']): Promise<void> {
  await run(['nft', '-f', '-'], noLinkRules(device));
  // Without a qdisc of ours there is nothing to delete.
  await run(['tc', 'qdisc', 'del', 'dev', device, 'root']).catch(() => undefined);
}
