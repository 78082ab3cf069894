// Asking a daemon over the unix socket of its status server (`<run-dir>/<daemon>.http`), or one of another node over TCP.
//
// Light on purpose: the container health check imports this and nothing heavier. Shapes are checked by the callers.

import { type RequestOptions, request } from 'node:http';
import { join } from 'node:path';

/** The daemons of a node, in the order in which they depend on each other. */
export const DAEMONS = ['flanneld', 'bgpd', 'felix'] as const;
export type DaemonName = (typeof DAEMONS)[number];

/** Ports on which the daemons serve their status unless --status-port says otherwise. */
const STATUS_PORTS = { flanneld: 9251, bgpd: 9252, felix: 9253 } as const;

const TIMEOUT_MS = 2_000;

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
  timeoutMs = TIMEOUT_MS,
  method: 'GET' | 'POST' = 'GET',
): Promise<DaemonAnswer | string> {
  const socketPath = statusSocket(runFolder, daemon);
  return ask(daemon, { socketPath, path, method, timeout: timeoutMs }, (error) => silence(daemon, socketPath, error));
}

/** What /readyz says, or why nothing could be learnt. */
export async function askReadiness(runFolder: string, daemon: DaemonName): Promise<Readiness | string> {
  return readinessOf(daemon, await askDaemon(runFolder, daemon, '/readyz'));
}

/** What /readyz of the daemon at an underlay address says, at its usual port; a text says why that is not known. */
export async function askRemote(host: string, daemon: DaemonName): Promise<Readiness | string> {
  const port = STATUS_PORTS[daemon];
  const why = ({ code, message }: NodeJS.ErrnoException): string =>
    code === 'ECONNREFUSED' ? `not served at ${host}:${port} (--status-address)` : message;
  return readinessOf(daemon, await ask(daemon, { host, port, path: '/readyz', timeout: TIMEOUT_MS }, why));
}

function ask(
  daemon: DaemonName,
  options: RequestOptions & { readonly timeout: number },
  why: (error: NodeJS.ErrnoException) => string,
): Promise<DaemonAnswer | string> {
  return new Promise((resolve) => {
    const asked = request({ ...options, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts).toString() }));
      response.on('error', (error) => resolve(`${daemon} broke off its answer: ${error.message}`));
    });
    asked.on('timeout', () => {
      resolve(`${daemon} did not answer within ${options.timeout} ms`);
      asked.destroy();
    });
    asked.on('error', (error) => resolve(why(error)));
    asked.end();
  });
}

function readinessOf(daemon: DaemonName, answer: DaemonAnswer | string): Readiness | string {
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
