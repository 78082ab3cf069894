// Where peers reach this node: it listens at the node's address, and at another one when that changes.
//
// At the start a failure is the daemon's end. After a move it is not: an address may be gone again before it was listened
// at, and one of IPv6 cannot be used before the kernel has looked for duplicates (RFC 4862 section 5.4).

import type { Address } from '../lib/net/address.ts';
import { type Clock, pause } from '../lib/run/clock.ts';
import { EXIT, ExitError, errorText } from '../lib/run/exit.ts';
import type { DaemonContext } from '../lib/run/lifecycle.ts';

const RETRY_MS = 1_000;

export interface PeerListenerOptions {
  /** --listen-address: it stays there wherever the node moves. */
  readonly fixedAddress: Address | undefined;
  /** 0: one that is free. */
  readonly port: number;
  /** Listens there in place of where it did before, and gives the port. */
  readonly listen: (address: Address, port: number) => Promise<number>;
  readonly clock: Clock;
  readonly context: DaemonContext;
}

export class PeerListener {
  readonly #options: PeerListenerOptions;
  #address: Address | undefined;
  #port: number;
  #problem: string | undefined;

  constructor(options: PeerListenerOptions) {
    this.#options = options;
    this.#port = options.port;
  }

  /** As it was asked for, until it listens. */
  get port(): number {
    return this.#port;
  }

  /** Why it does not listen where it should, after a move. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Rejects with `ExitError` (environment) where it cannot. */
  async start(address: Address): Promise<void> {
    this.#address = address;
    await this.#listen(this.#options.fixedAddress ?? address);
  }

  /** Tries until it listens there: then `true`; `false` where the node has moved on or stops meanwhile. */
  async move(address: Address): Promise<boolean> {
    const { clock, context, fixedAddress } = this.#options;
    this.#address = address;
    if (fixedAddress !== undefined) return true;
    const isOver = (): boolean => context.signal.aborted || this.#address !== address;
    for (; !isOver(); await pause(clock, RETRY_MS, context.signal)) {
      const problem = await this.#listen(address).then(() => undefined, errorText);
      if (isOver()) break;
      if (problem !== undefined && this.#problem !== problem) context.log.warn({ reason: problem }, 'trying again');
      this.#problem = problem;
      if (problem === undefined) return true;
    }
    return false;
  }

  async #listen(address: Address): Promise<void> {
    const { context, listen } = this.#options;
    try {
      this.#port = await listen(address, this.#port);
    } catch (error) {
      const what = `bgpd: cannot listen on ${address} port ${this.#port} (--listen-address, --listen-port)`;
      throw new ExitError(EXIT.environment, what, { cause: error });
    }
    context.log.info({ address, port: this.#port }, 'listening for peers');
  }
}
