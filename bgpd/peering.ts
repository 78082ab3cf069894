// The configuration file at work: read at the start, again on SIGHUP and when it changes, applied by difference.
//
// A file that is wrong at the start ends the daemon; later it is reported and what was in force stays. Only peers whose
// entry changed lose their session; policies and routes change without any.

import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import type { Address } from '../lib/net/address.ts';
import { type Prefix, prefixContains } from '../lib/net/prefix.ts';
import { EXIT, ExitError, errorText } from '../lib/run/exit.ts';
import type { Logger } from '../lib/run/log.ts';
import type { BfdTimings } from './bfd/settings.ts';
import type { Member, PeerRecord } from './peer-set.ts';
import { NO_PEERING, type Peering, parsePeering } from './peering-file.ts';
import type { Open } from './session/message.ts';

/** How often the file is looked at. */
const LOOK_MS = 1_000;

export interface PeeringFileOptions {
  /** `undefined`: there is none. */
  readonly path: string | undefined;
  readonly asn: number;
  readonly log: Logger;
  readonly changed: (now: Peering, before: Peering) => void;
}

export class PeeringFile {
  readonly #options: PeeringFileOptions;
  #current: Peering;
  readonly #look = (): void => this.reload();

  /** Throws `ExitError` (configuration) where the file cannot be read or is wrong. */
  constructor(options: PeeringFileOptions) {
    this.#options = options;
    const read = this.#read();
    if ('errors' in read) {
      throw new ExitError(EXIT.config, `bgpd: --config ${options.path}: ${read.errors.join('; ')}`);
    }
    this.#current = read;
    if (options.path === undefined) return;
    watchFile(options.path, { interval: LOOK_MS, persistent: false }, this.#look);
    process.on('SIGHUP', this.#look);
  }

  get current(): Peering {
    return this.#current;
  }

  reload(): void {
    const { log, changed, path } = this.#options;
    const read = this.#read();
    if ('errors' in read) {
      log.error({ path, errors: read.errors }, 'the configuration file is wrong: what was in force stays');
      return;
    }
    if (contentOf(read) === contentOf(this.#current)) return;
    const before = this.#current;
    this.#current = read;
    log.info({ path, peers: read.peers.length, routes: read.routes.length }, 'configuration file applied');
    changed(read, before);
  }

  close(): void {
    process.removeListener('SIGHUP', this.#look);
    if (this.#options.path !== undefined) unwatchFile(this.#options.path, this.#look);
  }

  #read(): ReturnType<typeof parsePeering> {
    const { path, asn } = this.#options;
    if (path === undefined) return NO_PEERING;
    try {
      return parsePeering(readFileSync(path, 'utf8'), asn);
    } catch (error) {
      return { errors: [errorText(error)] };
    }
  }
}

/** The peer that a node from this address becomes, by the ranges of the file. */
export function dynamicPeer(
  { dynamic }: Peering,
  open: Open,
  remote: Address,
  members: ReadonlyMap<string, Member>,
): PeerRecord | undefined {
  const found = dynamic.find(({ range, asn }) => prefixContains(range, remote) && asn === open.asn);
  if (found === undefined) return undefined;
  const { range, limit, ...common } = found;
  if (members.size >= limit && countWithin(range, members) >= limit) return undefined;
  return { ...common, name: open.node, address: remote, port: 0, isPassive: true };
}

/**
 * Timings of BFD with a peer, its own before its group's; `undefined` where there is to be none: the record of a registered
 * node says whether it offers BFD, for others the file does by naming timings.
 */
export function bfdOf({ peers, bfd }: Peering, record: PeerRecord, offers: boolean): Partial<BfdTimings> | undefined {
  const ofGroup = bfd.groups.get(record.group ?? '');
  const own = bfd.peers.get(record.name);
  const isOfFile = record.isPassive === true || peers.some(({ name }) => name === record.name);
  const isNamed = isOfFile && (own !== undefined || ofGroup !== undefined);
  return offers || isNamed ? { ...ofGroup, ...own } : undefined;
}

/** Peers that came from a range. */
function countWithin(range: Prefix, members: ReadonlyMap<string, Member>): number {
  let count = 0;
  for (const { record } of members.values()) if (record.isPassive && prefixContains(range, record.address)) count++;
  return count;
}

/** Groups of which the import policy is another. */
export function importChanges(now: Peering, before: Peering): ReadonlySet<string> {
  const groups = new Set([...now.policies.keys(), ...before.policies.keys()]);
  const text = (peering: Peering, group: string) => JSON.stringify(peering.policies.get(group)?.import ?? null);
  return new Set([...groups].filter((group) => text(now, group) !== text(before, group)));
}

function contentOf({ policies, bfd, ...rest }: Peering): string {
  return JSON.stringify([rest, [...policies], [...bfd.groups], [...bfd.peers]]);
}
