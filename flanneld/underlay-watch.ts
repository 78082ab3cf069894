// Follows the underlay interface while flanneld runs: its MTU (the overlay's follows it), and whether it is up.
// Not the choice of the interface (underlay.ts), which is made once, at the start.

import type { Kernel } from '../lib/kernel/kernel.ts';
import type { Logger } from '../lib/run/log.ts';
import type { Backend } from './backend/backend.ts';
import type { FlanneldView } from './status.ts';
import type { Underlay } from './underlay.ts';

export interface UnderlayWatchOptions {
  readonly kernel: Kernel;
  readonly underlay: Underlay;
  readonly backend: Backend;
  readonly view: FlanneldView;
  readonly log: Logger;
}

/** Begins; the returned function ends it. */
export async function watchUnderlay(options: UnderlayWatchOptions): Promise<() => Promise<void>> {
  const { kernel, underlay, backend, view, log } = options;
  let { mtuBytes } = underlay;
  const unsubscribe = await kernel.subscribe(['link'], (event) => {
    if (event.type === 'resync' || event.kind !== 'link' || event.object.index !== underlay.linkIndex) return;
    const isUp = event.type === 'put' && event.object.up;
    if (isUp !== view.underlayUp) log.warn({ interface: underlay.name, up: isUp }, 'the underlay interface changed');
    view.underlayUp = isUp;
    if (event.type === 'delete' || event.object.mtuBytes === mtuBytes) return;
    log.info({ interface: underlay.name, was: mtuBytes, mtuBytes: event.object.mtuBytes }, 'underlay MTU changed');
    mtuBytes = event.object.mtuBytes;
    backend.setUnderlayMtu(mtuBytes);
  });
  return async () => unsubscribe();
}
