// Reading single fields of a JSON object: absent is `undefined`, wrong is a `CniError` (7) with field, value and what is
// accepted. By hand: loading a schema library would take as long as all that the plugin does.

import { type Address, parseAddress } from '../lib/net/address.ts';
import { type Mac, parseMac } from '../lib/net/mac.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** Throws `CniError` (7): `field: value is not accepted: it takes ...`. */
export function refuseField(field: string, value: unknown, accepts: string): never {
  const text = `${field}: ${JSON.stringify(value)} is not accepted: it takes ${accepts}`;
  throw new CniError(CNI_ERROR.invalidConfig, text);
}

export function readText(fields: Fields, key: string, pattern: RegExp, accepts: string): string | undefined {
  const value = fields[key];
  if (value === undefined) return undefined;
  return typeof value === 'string' && pattern.test(value) ? value : refuseField(key, value, accepts || 'a text');
}

export function readPath(fields: Fields, key: string): string | undefined {
  return readText(fields, key, /^\/[^\0]*$/, 'an absolute path');
}

export function readBoolean(fields: Fields, key: string): boolean | undefined {
  const value = fields[key];
  return value === undefined || typeof value === 'boolean' ? value : refuseField(key, value, 'true or false');
}

/** A whole number from `min` to `max`; 0 is read as absent where it is less than `min`, as the CNI project's plugins do. */
export function readInteger(
  fields: Fields,
  key: string,
  min: number,
  max: number,
  where: string = key,
): number | undefined {
  const value = fields[key];
  if (value === undefined || (value === 0 && min > 0)) return undefined;
  const fits = typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
  return fits ? value : refuseField(where, value, `a whole number from ${min} to ${max}`);
}

/** Null reads as absent: Go writes it for an empty map or list. */
export function readObject(fields: Fields, key: string, where: string = key): Fields | undefined {
  const value = fields[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'object' && !Array.isArray(value)) return value as Fields;
  return refuseField(where, value, 'an object');
}

export function readList(fields: Fields, key: string, where: string = key): readonly unknown[] | undefined {
  const value = fields[key];
  if (value === undefined || value === null) return undefined;
  return Array.isArray(value) ? (value as readonly unknown[]) : refuseField(where, value, 'a list');
}

/** An address with or without a prefix length, which is left out: it is the subnet's. */
export function readAddressOf(value: unknown, where: string): Address {
  const address = typeof value === 'string' ? parseAddress(value.split('/', 1)[0] ?? '') : undefined;
  return address ?? refuseField(where, value, 'IP addresses');
}

export function readMacOf(value: unknown, where: string): Mac | undefined {
  if (value === undefined || value === '') return undefined;
  const mac = typeof value === 'string' ? parseMac(value) : undefined;
  if (mac === undefined || (Number.parseInt(mac.slice(1, 2), 16) & 1) === 1) {
    refuseField(where, value, 'a unicast MAC address of six hex pairs');
  }
  return mac;
}
