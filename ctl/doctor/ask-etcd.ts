// One member of etcd, asked for its version: does it answer, and what time is it there?
//
// The clock comes from the Date header (RFC 9110 section 6.6.1), which counts whole seconds; the answer is taken as sent
// in the middle between question and answer.

import { readFile } from 'node:fs/promises';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { EtcdFacts } from './facts.ts';

const TIMEOUT_MS = 2_000;

/** Paths of PEM files; all may be absent. */
export interface EtcdTls {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** What the member at `endpoint` (`http://HOST:PORT`) answers. Never rejects. */
export async function askEtcd(endpoint: string, tls: EtcdTls): Promise<EtcdFacts> {
  try {
    const startMs = Date.now();
    const date = await ask(endpoint, tls);
    const middleMs = (startMs + Date.now()) / 2;
    // The header was cut to whole seconds: half a second more is the best guess.
    return date === undefined ? { endpoint } : { endpoint, aheadSeconds: (Date.parse(date) + 500 - middleMs) / 1000 };
  } catch (error) {
    return { endpoint, problem: (error as Error).message || String((error as NodeJS.ErrnoException).code) };
  }
}

async function ask(endpoint: string, tls: EtcdTls): Promise<string | undefined> {
  const read = async (path: string | undefined): Promise<Buffer | undefined> =>
    path === undefined ? undefined : readFile(path);
  const [ca, cert, key] = await Promise.all([read(tls.ca), read(tls.cert), read(tls.key)]);
  const files = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  return new Promise((resolve, reject) => {
    const take = (response: IncomingMessage): void => {
      response.resume();
      if (response.statusCode === 200) resolve(response.headers.date);
      else reject(new Error(`answered with status ${response.statusCode}`));
    };
    const options = { timeout: TIMEOUT_MS, agent: false as const };
    const url = new URL('/version', endpoint);
    const asked =
      url.protocol === 'https:' ? requestHttps(url, { ...options, ...files }, take) : requestHttp(url, options, take);
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    asked.on('error', reject);
    asked.end();
  });
}
