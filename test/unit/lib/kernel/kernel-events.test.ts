// Notifications over a scripted socket: how they reach the listeners, and what becomes of lost ones and of a socket that
// fails.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { KernelError, type KernelEvent } from '../../../../lib/kernel/kernel.ts';
import { KernelEvents } from '../../../../lib/kernel/kernel-events.ts';
import type { DecodedObject } from '../../../../lib/kernel/kernel-requests.ts';
import type { MessageVisitor } from '../../../../lib/kernel/netlink-socket.ts';
import { decodeMessage } from '../../../../lib/wire/netlink.ts';
import { isNetlinkError, viewOf } from '../../../../lib/wire/netlink-attributes.ts';
import { hexVector } from '../../../hex-vector.ts';

/** What the socket gives next: a notification by its vector, a loss (`lost`), an error. */
type Step = string | Error;

const world = vi.hoisted(() => ({
  steps: [] as unknown[],
  wake: undefined as (() => void) | undefined,
  joined: [] as number[],
  opened: 0,
  closed: 0,
  failToOpen: 0,
}));

vi.mock('../../../../lib/kernel/netlink-socket.ts', () => ({
  NetlinkSocket: class {
    readonly fd = 99;

    constructor() {
      if (world.failToOpen > 0) {
        world.failToOpen--;
        throw new KernelError('socket', 'no more descriptors');
      }
      world.opened++;
    }

    join(group: number): boolean {
      world.joined.push(group);
      return true;
    }

    notifications(visit: MessageVisitor): 'some' | 'none' | 'lost' {
      const step = world.steps.shift() as Step | undefined;
      if (step === undefined) return 'none';
      if (step instanceof Error) throw step;
      if (step === 'lost') return 'lost';
      const bytes = hexVector(step);
      const message = decodeMessage(viewOf(bytes), 0, bytes.length);
      if (!isNetlinkError(message)) visit(bytes, message);
      return 'some';
    }

    close(): void {
      world.closed++;
    }
  },
}));

vi.mock('../../../../lib/kernel/syscalls.ts', () => ({
  watchReadable(_fd: number, callback: () => void): () => void {
    world.wake = callback;
    return () => {
      world.wake = undefined;
    };
  },
}));

const errors: unknown[] = [];
let events: KernelEvents;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  Object.assign(world, { steps: [], wake: undefined, joined: [], opened: 0, closed: 0, failToOpen: 0 });
  errors.length = 0;
  events = new KernelEvents(toEvent, (error) => errors.push(error));
});

afterEach(() => {
  events.close();
  vi.useRealTimers();
});

function toEvent(decoded: DecodedObject): KernelEvent {
  return { type: decoded.gone ? 'delete' : 'put', kind: decoded.kind, object: decoded.object } as KernelEvent;
}

function listen(...kinds: Parameters<KernelEvents['subscribe']>[0]): { heard: string[]; end: () => void } {
  const heard: string[] = [];
  const end = events.subscribe(kinds, (event) =>
    heard.push(event.type === 'resync' ? 'resync' : `${event.type} ${event.kind}`),
  );
  return { heard, end };
}

function notify(...steps: Step[]): void {
  world.steps = steps;
  // As long as there is something to read, the event loop comes again.
  do world.wake?.();
  while (world.steps.length > 0 && world.wake !== undefined);
}

describe('listeners', () => {
  test('hear of the kinds that they asked for', () => {
    const routes = listen('route');
    const others = listen('neighbour', 'fdb', 'link');
    notify('rtnetlink-route-onlink', 'rtnetlink-neighbour', 'rtnetlink-link-vxlan', 'rtnetlink-fdb');
    expect(routes.heard).toEqual(['put route']);
    expect(others.heard).toEqual(['put neighbour', 'put link', 'put fdb']);
    expect(world).toMatchObject({ opened: 1 });
    expect(new Set(world.joined)).toEqual(new Set([1, 3, 7, 11]));
  });

  test('hear nothing after they ended it; with the last of them the socket goes', () => {
    const first = listen('route');
    const second = listen('route');
    first.end();
    notify('rtnetlink-route-onlink');
    expect([first.heard, second.heard]).toEqual([[], ['put route']]);
    second.end();
    expect(world).toMatchObject({ closed: 1, wake: undefined });
    const third = listen('link');
    notify('rtnetlink-link-vxlan');
    expect(third.heard).toEqual(['put link']);
    expect(world.opened).toBe(2);
  });

  test('may end everything while they are told', () => {
    const heard: string[] = [];
    events.subscribe(['route'], () => {
      heard.push('one');
      events.close();
    });
    notify('rtnetlink-route-onlink', 'rtnetlink-route-multipath');
    expect(heard).toEqual(['one']);
  });
});

describe('what was lost', () => {
  test('is one resync for everybody, and what follows is told', () => {
    const routes = listen('route');
    const links = listen('link');
    notify('lost', 'rtnetlink-route-onlink');
    expect(routes.heard).toEqual(['resync', 'put route']);
    expect(links.heard).toEqual(['resync']);
  });

  test('includes what makes no sense', () => {
    const { heard } = listen('route');
    notify('rtnetlink-route-onlink-bad-attribute-length', 'rtnetlink-route-onlink');
    expect(heard).toEqual(['resync', 'put route']);
  });
});

describe('a socket that fails', () => {
  test('is opened again with the same groups, and a resync says so', () => {
    const { heard } = listen('route', 'link');
    world.joined = [];
    const failure = new KernelError('socket', 'EBADF');
    notify(failure);
    expect(errors).toEqual([failure]);
    expect(world).toMatchObject({ opened: 2, closed: 1, joined: [7, 11, 1] });
    notify('rtnetlink-route-onlink');
    expect(heard).toEqual(['resync', 'put route']);
  });

  test('is opened again later where it cannot be at once', () => {
    const { heard } = listen('route');
    world.failToOpen = 2;
    notify(new KernelError('socket', 'EBADF'));
    expect(heard).toEqual([]);
    expect(world.wake).toBeUndefined();
    vi.advanceTimersByTime(1000);
    expect(heard).toEqual([]);
    vi.advanceTimersByTime(1000);
    expect(heard).toEqual(['resync']);
    expect(errors).toHaveLength(3);
  });

  test('is opened at once for a new listener, and those from before are told that they missed something', () => {
    const before = listen('route');
    world.failToOpen = 1;
    notify(new KernelError('socket', 'EBADF'));
    const after = listen('link');
    expect([before.heard, after.heard]).toEqual([['resync'], []]);
    vi.advanceTimersByTime(10_000);
    expect(world.opened).toBe(2);
    notify('rtnetlink-route-onlink', 'rtnetlink-link-vxlan');
    expect([before.heard, after.heard]).toEqual([['resync', 'put route'], ['put link']]);
  });

  test('that cannot be had is an error of subscribe, and nobody is subscribed then', () => {
    world.failToOpen = 1;
    expect(() => listen('route')).toThrow('no more descriptors');
    const { heard } = listen('route');
    notify('rtnetlink-route-onlink');
    expect(heard).toEqual(['put route']);
  });

  test('is not opened again after the end', () => {
    listen('route');
    world.failToOpen = 1;
    notify(new KernelError('socket', 'EBADF'));
    events.close();
    vi.advanceTimersByTime(10_000);
    expect(world).toMatchObject({ opened: 1 });
  });

  test('is not what an exception of a listener means', () => {
    events.subscribe(['route'], () => {
      throw new RangeError('mine');
    });
    expect(() => notify('rtnetlink-route-onlink')).toThrow('mine');
    expect(errors).toEqual([]);
    expect(world.opened).toBe(1);
  });
});
