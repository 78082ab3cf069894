// The status server over both of its doors: what each path answers, and that readiness follows the checks.
//
// Real sockets in a folder of the test's own; the TCP port is the kernel's choice.

import { mkdtemp, rm, stat } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { EVENTS } from '../../../../lib/run/event-ring.ts';
import { Metrics, type ReadinessCheck, startStatusServer } from '../../../../lib/run/status-server.ts';

let folder: string;
let checks: ReadinessCheck[];
let server: Awaited<ReturnType<typeof startStatusServer>>;

const get = (path: string): Promise<{ status: number; body: string }> =>
  new Promise((resolve, reject) => {
    request({ socketPath: join(folder, 'd.http'), path }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    })
      .on('error', reject)
      .end();
  });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gh-status-'));
  checks = [{ name: 'feed', ok: true, detail: 'in sync' }];
  const metrics = new Metrics('testd');
  metrics.counter('drops_total', 'dropped', ['reason']).inc({ reason: 'bad-vni' }, 3);
  const source = { checks: () => checks, status: () => ({ node: 'node1' }) };
  server = await startStatusServer({ host: '127.0.0.1', port: 0, socketPath: join(folder, 'd.http') }, source, metrics);
});

afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

it('is ready exactly while every check holds, and names each', async () => {
  expect((await get('/readyz')).status).toBe(200);
  checks = [...checks, { name: 'etcd', ok: false, detail: 'no answer since 12:00' }];
  const answer = await get('/readyz');
  expect(answer.status).toBe(503);
  expect(JSON.parse(answer.body)).toEqual({ ready: false, checks });
});

it('answers on TCP as on the socket', async () => {
  const answer = await fetch(`http://127.0.0.1:${server.port}/status`);
  expect(await answer.json()).toEqual({ node: 'node1' });
  expect((await get('/status')).body).toBe('{"node":"node1"}\n');
  expect((await get('/healthz')).body).toBe('ok\n');
  expect((await get('/nothing')).status).toBe(404);
});

it('gives the events after the number that was seen', async () => {
  EVENTS.record('seen', {});
  EVENTS.record('new', {});
  const [head = ''] = (await get('/events')).body.split('\n');
  const { last } = JSON.parse(head) as { readonly last: number };
  const lines = (await get(`/events?since=${last - 1}`)).body.trim().split('\n');
  expect(lines.slice(1).map((line) => (JSON.parse(line) as { readonly kind: string }).kind)).toEqual(['new']);
});

it('exports metrics under the daemon prefix', async () => {
  expect((await get('/metrics')).body).toContain('gingham_testd_drops_total{reason="bad-vni"} 3');
});

it('keeps its socket to the owner', async () => {
  expect((await stat(join(folder, 'd.http'))).mode & 0o777).toBe(0o600);
});

it('says which port it could not have', async () => {
  const options = { host: '127.0.0.1', port: server.port, socketPath: join(folder, 'other.http') };
  const source = { checks: () => checks, status: () => ({}) };
  await expect(startStatusServer(options, source, new Metrics('other'))).rejects.toThrow(
    `cannot serve status on 127.0.0.1:${server.port} (--status-port)`,
  );
});
