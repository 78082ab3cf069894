// Which pod has which address: a file for each, in one folder for all networks of a node, which share its subnets.
//
//   <dataDir>/10.5.7.9     {"network","containerId","ifname","bootId","sinceUnixMs"}
//   <dataDir>/recent.json  {"last":{"4":"10.5.7.9"},"released":{"10.5.7.8":<unix ms>}}
//   <dataDir>/lock         flock(2)
//
// Crash-safe without fsync: a file is written under another name and linked into place whole, before the kernel is
// touched; it goes after everything else of the pod has gone. So what a killed plugin leaves behind is always told by a
// file. And what a machine that lost power leaves behind is told by its boot id: no pod outlives its kernel.

import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Address, parseAddress } from '../lib/net/address.ts';
import type { Attachment } from './cni-call.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';
import { withFileLock } from './file-lock.ts';

const LOCK_FILE = 'lock';
const RECENT_FILE = 'recent.json';
const TEMPORARY = '.new-';
const BOOT_ID_FILE = '/proc/sys/kernel/random/boot_id';

/** A pod's interface, and the name of the CNI network that it is plugged into. */
export interface Owner extends Attachment {
  readonly network: string;
}

export function ownerOf(network: string, { containerId, ifname }: Attachment): Owner {
  return { network, containerId, ifname };
}

/** An address that a pod has. */
export interface Allocation extends Owner {
  readonly address: Address;
  readonly sinceUnixMs: number;
}

/** What the next allocation looks at besides the files; losing it loses nothing but the order of reuse. */
export interface Recent {
  /** By family: the address that was given last. */
  readonly last: Readonly<Record<string, Address>>;
  /** When addresses were freed. */
  readonly released: Readonly<Record<string, number>>;
}

/** A node's allocations while the lock is held. What belongs to an earlier boot is not there. */
export class LockedAddresses {
  readonly #folder: string;
  readonly #bootId: string;
  readonly #allocations = new Map<Address, Allocation>();
  recent: Recent;

  constructor(folder: string) {
    this.#folder = folder;
    this.#bootId = readFileSync(BOOT_ID_FILE, 'utf8').trim();
    this.recent = readRecent(join(folder, RECENT_FILE));
    for (const name of readdirSync(folder)) this.#read(name);
  }

  /** By address. */
  get allocations(): ReadonlyMap<Address, Allocation> {
    return this.#allocations;
  }

  /** The addresses of one pod's interface. */
  of({ network, containerId, ifname }: Owner): readonly Allocation[] {
    return [...this.#allocations.values()].filter(
      (each) => each.containerId === containerId && each.ifname === ifname && each.network === network,
    );
  }

  /** Writes that the address is this pod's. It must be free. */
  give(address: Address, { network, containerId, ifname }: Owner, nowUnixMs: number): void {
    const temporary = join(this.#folder, `${TEMPORARY}${process.pid}`);
    const content = { network, containerId, ifname, bootId: this.#bootId, sinceUnixMs: nowUnixMs };
    writeFileSync(temporary, `${JSON.stringify(content)}\n`);
    // Not rename: two writers of one address would be a bug that must not pass in silence.
    linkSync(temporary, join(this.#folder, address));
    rmSync(temporary);
    this.#allocations.set(address, { address, network, containerId, ifname, sinceUnixMs: nowUnixMs });
  }

  /** Frees the address; one that is free is fine. Notes when, so that it is not used again at once. */
  free(address: Address, nowUnixMs: number): void {
    this.remember({ ...this.recent, released: { ...this.recent.released, [address]: nowUnixMs } });
    rmSync(join(this.#folder, address), { force: true });
    this.#allocations.delete(address);
  }

  remember(recent: Recent): void {
    this.recent = recent;
    const temporary = join(this.#folder, `${TEMPORARY}${process.pid}`);
    writeFileSync(temporary, `${JSON.stringify(recent)}\n`);
    renameSync(temporary, join(this.#folder, RECENT_FILE));
  }

  #read(name: string): void {
    const path = join(this.#folder, name);
    const address = parseAddress(name);
    if (address === undefined) {
      // Nobody writes while we hold the lock: its writer was killed.
      if (name.startsWith(TEMPORARY)) rmSync(path, { force: true });
      return;
    }
    const { network, containerId, ifname, bootId, sinceUnixMs } = readJson(path) as Record<string, string>;
    if (network !== undefined && containerId !== undefined && ifname !== undefined && bootId === this.#bootId) {
      const owner = { network: String(network), containerId: String(containerId), ifname: String(ifname) };
      this.#allocations.set(address, { address, ...owner, sinceUnixMs: Number(sinceUnixMs) });
    } else {
      rmSync(path, { force: true });
    }
  }
}

/** Runs `use` with the node's allocations, alone on this machine. Makes the folder. Throws `CniError` (5 or 11). */
export async function withAddresses<T>(folder: string, use: (store: LockedAddresses) => T | Promise<T>): Promise<T> {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
  } catch (cause) {
    const reason = `cannot make ${folder} (dataDir): ${(cause as Error).message}`;
    throw new CniError(CNI_ERROR.ioFailure, reason, '', { cause });
  }
  return withFileLock(join(folder, LOCK_FILE), () => use(new LockedAddresses(folder)));
}

function readRecent(path: string): Recent {
  const { last, released } = readJson(path) as Partial<Recent>;
  const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null;
  return { last: isObject(last) && last ? last : {}, released: isObject(released) && released ? released : {} };
}

/** The object in the file; an empty one where there is none that can be read. */
function readJson(path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
