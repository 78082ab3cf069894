// Pods without a bridge, in flanneld's RouteFeed: the CNI plugin leaves a record of each in <run-dir>/pods, and each record
// is a group of its own whose one next hop is the pod's host interface, with the pod's addresses as its routes. It also says
// what that interface needs: the pod's gateways as addresses, and the pod as a neighbour.
//
// Level-triggered: what counts is which records are there. Notifications of the folder only say where to look; all of it
// is looked at again every minute, for a notification may be lost and a folder removed.
//
// The confusing thing: these groups are `local`, and are no blackholes. felix routes them; bgpd passes them on to felix
// and announces only what the node's own subnets do not say already.

import { createHash } from 'node:crypto';
import { type FSWatcher, mkdirSync, readdirSync, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import type { Cause, FeedAttachment } from '../lib/feed/feed.ts';
import type { FeedTable } from '../lib/feed/feed-table.ts';
import { ADDRESS_LENGTH, familyOf } from '../lib/net/address.ts';
import { type Prefix, prefixOf } from '../lib/net/prefix.ts';
import { isPodRecordName, type PodRecord, parsePodRecord, podRecordFolder } from '../lib/pod-record.ts';
import type { Clock } from '../lib/run/clock.ts';
import type { Logger } from '../lib/run/log.ts';

/** Ids of pods' groups start here: clear of those of leases, and of those that bgpd gives to the groups of its own feed. */
export const POD_GROUPS_FROM = 0x8000_0000;
const RELIST_MS = 60_000;

export interface PodFeedOptions {
  readonly runFolder: string;
  readonly node: string;
  readonly table: FeedTable;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Offers every pod that has a record now, and follows the folder until the returned function is called. */
export function offerPods(options: PodFeedOptions): () => Promise<void> {
  const feed = new PodFeed(options);
  feed.start();
  return async () => feed.stop();
}

class PodFeed {
  readonly #options: PodFeedOptions;
  readonly #folder: string;
  /** By file name. */
  readonly #groups = new Map<string, { readonly id: number; readonly text: string }>();
  #causes = 0;
  #watcher: FSWatcher | undefined;
  #cancelTimer: () => void = () => undefined;

  constructor(options: PodFeedOptions) {
    this.#options = options;
    this.#folder = podRecordFolder(options.runFolder);
  }

  start(): void {
    this.#relist();
  }

  stop(): void {
    this.#cancelTimer();
    this.#watcher?.close();
  }

  #relist(): void {
    const { clock, log } = this.#options;
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o755 });
      // Anew each time: a folder that was removed and made again is another one.
      this.#watcher?.close();
      this.#watcher = watch(this.#folder, (_, name) => this.#look(name ?? ''));
      this.#watcher.on('error', (error) => log.warn({ err: error }, 'pod records are looked at each minute only'));
      for (const name of new Set([...readdirSync(this.#folder), ...this.#groups.keys()])) this.#look(name);
    } catch (error) {
      log.warn({ err: error, folder: this.#folder }, 'pod records cannot be listed: trying again');
    }
    this.#cancelTimer = clock.after(RELIST_MS, () => this.#relist());
  }

  #look(name: string): void {
    if (!isPodRecordName(name)) return;
    const text = readText(join(this.#folder, name));
    const known = this.#groups.get(name);
    if (text === known?.text) return;
    const record = text === undefined ? undefined : parsePodRecord(text);
    if (text !== undefined && record === undefined) {
      this.#options.log.warn({ file: name }, 'a pod record that cannot be read is left out');
    }
    if (known !== undefined && record === undefined) this.#remove(name, known.id);
    if (text !== undefined && record !== undefined) this.#put(name, text, record, known?.id ?? this.#newId(name));
  }

  #put(name: string, text: string, record: PodRecord, id: number): void {
    const { table, node } = this.#options;
    const { hostInterface, addresses } = record;
    const cause = this.#cause('pod-added');
    const nextHops = [{ device: hostInterface, onlink: false, weight: 1 }];
    const attachment = attachmentOf(record);
    table.setGroup({ id, kind: 'unicast', nextHops, local: true, node, ...(attachment && { attachment }) }, cause);
    const prefixes = addresses.map((address) => prefixOf(address, ADDRESS_LENGTH[familyOf(address)] * 8) as Prefix);
    const former = [...table.prefixesOf(id)].filter((prefix) => !prefixes.includes(prefix));
    table.setRoutes(id, prefixes, cause);
    table.withdraw(former, cause);
    this.#groups.set(name, { id, text });
  }

  #remove(name: string, id: number): void {
    const cause = this.#cause('pod-removed');
    const { table } = this.#options;
    table.withdraw(table.prefixesOf(id), cause);
    table.removeGroup(id, cause);
    this.#groups.delete(name);
  }

  /** The same after a restart, so that felix and bgpd see no group become another pod's. */
  #newId(name: string): number {
    const taken = new Set([...this.#groups.values()].map(({ id }) => id));
    const idFrom = (number: number): number => (number | POD_GROUPS_FROM) >>> 0;
    let id = idFrom(createHash('sha256').update(name).digest().readUInt32BE());
    while (taken.has(id)) id = idFrom(id + 1);
    return id;
  }

  #cause(kind: string): Cause {
    const now = this.#options.clock.unixMicros();
    return { id: `flanneld-${process.pid}-pod-${++this.#causes}`, kind, detectedUnixUs: now, decidedUnixUs: now };
  }
}

/** What the pod's host interface needs besides the routes; `undefined` where the record does not say. */
function attachmentOf({ hostInterface: device, addresses, gateways = [], mac }: PodRecord): FeedAttachment | undefined {
  const neighbours = mac === undefined ? [] : addresses.map((address) => ({ address, mac }));
  return gateways.length + neighbours.length === 0 ? undefined : { device, addresses: gateways, neighbours };
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
