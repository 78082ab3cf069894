// Follows the network config in etcd while flanneld runs: takes up what can be taken up, says what needs a restart.
//
// A config that is wrong, or gone, changes nothing: the node goes on with the one that it has and says so.

import type { RegistryEvent } from '../lib/registry/registry.ts';
import type { Logger } from '../lib/run/log.ts';
import { changeConfig } from './lease/config-change.ts';
import { describeFaults, isConfigFault, type NetworkConfig, parseNetworkConfig } from './lease/network-config.ts';
import type { Subnets } from './lease/pick-subnet.ts';
import type { FlanneldView } from './status.ts';

export interface ConfigWatchOptions {
  readonly key: string;
  readonly view: FlanneldView;
  readonly log: Logger;
  /** The config that runs. */
  running(): NetworkConfig;
  /** The node's lease. */
  own(): Subnets;
  /** Runs with this one from now on. */
  apply(config: NetworkConfig): void;
}

export class ConfigWatch {
  readonly #options: ConfigWatchOptions;
  #text: string | undefined;

  /** `text` is what the running config was read from. */
  constructor(options: ConfigWatchOptions, text: string) {
    this.#options = options;
    this.#text = text;
  }

  /** Takes one event of a watch of the key. */
  hear(event: RegistryEvent): void {
    const { key } = this.#options;
    if (event.type === 'put' && event.entry.key === key) this.#take(event.entry.value);
    else if (event.type === 'delete' && event.key === key) this.#take(undefined);
    else if (event.type === 'snapshot') {
      this.#take(event.snapshot.entries.find((entry) => entry.key === key)?.value);
    }
  }

  #take(text: string | undefined): void {
    if (text === this.#text) return;
    this.#text = text;
    const { key, view, log } = this.#options;
    const running = this.#options.running();
    const parsed = text === undefined ? undefined : parseNetworkConfig(text);
    if (parsed === undefined || isConfigFault(parsed)) {
      view.configFault = parsed === undefined ? `${key} is gone` : describeFaults(parsed);
      log.error({ fault: view.configFault }, 'the network config is wrong now: going on with the former one');
      return;
    }
    delete view.configFault;
    const { live, waiting } = changeConfig(running, parsed, this.#options.own());
    view.configWaiting = waiting;
    if (JSON.stringify(live) !== JSON.stringify(running)) {
      this.#options.apply(live);
      log.info({ config: live }, 'the network config changed: taken up');
    }
    if (waiting.length > 0) log.warn({ waiting }, 'the network config changed: restart flanneld for the rest of it');
  }
}
