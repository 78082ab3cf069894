// Messages to protobuf and back, and the verdict on every hostile one (hostile-messages.ts).
// Bytes go through the real protobuf encoder and decoder.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { localAttributes } from '../../../../bgpd/rib/attributes.ts';
import { decodeFrame, decodeMessage, encodeFrames, encodeMessage } from '../../../../bgpd/session/exchange-codec.ts';
import type { Message } from '../../../../bgpd/session/message.ts';
import { cutText, NOTIFICATION, notification, notificationText } from '../../../../bgpd/session/notification.ts';
import { address } from '../../../../lib/net/address.ts';
import { prefix } from '../../../../lib/net/prefix.ts';
import { MessageSchema, SessionRequestSchema } from '../../../../proto/gen/gingham/exchange/v1/exchange_pb.ts';
import { HOSTILE_MESSAGES, HOSTILE_UPDATES } from './hostile-messages.ts';

const ROUND_TRIPS: readonly Message[] = [
  { type: 'keepalive' },
  { type: 'end-of-rib', family: 6 },
  { type: 'route-refresh', family: 4, kind: 'request' },
  { type: 'notification', notification: notification('administrativeShutdown', 'back in 5 minutes') },
  {
    type: 'open',
    open: {
      version: 1,
      asn: 0xffff_fffe,
      holdTimeSeconds: 65_535,
      routerId: address('10.0.0.1'),
      node: 'node1.example',
      capabilities: {
        families: [4, 6],
        routeRefresh: true,
        enhancedRefresh: true,
        gracefulRestart: {
          restarted: true,
          restartTimeSeconds: 4_095,
          families: [6, 4],
          preserved: [6],
          notification: true,
        },
        longLived: [
          { family: 6, preserved: true, staleSeconds: 0xff_ffff },
          { family: 4, preserved: false, staleSeconds: 0 },
        ],
      },
    },
  },
  {
    type: 'update',
    update: {
      family: 4,
      withdrawn: [prefix('10.5.1.0/24'), prefix('0.0.0.0/0')],
      announced: [prefix('10.5.2.0/23'), prefix('10.5.4.1/32')],
      attributes: localAttributes(address('10.0.0.1')),
      cause: { id: 'flanneld-1-2', kind: 'lease-added', detectedUnixUs: 1_700_000_000_000_001n, decidedUnixUs: 0n },
    },
  },
  {
    type: 'update',
    update: {
      family: 6,
      withdrawn: [],
      announced: [prefix('fd00:5::/64'), prefix('::/0')],
      attributes: {
        origin: 'incomplete',
        asPath: [65_001, 65_002],
        nextHop: address('fd00::1'),
        localPref: 0,
        med: 0,
        originatorId: address('10.0.0.9'),
        clusterList: [address('10.0.0.8'), address('0.0.0.0')],
        communities: [1, 0xffff_ff01],
        largeCommunities: ['64512:1:2', '64512:1:4294967295'],
        weight: 256,
      },
    },
  },
];

test.each(ROUND_TRIPS)('$type survives the wire', (message) => {
  expect(decodeMessage(overTheWire(encodeMessage(message)))).toEqual({ message });
});

test('many messages make few frames, and come out in their order', () => {
  const messages = Array.from({ length: 3_000 }, (_, i) => ROUND_TRIPS[i % ROUND_TRIPS.length] as Message);
  const frames = encodeFrames(messages);
  expect(frames.length).toBeGreaterThan(1);
  expect(frames.length).toBeLessThan(20);
  const decoded = frames.flatMap((frame) => decodeFrame(fromBinary(SessionRequestSchema, frame).messages));
  expect(decoded).toEqual(messages.map((message) => ({ message })));
  expect(encodeFrames([])).toEqual([]);
});

describe('hostile input', () => {
  test.each([...HOSTILE_UPDATES, ...HOSTILE_MESSAGES])('$name', ({ message, verdict }) => {
    const decoded = decodeMessage(overTheWire(create(MessageSchema, message)));
    if (verdict === 'ok') {
      expect(decoded).toHaveProperty('message');
      expect(decoded).not.toHaveProperty('flaw');
    } else if (verdict === 'withdraw') {
      expect(decoded).toMatchObject({
        flaw: expect.any(String),
        message: { update: { withdrawn: ['10.5.9.0/24'], announced: [] } },
      });
    } else {
      expect(decoded).toMatchObject({ reset: verdict });
    }
  });

  test.each([0, 1_025])('a frame of %i messages', (count) => {
    const messages = new Array<ReturnType<typeof encodeMessage>>(count).fill(encodeMessage({ type: 'keepalive' }));
    expect(decodeFrame(messages)).toMatchObject([{ reset: NOTIFICATION.badMessageLength }]);
  });

  test('a cause that is not credible is left out, the update stays', () => {
    const announced = Uint8Array.of(24, 10, 5, 9);
    const cause = { id: 'x'.repeat(201), kind: 'y', detectedUnixUs: 1n };
    const message = create(MessageSchema, {
      body: { case: 'update', value: { family: 1, withdrawn: announced, cause } },
    });
    expect(decodeMessage(message)).toEqual({
      message: { type: 'update', update: { family: 4, withdrawn: ['10.5.9.0/24'], announced: [] } },
    });
  });

  test('any bytes: decoded, refused by protobuf, or answered with a reset; never anything else', () => {
    let seed = 1;
    const random = (): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return seed / 2 ** 32;
    };
    const good = ROUND_TRIPS.map((message) => toBinary(MessageSchema, encodeMessage(message)));
    for (let i = 0; i < 5_000; i++) {
      const bytes = Uint8Array.from(good[i % good.length] as Uint8Array);
      for (let flips = 1 + random() * 4; flips > 0; flips--)
        bytes[Math.floor(random() * bytes.length)] = random() * 256;
      let message: ReturnType<typeof overTheWire> | undefined;
      try {
        message = fromBinary(MessageSchema, bytes);
      } catch {
        continue;
      }
      expect(Object.keys(decodeMessage(message))).toContain('message' in decodeMessage(message) ? 'message' : 'reset');
    }
  });
});

describe('notification texts', () => {
  test.each([
    [notification('administrativeShutdown', 'upgrade'), 'Cease, administrative shutdown: upgrade'],
    [notification('holdTimerExpired'), 'hold timer expired'],
    [{ code: 6, subcode: 99, text: '' }, 'Cease (6/99)'],
    [{ code: 42, subcode: 1, text: '' }, 'code (42/1)'],
  ])('%j', (value, text) => {
    expect(notificationText(value)).toBe(text);
  });

  test('are cut to 255 bytes, never inside a character', () => {
    expect(cutText('short')).toBe('short');
    expect(cutText('a'.repeat(300))).toHaveLength(255);
    expect(cutText('é'.repeat(200))).toBe('é'.repeat(127));
    expect(cutText('😀'.repeat(100))).toBe('😀'.repeat(63));
  });
});

function overTheWire(message: ReturnType<typeof encodeMessage>): ReturnType<typeof encodeMessage> {
  return fromBinary(MessageSchema, toBinary(MessageSchema, message));
}
