// Which id a nexthop object gets. Pure.
//
// Ids must survive a restart of felix, or a restart would write every route again. Two rules do that without a file:
// an object that is in the kernel already keeps its id (adoption, see desired-state.ts), and a new one gets an id that
// follows from its content, so that another run comes to the same one.
//
// The confusing thing: the id of a *group* follows from its first content only. Its members may then change in place, in
// one message for all the routes that point at it; its id stays.

/** A range of ids: `count` of them from `first` on. */
export interface IdRange {
  readonly first: number;
  readonly count: number;
}

/** The id for this content, or the next one after it that is free. */
export function idFor(text: string, range: IdRange, isTaken: (id: number) => boolean): number {
  const start = hash(text) % range.count;
  for (let step = 0; step < range.count; step++) {
    const id = range.first + ((start + step) % range.count);
    if (!isTaken(id)) return id;
  }
  throw new RangeError(`all ${range.count} nexthop ids from ${range.first} on are taken`);
}

/** FNV-1a, 32 bits, over UTF-16 units (draft-eastlake-fnv section 6); then mixed, because the low bits are what counts. */
function hash(text: string): number {
  let value = 0x811c_9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x0100_0193);
  value = Math.imul(value ^ (value >>> 15), 0x2c1b_3c6d);
  return (value ^ (value >>> 13)) >>> 0;
}
