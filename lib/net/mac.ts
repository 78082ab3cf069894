// IEEE 802 MAC addresses as values: a branded string of six lower-case hex pairs joined by colons.
//
// Never throws except where a doc comment says so.

/** `0e:1f:00:aa:bb:cc`. */
export type Mac = string & { readonly __brand: 'Mac' };

/** Reads six hex pairs joined by `:` or `-`; `undefined` otherwise. */
export function parseMac(text: string): Mac | undefined {
  if (!/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(text)) return undefined;
  return text.toLowerCase().replaceAll('-', ':') as Mac;
}

/** As `parseMac`, for text that the program itself wrote. Throws `TypeError` where it is none. */
export function mac(text: string): Mac {
  const parsed = parseMac(text);
  if (parsed === undefined) throw new TypeError(`not a MAC address: ${JSON.stringify(text)}`);
  return parsed;
}

/** The six bytes, first transmitted first, in a fresh array. */
export function macBytes(value: Mac): Uint8Array {
  return Uint8Array.from(value.split(':'), (pair) => Number.parseInt(pair, 16));
}

/** The MAC address in these bytes; `undefined` unless there are six. */
export function macFromBytes(bytes: Uint8Array): Mac | undefined {
  if (bytes.length !== 6) return undefined;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':') as Mac;
}

/** A unicast, locally administered address made of six bytes of any kind (IEEE 802 section 8.4: U/L bit set, I/G bit clear). */
export function localMac(seed: Uint8Array): Mac {
  const bytes = Uint8Array.from(seed.subarray(0, 6));
  bytes[0] = ((bytes[0] ?? 0) & 0xfe) | 0x02;
  return macFromBytes(bytes) as Mac;
}
