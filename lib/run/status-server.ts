// The HTTP face of a daemon: /healthz, /readyz, /metrics, /events and /status, on a TCP port for machines and a unix socket for
// the gingham command (same content; the socket works from outside the node's network namespace).
//
// /healthz says that the event loop turns. /readyz says whether the daemon's promises hold right now, check by check:
// 200 when all do, 503 when one does not, and the body names each. The checks are asked at the moment of the request.

import { chmod, rm } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { EVENTS } from './event-ring.ts';
import { EXIT, ExitError } from './exit.ts';

/** One promise of the daemon: `ok`, and the fact behind it in a few words. */
export interface ReadinessCheck {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface StatusSource {
  /** Every check, held or not; all must be ok for the daemon to be ready. */
  checks(): readonly ReadinessCheck[];
  /** What `gingham status` shows; plain JSON. */
  status(): unknown;
  /** What may be asked for with POST, by path, on the unix socket only: the file's mode says who may. Gives plain JSON. */
  readonly actions?: Readonly<Record<string, (query: URLSearchParams) => Promise<unknown>>>;
}

export interface StatusServerOptions {
  /** Loopback unless the operator wants it seen. */
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** Path of the unix socket; made with mode 0600, replaced if a dead process left it. */
  readonly socketPath: string;
}

/** Metrics of one daemon: its own names under one prefix, with the process's default ones. */
export class Metrics {
  readonly registry = new Registry();
  readonly prefix: string;

  constructor(daemon: string) {
    this.prefix = `gingham_${daemon}_`;
    collectDefaultMetrics({ register: this.registry });
  }

  counter<const L extends string = never>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> {
    return new Counter({ name: this.prefix + name, help, labelNames, registers: [this.registry] });
  }

  gauge<const L extends string = never>(name: string, help: string, labelNames: readonly L[] = []): Gauge<L> {
    return new Gauge({ name: this.prefix + name, help, labelNames, registers: [this.registry] });
  }

  histogram<const L extends string = never>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly L[] = [],
  ): Histogram<L> {
    return new Histogram({
      name: this.prefix + name,
      help,
      labelNames,
      buckets: [...buckets],
      registers: [this.registry],
    });
  }
}

/** Serves until `close` is called. Rejects with `ExitError` (environment) where the port or the socket cannot be bound. */
export async function startStatusServer(
  options: StatusServerOptions,
  source: StatusSource,
  metrics: Metrics,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const serve = (actions: StatusSource['actions']): Server =>
    createServer(({ method, url = '' }, response) => {
      const [pathname = '', query] = url.split('?', 2);
      const action = method === 'POST' ? actions?.[pathname] : undefined;
      const done =
        action === undefined
          ? respond(url, response, source, metrics)
          : act(() => action(new URLSearchParams(query)), response);
      done.catch((error: unknown) => response.destroy(error as Error));
    });
  const tcp = serve(undefined);
  const unix = serve(source.actions);
  await listen(tcp, { host: options.host, port: options.port });
  await rm(options.socketPath, { force: true });
  await listen(unix, { path: options.socketPath });
  await chmod(options.socketPath, 0o600);
  const bound = tcp.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : options.port,
    async close() {
      await Promise.all([tcp, unix].map(closeServer));
    },
  };
}

async function respond(url: string, response: ServerResponse, source: StatusSource, metrics: Metrics): Promise<void> {
  const [path, query = ''] = url.split('?');
  switch (path) {
    case '/healthz':
      return send(response, 200, 'text/plain', 'ok\n');
    case '/readyz': {
      const checks = source.checks();
      const ready = checks.every((check) => check.ok);
      return send(response, ready ? 200 : 503, 'application/json', `${JSON.stringify({ ready, checks })}\n`);
    }
    case '/status':
      return send(response, 200, 'application/json', `${JSON.stringify(source.status())}\n`);
    case '/events': {
      const since = Number(new URLSearchParams(query).get('since') ?? 0);
      if (!Number.isSafeInteger(since) || since < 0) return send(response, 400, 'text/plain', 'since is no number\n');
      return send(response, 200, 'application/jsonl', EVENTS.lines(since));
    }
    case '/metrics':
      return send(response, 200, metrics.registry.contentType, await metrics.registry.metrics());
    default:
      return send(response, 404, 'text/plain', 'not found: try /healthz, /readyz, /metrics, /events or /status\n');
  }
}

async function act(action: () => Promise<unknown>, response: ServerResponse): Promise<void> {
  send(response, 200, 'application/json', `${JSON.stringify(await action())}\n`);
}

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, { 'content-type': contentType }).end(body);
}

function listen(server: Server, where: { host: string; port: number } | { path: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const place =
        'path' in where ? `the socket ${where.path} (--run-dir)` : `${where.host}:${where.port} (--status-port)`;
      reject(new ExitError(EXIT.environment, `cannot serve status on ${place}`, { cause: error }));
    });
    server.listen(where, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
