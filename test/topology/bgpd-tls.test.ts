// TLS between real bgpd processes: a node's certificate says who it is, another's is refused, a new one is taken in passing.
// What the cluster is made of: bgpd-cluster.ts.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { prefix } from '../../lib/net/prefix.ts';
import { EXIT } from '../../lib/run/exit.ts';
import { eventually } from '../eventually.ts';
import { type Certificate, makeCertificate } from '../fakes/certificate.ts';
import { BgpdCluster } from './bgpd-cluster.ts';

const B = prefix('10.5.3.0/24');
const PATIENCE = { timeoutMs: 30_000, intervalMs: 20 };

let cluster: BgpdCluster;
let folder: string;
let authority: Certificate;

beforeEach(async () => {
  cluster = await BgpdCluster.start();
  folder = await mkdtemp(join(tmpdir(), 'gh-tls-'));
  authority = makeCertificate('authority');
});

afterEach(async () => {
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
});

test("the right certificates: a session; another node's: refused, in words; the right one put in place: taken", async () => {
  const aFlags = await flagsOf('a', makeCertificate('a', authority, [], ['node2']));
  const bFlags = await flagsOf('b', makeCertificate('b', authority, [], ['node4']));
  const [a, b] = await Promise.all([cluster.node(2, [3], aFlags), cluster.node(3, [2], bFlags)]);
  b.originate([B]);
  await eventually(
    'it is refused',
    async () => ((await a.http('/status')) + (await b.http('/status'))).includes('is for node4, not for node3'),
    PATIENCE,
  );
  expect(a.gateways(B)).toBeUndefined();
  await flagsOf('b', makeCertificate('b', authority, [], ['node3']));
  await eventually('a has the route', () => a.gateways(B)?.join() === '10.5.3.0', PATIENCE);
});

test('files that do not go together or are not there, in passing: no connection, in words, and all is well when they are right again', async () => {
  const right = makeCertificate('a', authority, [], ['node2']);
  const [aFlags, bFlags] = [
    await flagsOf('a', right),
    await flagsOf('b', makeCertificate('b', authority, [], ['node3'])),
  ];
  const [a, b] = await Promise.all([cluster.node(2, [3], aFlags), cluster.node(3, [2], bFlags)]);
  b.originate([B]);
  await eventually('a has the route', () => a.gateways(B) !== undefined, PATIENCE);
  const listener = await eventually(
    'a listens',
    async () => (JSON.parse(await a.http('/status')) as { port?: number }).port,
    PATIENCE,
  );
  for (const wrong of [
    { ...right, keyPem: makeCertificate('x').keyPem },
    { ...right, certPem: 'half of a certifi' },
  ]) {
    await flagsOf('a', wrong);
    await b.kill('SIGKILL');
    await eventually(
      'a cannot dial, and says why',
      async () => (await a.http('/status')).includes('the own certificate cannot be used'),
      PATIENCE,
    );
    await rm(join(folder, 'a.cert'));
    b.start();
    await flagsOf('a', right);
    await eventually('a has the route again', () => a.gateways(B) !== undefined, PATIENCE);
  }
  // b's new process takes over the record of the one that was killed: until then its peer may be made anew.
  await b.ready();
  // A new one is served to whoever comes, and the session that stands is none the worse.
  const { sessions } = (await a.status()).peers[0] ?? {};
  await flagsOf('a', makeCertificate('a', authority, [], ['node2', 'renewed']));
  await eventually('it is served', async () => (await namesServed(listener)).includes('renewed'), PATIENCE);
  expect((await a.status()).peers).toMatchObject([{ state: 'Established', sessions }]);
});

test('files that are wrong at the start: one line, exit code 2', async () => {
  const flags = await flagsOf('a', { ...makeCertificate('a', authority), certPem: '' });
  const node = await cluster.node(2, [], flags);
  expect(await node.exit()).toBe(EXIT.usage);
  expect(node.output).toMatch(/--tls-cert-file, --tls-key-file: the own certificate cannot be used: /);
});

test('a certificate of another authority, or none: no session', async () => {
  const aFlags = await flagsOf('a', makeCertificate('a', authority, [], ['node2']));
  const bFlags = await flagsOf('b', makeCertificate('b', makeCertificate('other'), [], ['node3']));
  const nodes = [cluster.node(2, [3, 4], aFlags), cluster.node(3, [2], bFlags), cluster.node(4, [2])] as const;
  const [a] = await Promise.all(nodes);
  await eventually(
    'both have failed',
    async () => {
      const { peers } = await a.status();
      return peers.length === 2 && peers.every(({ whyDown }) => whyDown !== undefined);
    },
    PATIENCE,
  );
  expect((await a.status()).peers.map(({ sessions }) => sessions)).toEqual([0, 0]);
});

/** The nodes that the certificate of whoever listens on 127.0.0.2 is for. */
function namesServed(port: number): Promise<string> {
  const { certPem: cert, keyPem: key } = makeCertificate('c', authority, [], ['node9']);
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.2', port, cert, key, ALPNProtocols: ['h2'], rejectUnauthorized: false });
    socket.on('secureConnect', () => {
      resolve(socket.getPeerCertificate().subjectaltname ?? '');
      socket.destroy();
    });
    socket.on('error', () => resolve(''));
  });
}

/** Writes the files and gives the flags that name them. */
async function flagsOf(name: string, { certPem, keyPem }: Certificate): Promise<string[]> {
  const path = (kind: string): string => join(folder, `${name}.${kind}`);
  const contents = { ca: authority.certPem, cert: certPem, key: keyPem };
  await Promise.all(Object.entries(contents).map(([kind, pem]) => writeFile(path(kind), pem)));
  return ['ca', 'cert', 'key'].map((kind) => `--tls-${kind}-file=${path(kind)}`);
}
