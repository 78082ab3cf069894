// The book of peers: one lease at a time must end where judging all of them at once ends, whatever the order.
// The slow model looks at every lease afresh, in key order.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PeerBook } from '../../../../flanneld/backend/peer-book.ts';
import { checkPeer, type PeerRules } from '../../../../flanneld/backend/peer-check.ts';
import type { Lease } from '../../../../flanneld/lease/lease.ts';
import { address } from '../../../../lib/net/address.ts';
import { mac } from '../../../../lib/net/mac.ts';
import { leaseOf, makeFixture } from './backend-fixture.ts';

const { underlay } = makeFixture();
const RULES: PeerRules = { own: leaseOf(1), underlay, backendType: 'vxlan', vni: 1 };

/** Node 2 to 6, at one of three addresses, with one of three MAC addresses. */
const lease = fc
  .record({
    node: fc.integer({ min: 1, max: 6 }),
    at: fc.integer({ min: 1, max: 3 }),
    vtep: fc.integer({ min: 1, max: 3 }),
  })
  .map(({ node, at, vtep }) =>
    leaseOf(node, { publicIp: address(`192.0.2.${at}`), vtep: { vni: 1, mac: mac(`02:00:00:00:00:0${vtep}`) } }),
  );
const change = fc.oneof(
  lease.map((put) => ({ put })),
  fc.integer({ min: 1, max: 6 }).map((node) => ({ removed: leaseOf(node).key })),
);

describe('PeerBook', () => {
  test('changes one by one, in any order, end where all at once do', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
        const book = new PeerBook(RULES);
        const all = new Map<string, Lease>();
        const told = new Map<string, boolean>();
        for (const step of changes) {
          const said = 'put' in step ? book.change([step.put], []) : book.change([], [step.removed]);
          if ('put' in step) all.set(step.put.key, step.put);
          else all.delete(step.removed);
          for (const key of said.gone) told.delete(key);
          for (const peer of said.good) told.set(peer.lease.key, true);
          for (const peer of said.refused) told.set(peer.lease.key, false);
        }
        const wanted = judgeAll([...all.values()]);
        expect(new Map([...book.good.keys()].map((key) => [key, true]))).toEqual(
          new Map([...wanted].filter(([, good]) => good)),
        );
        // Whoever follows what was told knows the same.
        expect(told).toEqual(wanted);
      }),
      { numRuns: 300 },
    );
  });

  test('one change among thousands touches one', () => {
    const book = new PeerBook(RULES);
    const many = Array.from({ length: 2_000 }, (_, i) =>
      leaseOf(2, {
        key: `/net/subnets/${i}`,
        publicIp: address(`198.51.${i >> 8}.${i & 0xff}`),
        vtep: { vni: 1, mac: mac(`02:00:00:01:${hex(i >> 8)}:${hex(i & 0xff)}`) },
      }),
    );
    book.change(many, []);
    const moved = { ...(many[7] as Lease), publicIp: address('203.0.113.7') };
    expect(book.change([moved], [])).toEqual({
      good: [expect.objectContaining({ endpoint: '203.0.113.7' })],
      refused: [],
      gone: [],
    });
  });
});

function judgeAll(leases: readonly Lease[]): Map<string, boolean> {
  const winners = new Map<string, string>();
  const verdicts = new Map<string, boolean>();
  for (const one of [...leases].sort((a, b) => (a.key < b.key ? -1 : 1))) {
    const peer = checkPeer(one, RULES);
    const good = typeof peer !== 'string' && (winners.get(peer.mac ?? '') ?? peer.endpoint) === peer.endpoint;
    if (typeof peer !== 'string' && !winners.has(peer.mac ?? '')) winners.set(peer.mac ?? '', peer.endpoint);
    verdicts.set(one.key, good);
  }
  return verdicts;
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
