// Asking a daemon over the unix socket of its status server (`<run-dir>/<daemon>.http`).
//
// Light on purpose: the container health check imports this and nothing heavier. Shapes are checked by the callers.

import { request } from 'node:http';
import { join } from 'node:path';

/** The daemons of a node, in the order in which they depend on each other. */
export const DAEMONS = ['flanneld', 'bgpd', 'felix'] as const;
export type DaemonName = (typeof DAEMONS)[number];

export interface DaemonAnswer {
  readonly status: number;
  readonly body: string;
}

export interface Readiness {
  readonly ready: boolean;
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly detail: string }[];
}

/** Where the daemon's status server listens. */
export function statusSocket(runFolder: string, daemon: DaemonName): string {
  return join(runFolder, `${daemon}.http`);
}

/** Asks for `path`; a text says why there was no answer, in words for a person. */
export function askDaemon(
  runFolder: string,
  daemon: DaemonName,
  path: string,
  timeoutMs = 2_000,
  method: 'GET' | 'POST' = 'GET',
): Promise<DaemonAnswer | string> {
  const socketPath = statusSocket(runFolder, daemon);
  return new Promise((resolve) => {
    const asked = request({ socketPath, path, method, timeout: timeoutMs, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts).toString() }));
      response.on('error', (error) => resolve(`${daemon} broke off its answer: ${error.message}`));
    });
    asked.on('timeout', () => {
      resolve(`${daemon} did not answer within ${timeoutMs} ms`);
      asked.destroy();
    });
    asked.on('error', (error) => resolve(silence(daemon, socketPath, error)));
    asked.end();
  });
}

/** What /readyz says, or why nothing could be learnt. */
export async function askReadiness(runFolder: string, daemon: DaemonName): Promise<Readiness | string> {
  const answer = await askDaemon(runFolder, daemon, '/readyz');
  if (typeof answer === 'string') return answer;
  try {
    const { ready, checks } = JSON.parse(answer.body) as Partial<Readiness>;
    if (typeof ready === 'boolean' && Array.isArray(checks)) return { ready, checks };
  } catch {
    // Said below.
  }
  return `${daemon} answered /readyz with status ${answer.status} and a body that is not the expected JSON`;
}

/** The failing checks on one line: `etcd: not reachable; feed: not in sync`. */
export function failingChecks(readiness: Readiness): string {
  const failing = readiness.checks.filter((check) => !check.ok);
  return failing.map((check) => `${check.name}: ${check.detail}`).join('; ') || 'no check is named';
}

function silence(daemon: DaemonName, socketPath: string, error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return `${daemon} has not started: there is no ${socketPath}`;
  if (code === 'ECONNREFUSED') return `${daemon} does not run: nobody listens on ${socketPath}`;
  if (code === 'EACCES') return `${socketPath} may be read by root only`;
  return `${daemon} cannot be asked: ${error.message}`;
}
