// What `--gobgp-address` takes, and which of it only this machine can reach.
// The setting's place in --help and the variable are those of every other one.

import { expect, it } from 'vitest';
import { readConfig } from '../../../../bgpd/config.ts';
import { apiAddressText, isLocalOnly, parseApiAddress } from '../../../../bgpd/gobgp/api-address.ts';

it.each([
  ['127.0.0.1:50051', true],
  ['127.8.0.1:1', true],
  ['[::1]:50051', true],
  ['0.0.0.0:50051', false],
  ['[2001:db8::1]:50051', false],
])('%s', (text, local) => {
  const parsed = parseApiAddress(text);
  expect(parsed && apiAddressText(parsed)).toBe(text);
  expect(parsed && isLocalOnly(parsed)).toBe(local);
});

it.each(['50051', '127.0.0.1', '127.0.0.1:65536', 'localhost:50051', '::1:50051', 'unix:/run/gobgp.sock'])(
  'refused: %s',
  (text) => {
    expect(parseApiAddress(text)).toBeUndefined();
    expect(() => readConfig([`--gobgp-address=${text}`], {})).toThrow(/--gobgp-address .*127\.0\.0\.1:50051/);
  },
);

it('the default is the loopback; empty is off', () => {
  expect(readConfig([], {}).gobgpAddress).toEqual({ host: '127.0.0.1', port: 50_051 });
  expect(readConfig([], { BGPD_GOBGP_ADDRESS: '' }).gobgpAddress).toBeUndefined();
});
