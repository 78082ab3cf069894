// What the contract cannot say: how the etcd client behaves when members hang, vanish, or ask who is there.
// Each uses a real etcd, and one of its own where it breaks it.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type EtcdRegistryOptions, openEtcdRegistry } from '../../../../lib/registry/etcd-registry.ts';
import type { Registry, RegistryEvent } from '../../../../lib/registry/registry.ts';
import { eventually } from '../../../eventually.ts';
import { makeCertificate } from '../../../fakes/certificate.ts';
import { EtcdProcess, freePort } from '../../../topology/etcd-process.ts';

const NEVER = new AbortController().signal;

describe('EtcdRegistry', () => {
  let etcd: EtcdProcess;
  let open: Registry[] = [];

  beforeAll(async () => {
    etcd = await EtcdProcess.start();
  });
  afterEach(async () => {
    for (const registry of open) await registry.close();
    open = [];
  });
  afterAll(() => etcd.stop());

  async function registryAt(options: EtcdRegistryOptions): Promise<Registry> {
    const registry = await openEtcdRegistry({ callTimeoutMs: 500, ...options });
    open.push(registry);
    return registry;
  }

  test('an endpoint where nothing listens is unavailable, by name and soon', async () => {
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    const registry = await registryAt({ endpoints: [endpoint] });
    const started = performance.now();
    await expect(registry.get('/a')).rejects.toMatchObject({
      name: 'RegistryError',
      code: 'unavailable',
      message: expect.stringContaining(endpoint),
    });
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  test('an etcd that hangs is unavailable at the deadline, its watch is given up, and both recover', async () => {
    const registry = await registryAt({
      endpoints: [etcd.endpoint],
      watchTimes: { progressMs: 100, relistMs: 60_000 },
    });
    const seen: RegistryEvent[] = [];
    registry.watch('/hang/', (event) => seen.push(event), NEVER);
    await eventually('the watch began', () => seen.length === 1);
    etcd.freeze(true);
    try {
      await expect(registry.list('/hang/')).rejects.toMatchObject({ code: 'unavailable' });
      await eventually('the silence was noticed', () => seen.some(({ type }) => type === 'disconnected'));
    } finally {
      etcd.freeze(false);
    }
    seen.length = 0;
    await eventually('a snapshot came', () => seen.some(({ type }) => type === 'snapshot'));
    await etcd.ctl('put', '/hang/a', '1');
    await eventually('the change came', () => seen.some(({ type }) => type === 'put'));
  });

  test('a quiet stream lives on because etcd answers the probes', async () => {
    const registry = await registryAt({ endpoints: [etcd.endpoint], watchTimes: { progressMs: 30, relistMs: 60_000 } });
    const seen: RegistryEvent[] = [];
    const began = performance.now();
    registry.watch('/quiet/', (event) => seen.push(event), NEVER);
    await eventually('twenty intervals have passed', () => performance.now() - began > 600);
    expect(seen.map(({ type }) => type)).toEqual(['snapshot']);
  });

  test('a member that is gone is left for the next one, for calls and for watches', async () => {
    const dead = `http://127.0.0.1:${await freePort()}`;
    const registry = await registryAt({ endpoints: [dead, etcd.endpoint, dead] });
    const seen: RegistryEvent[] = [];
    registry.watch('/many/', (event) => seen.push(event), NEVER);
    const entry = await registry.put('/many/a', '1', { absent: true }, 60);
    expect(entry?.value).toBe('1');
    await eventually('the watch saw it', () => JSON.stringify(seen, bigintText).includes('/many/a'));
  });

  test('after reconnect the watch lists again and calls are answered, over other connections', async () => {
    const registry = await openEtcdRegistry({ endpoints: [etcd.endpoint] });
    try {
      const seen: RegistryEvent[] = [];
      registry.watch('/anew/', (event) => seen.push(event), NEVER);
      await eventually('the watch began', () => seen.length === 1);
      registry.reconnect('a test');
      expect(await registry.put('/anew/a', '1', { absent: true }, 60)).toMatchObject({ value: '1' });
      await eventually('it lists again', () => seen.at(-1)?.type === 'snapshot' || seen.at(-1)?.type === 'put');
      expect(seen[1]).toEqual({ type: 'disconnected', reason: 'a test' });
      await eventually('with what was written', () => JSON.stringify(seen, bigintText).includes('/anew/a'));
    } finally {
      await registry.close();
    }
  });

  test('etcd restarts: the watch lists again and what was written meanwhile is in it', async () => {
    const own = await EtcdProcess.start();
    try {
      const registry = await registryAt({ endpoints: [own.endpoint] });
      const seen: RegistryEvent[] = [];
      registry.watch('/again/', (event) => seen.push(event), NEVER);
      await eventually('the watch began', () => seen.length === 1);
      await own.kill();
      await eventually('the loss was noticed', () => seen.at(-1)?.type === 'disconnected');
      await own.start();
      await own.ctl('put', '/again/a', '1');
      await eventually('the watch is back', () => JSON.stringify(seen, bigintText).includes('/again/a'));
    } finally {
      await own.stop();
    }
  });

  test('user and password: accepted, refused without leaking the password, and fetched again after a restart', async () => {
    const own = await EtcdProcess.start({ ctlFlags: ['--user=root:s3cret-word'] });
    try {
      await own.ctl('user', 'add', 'root:s3cret-word');
      await own.ctl('user', 'grant-role', 'root', 'root').catch(() => own.ctl('role', 'add', 'root'));
      await own.ctl('user', 'grant-role', 'root', 'root');
      await own.ctl('auth', 'enable');
      const user = { name: 'root', password: 's3cret-word' };
      const registry = await registryAt({ endpoints: [own.endpoint], user });
      expect(await registry.put('/auth/a', '1', { absent: true }, 60)).toMatchObject({ value: '1' });
      const wrong = await registryAt({ endpoints: [own.endpoint], user: { ...user, password: 'wr0ng-word' } });
      const refusal = await wrong.get('/auth/a').catch((error: unknown) => error);
      expect(refusal).toMatchObject({
        code: 'refused',
        message: expect.stringContaining('invalid user ID or password'),
      });
      expect(String(refusal)).not.toContain('wr0ng-word');
      const anonymous = await registryAt({ endpoints: [own.endpoint] });
      await expect(anonymous.get('/auth/a')).rejects.toMatchObject({ code: 'refused' });
      await own.kill();
      await own.start();
      await eventually('its old token was replaced', async () => (await registry.get('/auth/a'))?.value === '1');
    } finally {
      await own.stop();
    }
  });

  test('TLS with a client certificate: accepted with one, refused without, and not talked to as plain HTTP', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'gh-tls-'));
    const authority = makeCertificate('authority');
    const path = (name: string): string => join(folder, name);
    for (const certificate of [
      authority,
      makeCertificate('etcd', authority, ['127.0.0.1']),
      makeCertificate('node', authority),
    ]) {
      await writeFile(path(`${certificate.name}.pem`), certificate.certPem);
      await writeFile(path(`${certificate.name}.key`), certificate.keyPem);
    }
    const [ca, cert, key] = [path('authority.pem'), path('node.pem'), path('node.key')];
    const own = await EtcdProcess.start({
      scheme: 'https',
      flags: [
        `--cert-file=${path('etcd.pem')}`,
        `--key-file=${path('etcd.key')}`,
        `--trusted-ca-file=${ca}`,
        '--client-cert-auth',
      ],
      ctlFlags: [`--cacert=${ca}`, `--cert=${cert}`, `--key=${key}`],
    });
    try {
      const registry = await registryAt({ endpoints: [own.endpoint], tls: { ca, cert, key } });
      expect(await registry.put('/tls/a', '1', { absent: true }, 60)).toMatchObject({ value: '1' });
      const seen: RegistryEvent[] = [];
      registry.watch('/tls/', (event) => seen.push(event), NEVER);
      await eventually('the watch began', () => seen.length === 1);
      const others: EtcdRegistryOptions[] = [
        { endpoints: [own.endpoint], tls: { ca } },
        { endpoints: [own.endpoint] },
        { endpoints: [own.endpoint.replace('https', 'http')] },
      ];
      for (const options of others) {
        await expect((await registryAt(options)).get('/tls/a')).rejects.toMatchObject({ code: 'unavailable' });
      }
    } finally {
      await own.stop();
      await rm(folder, { recursive: true, force: true });
    }
  });

  test('a TLS file that cannot be read is named', async () => {
    const opening = openEtcdRegistry({ endpoints: ['https://127.0.0.1:1'], tls: { ca: '/no/such/ca.pem' } });
    await expect(opening).rejects.toMatchObject({ exitCode: 2, message: expect.stringContaining('/no/such/ca.pem') });
  });
});

function bigintText(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
