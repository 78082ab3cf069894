// The word for each way in which there is no session: every NOTIFICATION has one, and the texts are those that Node.js and
// OpenSSL give.

import { expect, it } from 'vitest';
import { DOWN_KINDS, downReason } from '../../../../bgpd/session/down-reason.ts';
import { NOTIFICATION, notification } from '../../../../bgpd/session/notification.ts';

it.each([
  ['connect ECONNREFUSED 192.0.2.2:1790', 'refused'],
  ['connect ENETUNREACH 192.0.2.3:1790 - Local (0.0.0.0:0)', 'unreachable'],
  ['connect EHOSTUNREACH 192.0.2.3:1790', 'unreachable'],
  ['connect ETIMEDOUT 192.0.2.3:1790', 'timeout'],
  ['dialling took too long', 'timeout'],
  ['the certificate is for node9, not for node2', 'certificate'],
  ['unable to verify the first certificate', 'certificate'],
  ["the own certificate cannot be used: ENOENT: no such file or directory, open 'x'", 'certificate'],
  ['80EC08EE9F7F0000:error:0A00010B:SSL routines:ssl3_get_record:wrong version number', 'tls-mismatch'],
  ['self-signed certificate in certificate chain', 'certificate'],
  ['0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca', 'certificate'],
  ['the peer ended the connection', 'connection-lost'],
  ['the connection broke', 'connection-lost'],
  ['read ECONNRESET', 'connection-lost'],
])('%s: %s', (reason, kind) => {
  expect(downReason({ reason })).toEqual({ kind, text: reason });
});

it.each([
  ['holdTimerExpired', 'hold-expired'],
  ['bfdDown', 'bfd-down'],
  ['prefixLimitReached', 'prefix-limit'],
  ['administrativeShutdown', 'admin-down'],
  ['administrativeReset', 'admin-reset'],
  ['connectionRejected', 'rejected'],
  ['badPeerAs', 'incompatible'],
  ['unsupportedCapability', 'incompatible'],
  ['malformedAttributeList', 'protocol-error'],
  ['hardReset', 'link-down'],
] as const)('NOTIFICATION %s: %s', (name, kind) => {
  const sent = notification(name, 'new disks');
  const { code, subcode } = NOTIFICATION[name];
  const ending = { reason: 'words', notification: sent, by: 'peer' } as const;
  expect(downReason(ending)).toEqual({ kind, by: 'peer', code, subcode, text: 'new disks' });
});

it('every NOTIFICATION has a word of the vocabulary, and so have codes that nobody knows', () => {
  const all = [...Object.values(NOTIFICATION), { code: 99, subcode: 99 }];
  for (const codes of all) {
    expect(DOWN_KINDS).toContain(downReason({ reason: '', notification: { ...codes, text: '' } }).kind);
  }
});
