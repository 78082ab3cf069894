// Runs the gingham command on node1 of a lab, for tests: as text, and as JSON that is checked against its schema.
//
// It uses dist/, which `npm test` has built before.

import { join } from 'node:path';
import type { z } from 'zod';
import { lab, type Outcome } from './lab-command.ts';

/** The command's main file. */
export const CTL_MAIN = join(import.meta.dirname, '../../dist/ctl/main.js');

/** The hold time and some more: what is dead is known by then, and what is back. */
export const PATIENCE = { timeoutMs: 30_000, intervalMs: 100 };

/** The words that run `gingham` for a node of the lab `name`. */
export function ctlWords(name: string, node = 'node1'): readonly string[] {
  return [process.execPath, CTL_MAIN, '--run-dir', `/run/gingham-lab/${name}/${node}`];
}

/** Runs `gingham <args>` in node1 of the lab. */
export function gingham(name: string, ...args: readonly string[]): Promise<Outcome> {
  return lab(name, 'exec', 'node1', '--', ...ctlWords(name), ...args);
}

/** What `gingham <args> --json` prints; throws where it is not of the schema's shape. */
export async function answerOf<T>(name: string, schema: z.ZodType<T>, ...args: readonly string[]): Promise<T> {
  return schema.parse(JSON.parse((await gingham(name, ...args, '--json')).stdout));
}
