// Follows what changes about this node while flanneld runs: the underlay, the network config, the machine's sleep.
// What each change leads to is tenure.ts's.

import type { Kernel } from '../lib/kernel/kernel.ts';
import type { Registry } from '../lib/registry/registry.ts';
import type { Clock } from '../lib/run/clock.ts';
import type { DaemonContext } from '../lib/run/lifecycle.ts';
import type { FlanneldConfig } from './config.ts';
import { ConfigWatch } from './config-watch.ts';
import { configKey, type NodeFacts, underlayWish } from './node-facts.ts';
import { watchSleep } from './sleep-watch.ts';
import type { FlanneldView } from './status.ts';
import type { Tenure } from './tenure.ts';
import { watchUnderlay } from './underlay-watch.ts';

export interface NodeSources {
  readonly registry: Registry;
  readonly kernel: Kernel;
  readonly clock: Clock;
  /** CLOCK_BOOTTIME, milliseconds; the machine's where absent. */
  readonly bootMs?: () => number;
  /** Gives up the connections to etcd: this node's address is another. */
  readonly reconnect?: (reason: string) => void;
}

/** Begins; `text` is what the running network config was read from. The returned function ends it. */
export async function followNode(
  config: FlanneldConfig,
  text: string,
  facts: NodeFacts,
  tenure: Tenure,
  { log, signal }: DaemonContext,
  { registry, kernel, clock, bootMs, reconnect }: NodeSources,
  view: FlanneldView,
): Promise<() => Promise<void>> {
  const key = configKey(config);
  const configWatch = new ConfigWatch(
    {
      ...{ key, view, log },
      running: () => facts.network,
      own: () => tenure.holder.lease,
      apply: (network) => tenure.setNetwork(network),
    },
    text,
  );
  registry.watch(key, (event) => configWatch.hear(event), signal);
  const endSleepWatch = watchSleep(
    clock,
    (sleptMs) => {
      log.warn({ sleptSeconds: Math.round(sleptMs / 1000) }, 'this machine slept: looking at the lease');
      view.sleeps = (view.sleeps ?? 0) + 1;
      reconnect?.('this machine slept');
      tenure.holder.slept(sleptMs);
    },
    bootMs,
  );
  const endUnderlayWatch = await watchUnderlay({
    ...{ kernel, clock, log, view },
    underlay: facts.underlay,
    wish: () => underlayWish(config, facts.network, kernel),
    onCarrier: (hasCarrier) => tenure.setCarrier(hasCarrier),
    onChange(underlay) {
      // What goes out from an address that is gone is never answered.
      if (underlay.local !== facts.underlay.local)
        reconnect?.(`moved from ${facts.underlay.local} to ${underlay.local}`);
      tenure.setUnderlay(underlay);
    },
  });
  return async () => {
    endSleepWatch();
    await endUnderlayWatch();
  };
}
