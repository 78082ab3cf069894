// Listings over a scripted socket: what is done about interrupted, refused, broken and partly unreadable ones.
// Listings of a real kernel are in test/contract.

import { beforeEach, describe, expect, test, vi } from 'vitest';
import { errnoNumber } from '../../../../lib/kernel/errno.ts';
import { KernelError } from '../../../../lib/kernel/kernel.ts';
import { KernelListings } from '../../../../lib/kernel/kernel-listings.ts';
import type { DumpEnd, MessageVisitor } from '../../../../lib/kernel/netlink-socket.ts';
import { createLogger } from '../../../../lib/run/log.ts';
import { decodeMessage } from '../../../../lib/wire/netlink.ts';
import { isNetlinkError, viewOf } from '../../../../lib/wire/netlink-attributes.ts';
import { netlinkWriter } from '../../../../lib/wire/netlink-writer.ts';
import { hexVector } from '../../../hex-vector.ts';

/** One listing: the messages of each part, then how it ends; or an error in the place of a part. */
type Script = readonly (readonly string[] | DumpEnd | Error)[];

const DONE: DumpEnd = { ack: { errno: 0 }, interrupted: false };
const INTERRUPTED: DumpEnd = { ack: { errno: 0 }, interrupted: true };
const ROUTE = 'rtnetlink-route-onlink';
const ANOTHER = 'rtnetlink-route-multipath';
const MALFORMED = 'rtnetlink-route-onlink-bad-attribute-length';

const world = vi.hoisted(() => ({ scripts: [] as unknown[], opened: 0, closed: 0 }));

vi.mock('../../../../lib/kernel/netlink-socket.ts', () => ({
  NetlinkSocket: class {
    readonly writer = netlinkWriter(new Uint8Array(1024));
    #script: (readonly string[] | DumpEnd | Error)[] = [];

    constructor() {
      world.opened++;
    }

    reset(): number {
      return 1;
    }

    startDump(): void {
      const script = world.scripts.shift() as Script | undefined;
      if (script === undefined) throw new Error('one listing too many');
      this.#script = [...script];
    }

    dumpPart(visit: MessageVisitor): DumpEnd | undefined {
      const part = this.#script.shift();
      if (part instanceof Error) throw part;
      if (part === undefined || !Array.isArray(part)) return part as DumpEnd | undefined;
      for (const name of part as readonly string[]) {
        const bytes = hexVector(name);
        const message = decodeMessage(viewOf(bytes), 0, bytes.length);
        if (!isNetlinkError(message)) visit(bytes, message);
      }
      return undefined;
    }

    close(): void {
      world.closed++;
    }
  },
}));

beforeEach(() => {
  world.scripts = [];
  world.opened = 0;
  world.closed = 0;
});

function play(...scripts: Script[]): void {
  world.scripts = scripts;
}

function refused(name: Parameters<typeof errnoNumber>[0], message?: string): DumpEnd {
  return { ack: { errno: errnoNumber(name), ...(message !== undefined && { message }) }, interrupted: false };
}

describe('a listing', () => {
  test('is all parts together', async () => {
    play([[ROUTE], [ANOTHER], DONE]);
    const found = await new KernelListings(undefined).list('route', { family: 4 });
    expect(found).toMatchObject([{ prefix: '10.5.2.0/24' }, { prefix: '10.5.3.0/24' }]);
  });

  test('of both families is two listings', async () => {
    play([[ROUTE], DONE], [['rtnetlink-route-ipv6-multipath'], DONE]);
    expect(await new KernelListings(undefined).list('route', {})).toHaveLength(2);
  });

  test('that was interrupted is done again, and nothing of it is kept', async () => {
    play([[ROUTE], [ANOTHER], INTERRUPTED], [[ROUTE], DONE]);
    expect(await new KernelListings(undefined).list('route', { family: 4 })).toHaveLength(1);
    expect(world).toMatchObject({ scripts: [], opened: 1 });
  });

  test('that is interrupted again and again is given up with an error of its own', async () => {
    play(...Array.from({ length: 6 }, (): Script => [[ROUTE], INTERRUPTED]));
    const outcome = new KernelListings(undefined).list('route', { family: 4 });
    await expect(outcome).rejects.toMatchObject({ name: 'KernelError', code: 'dump-interrupted' });
    expect(world.scripts).toEqual([]);
  });

  test.each(['ENODEV', 'ENOENT'] as const)('narrowed to what does not exist (%s) is empty', async (name) => {
    play([refused(name)]);
    expect(await new KernelListings(undefined).list('route', { family: 4, table: 9 })).toEqual([]);
  });

  test('that the kernel does not know is unsupported, in its words', async () => {
    play([refused('EOPNOTSUPP', 'no such thing')]);
    const outcome = new KernelListings(undefined).list('nexthop', {});
    await expect(outcome).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('no such thing'),
    });
  });

  test('without permission says what is missing', async () => {
    play([refused('EPERM')]);
    const outcome = new KernelListings(undefined).list('link', {});
    await expect(outcome).rejects.toMatchObject({ code: 'permission', message: expect.stringContaining('NET_ADMIN') });
  });

  test('leaves out what it cannot read, and logs that once', async () => {
    const log = createLogger('test', 'error');
    const warn = vi.spyOn(log, 'warn').mockReturnValue(undefined);
    play([[MALFORMED, ROUTE], [MALFORMED], DONE]);
    expect(await new KernelListings(log).list('route', { family: 4 })).toHaveLength(1);
    expect(warn).toHaveBeenCalledExactlyOnceWith(
      { kind: 'route', count: 2, error: 'bad-length', field: 'attribute 5' },
      expect.any(String),
    );
  });
});

describe('the socket', () => {
  test('that failed is closed, and the next listing has another', async () => {
    const listings = new KernelListings(undefined);
    play([[ROUTE], new KernelError('socket', 'overrun')], [[ROUTE], DONE]);
    await expect(listings.list('route', { family: 4 })).rejects.toThrow('overrun');
    expect(world).toMatchObject({ opened: 1, closed: 1 });
    expect(await listings.list('route', { family: 4 })).toHaveLength(1);
    expect(world).toMatchObject({ opened: 2, closed: 1 });
  });

  test('has one listing at a time, in the order asked', async () => {
    const listings = new KernelListings(undefined);
    play([[ROUTE], DONE], [new KernelError('socket', 'broken')], [[ANOTHER], DONE]);
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => listings.list('route', { family: 4 })));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  test('is closed at the end, and no listing starts after that', async () => {
    const listings = new KernelListings(undefined);
    play([[ROUTE], DONE]);
    await listings.list('route', { family: 4 });
    await listings.close();
    expect(world.closed).toBe(1);
    await expect(listings.list('route', { family: 4 })).rejects.toThrow('closed');
  });
});
