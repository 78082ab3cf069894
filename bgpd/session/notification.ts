// NOTIFICATION codes (RFC 4271 sections 4.5 and 6, RFC 4486, RFC 6608, RFC 9003, RFC 9384, RFC 9687) and their names.
//
// The same pair says why a session ended, whoever sent it: `/status`, logs and metrics show these names.

/** Error codes and subcodes; subcode 0 is "unspecific". */
export const NOTIFICATION = {
  /** RFC 4271 section 6.1: a message that is none. */
  badMessageLength: { code: 1, subcode: 2 },
  badMessageType: { code: 1, subcode: 3 },
  unsupportedVersion: { code: 2, subcode: 1 },
  badPeerAs: { code: 2, subcode: 2 },
  badRouterId: { code: 2, subcode: 3 },
  unacceptableHoldTime: { code: 2, subcode: 6 },
  /** RFC 5492 section 5. */
  unsupportedCapability: { code: 2, subcode: 7 },
  malformedAttributeList: { code: 3, subcode: 1 },
  optionalAttributeError: { code: 3, subcode: 9 },
  invalidNetworkField: { code: 3, subcode: 10 },
  holdTimerExpired: { code: 4, subcode: 0 },
  unexpectedInOpenSent: { code: 5, subcode: 1 },
  unexpectedInOpenConfirm: { code: 5, subcode: 2 },
  unexpectedInEstablished: { code: 5, subcode: 3 },
  prefixLimitReached: { code: 6, subcode: 1 },
  administrativeShutdown: { code: 6, subcode: 2 },
  peerDeconfigured: { code: 6, subcode: 3 },
  administrativeReset: { code: 6, subcode: 4 },
  connectionRejected: { code: 6, subcode: 5 },
  otherConfigurationChange: { code: 6, subcode: 6 },
  connectionCollision: { code: 6, subcode: 7 },
  outOfResources: { code: 6, subcode: 8 },
  /** RFC 8538 section 3. */
  hardReset: { code: 6, subcode: 9 },
  /** RFC 9384. */
  bfdDown: { code: 6, subcode: 10 },
  /** RFC 9687. */
  sendHoldTimerExpired: { code: 8, subcode: 0 },
} as const;

/** Longest text, bytes of UTF-8 (RFC 9003 section 2). */
export const NOTIFICATION_TEXT_MAX_BYTES = 255;

export interface Notification {
  readonly code: number;
  readonly subcode: number;
  /** For people; empty where there is nothing to say. */
  readonly text: string;
}

/** Makes a notification; a text that is too long is cut. */
export function notification(kind: keyof typeof NOTIFICATION, text = ''): Notification {
  return { ...NOTIFICATION[kind], text: cutText(text) };
}

/** Whether it is of this kind, whatever its text. */
export function isNotification({ code, subcode }: Notification, kind: keyof typeof NOTIFICATION): boolean {
  return code === NOTIFICATION[kind].code && subcode === NOTIFICATION[kind].subcode;
}

/** Whether it ends a session for another reason than an error: code 6 (RFC 4486). */
export function isCease({ code }: Notification): boolean {
  return code === NOTIFICATION.peerDeconfigured.code;
}

/** The longest head of `text` that fits into a notification. */
export function cutText(text: string): string {
  const bytes = new TextEncoder().encodeInto(text, new Uint8Array(NOTIFICATION_TEXT_MAX_BYTES));
  return text.slice(0, bytes.read);
}

/** `Cease, administrative shutdown: stopping`; numbers where a code has no name here. */
export function notificationText({ code, subcode, text }: Notification): string {
  const name = NAMES[`${code}/${subcode}`] ?? `${CODE_NAMES[code] ?? 'code'} (${code}/${subcode})`;
  return text === '' ? name : `${name}: ${text}`;
}

const CODE_NAMES: Readonly<Record<number, string>> = {
  1: 'message header error',
  2: 'OPEN error',
  3: 'UPDATE error',
  4: 'hold timer expired',
  5: 'FSM error',
  6: 'Cease',
  7: 'ROUTE-REFRESH error',
  8: 'send hold timer expired',
};

const NAMES: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(NOTIFICATION).map(([kind, { code, subcode }]) => {
    const words = kind.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
    return [`${code}/${subcode}`, subcode === 0 ? (CODE_NAMES[code] ?? words) : `${CODE_NAMES[code]}, ${words}`];
  }),
);
