// Where the GoBGP API listens, as `--gobgp-address` gives it. Only the text and its meaning; server.ts listens.
//
// No unix socket: the `gobgp` command names such a socket's path as the authority of its calls, which Node's HTTP/2 refuses.

import { type Address, familyOf, parseAddress } from '../../lib/net/address.ts';

export const API_ADDRESS_ACCEPTS = 'an address with its port (127.0.0.1:50051, [::1]:50051), or nothing for off';

export interface ApiAddress {
  readonly host: Address;
  /** 0 for any free one. */
  readonly port: number;
}

/** `null` for the empty text, which turns it off; `undefined` for what is not accepted. */
export function parseApiAddress(text: string): ApiAddress | null | undefined {
  if (text === '') return null;
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = parseAddress(bracketed ?? plain ?? '');
  const port = Number(digits);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

/** As it is typed. */
export function apiAddressText({ host, port }: ApiAddress): string {
  return familyOf(host) === 4 ? `${host}:${port}` : `[${host}]:${port}`;
}

/** Whether only this machine (this network namespace) can reach it. */
export function isLocalOnly({ host }: ApiAddress): boolean {
  return host.startsWith('127.') || host === '::1';
}
