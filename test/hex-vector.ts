// Reads the golden bytes of test/vectors/*.hex: pairs of hex digits, everything after a `#` is a comment.
// A file that holds anything else fails the test that reads it.

import { readFileSync } from 'node:fs';

/** The bytes of test/vectors/<name>.hex, in a fresh array. */
export function hexVector(name: string): Uint8Array {
  const text = readFileSync(new URL(`vectors/${name}.hex`, import.meta.url), 'utf8');
  return hex(text.replaceAll(/#.*$/gm, ''));
}

/** The bytes of text made of pairs of hex digits and white space. */
export function hex(text: string): Uint8Array {
  const digits = text.replaceAll(/\s+/g, '');
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error('not pairs of hex digits');
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
