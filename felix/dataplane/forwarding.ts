// Whether this node forwards packets at all: net.ipv4.ip_forward, and for IPv6 net.ipv6.conf.all.forwarding. Turned on
// where they are off and may be written; in a container without that right somebody else must do it.
//
// The confusing thing: IPv6 forwarding makes a host ignore router advertisements, from which it may have its own default
// route. So it is left alone until there is an IPv6 route to forward for.

import { readFileSync, writeFileSync } from 'node:fs';
import type { Family } from '../../lib/net/address.ts';
import { errorText } from '../../lib/run/exit.ts';
import type { Logger } from '../../lib/run/log.ts';

const SETTINGS: Readonly<Record<Family, { readonly name: string; readonly path: string }>> = {
  4: { name: 'net.ipv4.ip_forward', path: 'net/ipv4/ip_forward' },
  6: { name: 'net.ipv6.conf.all.forwarding', path: 'net/ipv6/conf/all/forwarding' },
};

export interface ForwardingState {
  readonly on: boolean;
  /** The fact in a few words: `net.ipv4.ip_forward is 1`. */
  readonly detail: string;
}

export class Forwarding {
  readonly #log: Logger;
  readonly #root: string;
  #state: ForwardingState = { on: false, detail: 'not looked at yet' };
  #complained = false;

  /** `root` is /proc/sys but for tests. */
  constructor(log: Logger, root = '/proc/sys') {
    this.#log = log;
    this.#root = root;
  }

  get state(): ForwardingState {
    return this.#state;
  }

  /** Looks, and turns on what is off. Throws nothing: what cannot be done is said, once. */
  ensure(withIpv6: boolean): ForwardingState {
    const states = (withIpv6 ? ([4, 6] as const) : ([4] as const)).map((family) => this.#ensure(family));
    this.#state = states.find(({ on }) => !on) ?? { on: true, detail: states.map(({ detail }) => detail).join(', ') };
    if (!this.#state.on && !this.#complained) {
      this.#complained = true;
      this.#log.error({ setting: this.#state.detail }, 'this node does not forward packets; set it to 1 from outside');
    }
    return this.#state;
  }

  #ensure(family: Family): ForwardingState {
    const { name, path } = SETTINGS[family];
    const file = `${this.#root}/${path}`;
    try {
      if (readFileSync(file, 'utf8').trim() !== '0') return { on: true, detail: `${name} is 1` };
    } catch (error) {
      return { on: false, detail: `${name} cannot be read: ${errorText(error)}` };
    }
    try {
      writeFileSync(file, '1\n');
    } catch (error) {
      return { on: false, detail: `${name} is 0 and cannot be written: ${errorText(error)}` };
    }
    this.#log.info({ setting: name }, 'forwarding turned on');
    return { on: true, detail: `${name} is 1` };
  }
}
