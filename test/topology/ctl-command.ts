// Runs the gingham command on node1 of a lab, for tests: as text, and as JSON that is checked against its schema.
//
// It uses dist/, which `npm test` has built before.

import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { z } from 'zod';
import { lab, labName, labOk, type Outcome } from './lab-command.ts';

/** The command's main file. */
export const CTL_MAIN = join(import.meta.dirname, '../../dist/ctl/main.js');

const OUTPUT_MAX_BYTES = 64 << 20;

/** The hold time and some more: what is dead is known by then, and what is back. */
export const PATIENCE = { timeoutMs: 30_000, intervalMs: 100 };

/** A lab of three nodes for the tests of one file, and an empty folder; both go when the tests are over. */
export function labForTests(): { readonly name: string; readonly folder: () => string } {
  const name = labName();
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gh-ctl-'));
    await labOk(name, 'up');
  });
  afterAll(async () => {
    await lab(name, 'down');
    await rm(folder, { recursive: true, force: true });
  });
  return { name, folder: () => folder };
}

/** The words that run `gingham` for a node of the lab `name`. */
export function ctlWords(name: string, node = 'node1'): readonly string[] {
  return [process.execPath, CTL_MAIN, '--run-dir', `/run/gingham-lab/${name}/${node}`];
}

/** Runs `gingham <args>` in node1 of the lab; not by way of `lab exec`, which would be one more program to start. */
export function gingham(name: string, ...args: readonly string[]): Promise<Outcome> {
  const [node = '', ...words] = [...ctlWords(name), ...args];
  const argv = [`--net=/run/netns/gh-${name}-node1`, '--', node, ...words];
  return new Promise((resolve) => {
    execFile('nsenter', argv, { maxBuffer: OUTPUT_MAX_BYTES }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
      resolve({ code, stdout, stderr });
    });
  });
}

/** What `gingham <args> --json` prints; throws where it is not of the schema's shape. */
export async function answerOf<T>(name: string, schema: z.ZodType<T>, ...args: readonly string[]): Promise<T> {
  return schema.parse(JSON.parse((await gingham(name, ...args, '--json')).stdout));
}
