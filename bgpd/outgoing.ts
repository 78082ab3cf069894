// What a peer is sent next: messages that are due to it before any routes, then routes, a bounded batch at a time, with
// the marks that end an initial update or a refresh. It sends nothing: the peer pulls.

import type { PeerMemory } from './peer-memory.ts';
import type { Rib } from './rib/rib.ts';
import type { PeerOwner } from './session/peer.ts';

/** Prefixes in one UPDATE: at most 70 kB, packed in a few milliseconds. */
export const UPDATE_PREFIXES_MAX = 4_096;

/** Messages given to a peer in one turn, where every prefix has attributes of its own. */
const PULL_MESSAGES_MAX = 1_024;

/** The next messages for a peer. END-OF-RIB waits until what this node announces is complete (RFC 4724 section 4.1). */
export function nextMessages(
  rib: Rib,
  name: string,
  memory: PeerMemory,
  isComplete: boolean,
): ReturnType<PeerOwner['pull']> {
  const messages = memory.first.splice(0);
  let prefixes = 0;
  let next = rib.nextUpdates(name, UPDATE_PREFIXES_MAX);
  const hadNothing = next === undefined;
  for (; next !== undefined; next = rib.nextUpdates(name, UPDATE_PREFIXES_MAX - prefixes)) {
    for (const update of next.updates) {
      prefixes += update.announced.length + update.withdrawn.length;
      messages.push({ type: 'update', update });
    }
    for (const family of next.endOfRib) {
      if (memory.refreshing.delete(family)) messages.push({ type: 'route-refresh', family, kind: 'end' });
      else memory.endOfRibDue.add(family);
    }
    if (prefixes >= UPDATE_PREFIXES_MAX || messages.length >= PULL_MESSAGES_MAX) break;
  }
  if (isComplete) {
    for (const family of memory.endOfRibDue) messages.push({ type: 'end-of-rib', family });
    memory.endOfRibDue.clear();
  }
  if (messages.length === 0 && hadNothing) return undefined;
  return { messages, more: rib.hasUpdates(name) };
}
