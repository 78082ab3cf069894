// One step of making the kernel agree: the most urgent batch of writes that is possible now. Repeated until there is none.
//
//   1 hop objects   2 group objects   3 addresses, neighbours   4 routes           5 rules         each put before what uses it
//   6 rules         7 routes          8 neighbours, addresses   9 group objects   10 hop objects   each deleted after it
//
// Every step starts from the top, so a next hop that changes while 100,000 routes are being written waits for one batch.
// Add before delete: at no moment is there less than both the old and the new state have.

import type { Kernel, KernelFailure, Nexthop } from '../../lib/kernel/kernel.ts';
import type { TrackedEntry } from '../../lib/pending-keys.ts';
import type { LinkEntry } from '../desired/link-entries.ts';
import type { KernelMirror, WriteKind } from './kernel-mirror.ts';
import type { KernelTable, WriteResult } from './kernel-table.ts';
import type { LinkEntryTable } from './link-entry-table.ts';

/** Writes in one batch: some milliseconds of work, after which notifications and the feed get their turn. */
const BATCH = 2_048;

export interface StepResult {
  readonly kind: WriteKind;
  readonly op: 'put' | 'delete';
  readonly written: number;
  /** By `FibKey`, id of the nexthop object, or key of the rule, neighbour or address. */
  readonly refused: readonly { readonly key: string | number; readonly failure: KernelFailure }[];
  /** Hop objects that the kernel took, or refused. */
  readonly hops: readonly { readonly id: number; readonly refused: boolean }[];
}

/** Writes the next batch; `undefined` where nothing can be done now. Throws `KernelError`. */
export async function applyStep(
  kernel: Kernel,
  mirror: KernelMirror,
  mayDelete: boolean,
): Promise<StepResult | undefined> {
  const { routes } = mirror;
  const nexthops = mirror.nexthops.table;
  const isHop = (nexthop: Nexthop): boolean => nexthop.group === undefined;

  const hops = nexthops.updates(BATCH, isHop);
  if (hops.length > 0) return nexthopResult('put', await nexthops.write(kernel, hops), true);

  const { dataplane } = nexthops.tracker;
  const hasMembers = ({ group = [] }: Nexthop): boolean => group.every(({ id }) => dataplane.has(id));
  const groups = nexthops.updates(BATCH, (nexthop) => !isHop(nexthop) && hasMembers(nexthop));
  if (groups.length > 0) return nexthopResult('put', await nexthops.write(kernel, groups), false);

  const filled =
    (await putEntries(kernel, 'address', mirror.addresses)) ??
    (await putEntries(kernel, 'neighbour', mirror.neighbours));
  if (filled !== undefined) return filled;

  const wanted = routes.table.updates(
    BATCH,
    ({ nexthopId }, key) => (nexthopId === undefined || dataplane.has(nexthopId)) && !routes.isBlocked(key),
  );
  if (wanted.length > 0) return resultOf('route', 'put', await routes.write(kernel, wanted));

  const rules = mirror.rules.table;
  const added = rules.updates(BATCH, () => true);
  if (added.length > 0) return resultOf('rule', 'put', await rules.write(kernel, added));

  if (!mayDelete) return undefined;
  const removed = rules.deletions(BATCH, () => true);
  if (removed.length > 0) return resultOf('rule', 'delete', await rules.write(kernel, removed));

  const unwanted = routes.table.deletions(BATCH, () => true);
  if (unwanted.length > 0) return resultOf('route', 'delete', await routes.write(kernel, unwanted));

  const emptied =
    (await deleteEntries(kernel, 'neighbour', mirror.neighbours)) ??
    (await deleteEntries(kernel, 'address', mirror.addresses));
  if (emptied !== undefined) return emptied;

  const unused = unusedNexthops(mirror, nexthops);
  if (unused.length > 0) return nexthopResult('delete', await nexthops.write(kernel, unused), false);
  return undefined;
}

/** Nexthop objects to delete now: groups before hops, and none that something in the kernel still uses. */
function unusedNexthops(mirror: KernelMirror, nexthops: KernelTable<number, Nexthop>): TrackedEntry<number, Nexthop>[] {
  if (nexthops.tracker.pendingDeletions.size === 0) return [];
  const used = mirror.routes.nexthopsInUse();
  const groups = nexthops.deletions(BATCH, ({ id, group }) => group !== undefined && !used.has(id));
  if (groups.length > 0) return groups;
  const members = mirror.nexthops.membersInUse();
  return nexthops.deletions(BATCH, ({ id, group }) => group === undefined && !used.has(id) && !members.has(id));
}

function nexthopResult(op: 'put' | 'delete', result: WriteResult<number>, areHops: boolean): StepResult {
  const { written, refused } = result;
  const hops = areHops
    ? [...written.map((id) => ({ id, refused: false })), ...refused.map(({ key }) => ({ id: key, refused: true }))]
    : [];
  return { kind: 'nexthop', op, written: written.length, refused, hops };
}

async function putEntries<V extends LinkEntry>(
  kernel: Kernel,
  kind: WriteKind,
  entries: LinkEntryTable<V>,
): Promise<StepResult | undefined> {
  const wanted = entries.table.updates(BATCH, (value, key) => entries.isWritable(value, key));
  return wanted.length === 0 ? undefined : resultOf(kind, 'put', await entries.table.write(kernel, wanted));
}

async function deleteEntries<V extends LinkEntry>(
  kernel: Kernel,
  kind: WriteKind,
  { table }: LinkEntryTable<V>,
): Promise<StepResult | undefined> {
  const unwanted = table.deletions(BATCH, () => true);
  return unwanted.length === 0 ? undefined : resultOf(kind, 'delete', await table.write(kernel, unwanted));
}

function resultOf(kind: WriteKind, op: 'put' | 'delete', { written, refused }: WriteResult<string>): StepResult {
  return { kind, op, written: written.length, refused, hops: [] };
}
