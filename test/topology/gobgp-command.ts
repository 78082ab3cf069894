// The stock `gobgp` command in a node's namespace, at its default address or another port: what it prints, or why it failed.
// Words are separated by spaces, so that a call reads as it is typed.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** A command that does not answer is ended. */
const TIMEOUT_MS = 20_000;

interface Place {
  readonly namespace: string;
}

/** What it prints. Rejects where it fails. */
export async function gobgp({ namespace }: Place, command: string): Promise<string> {
  const words = ['netns', 'exec', namespace, 'gobgp', ...command.split(' ')];
  return (await execute('ip', words, { timeout: TIMEOUT_MS, maxBuffer: 64 << 20 })).stdout;
}

/** The same with `-j`, read. */
export async function json(place: Place, command: string): Promise<Readonly<Record<string, unknown>>> {
  return JSON.parse(await gobgp(place, `${command} -j`)) as Readonly<Record<string, unknown>>;
}

/** What it complains of. Rejects where it succeeds. */
export async function fails(place: Place, command: string): Promise<string> {
  const output = await gobgp(place, command).catch((error: { stdout: string; stderr: string }) => error);
  if (typeof output === 'string') throw new Error(`gobgp ${command} did not fail: ${output}`);
  return output.stdout + output.stderr;
}
