// bgpd's flags and variables: defaults, both origins, and one line for each that is wrong.
// How settings are read at all is tested with lib/run/settings.ts.

import { hostname } from 'node:os';
import { expect, test } from 'vitest';
import { readConfig } from '../../../bgpd/config.ts';
import type { ExitError } from '../../../lib/run/exit.ts';

test('defaults', () => {
  expect(readConfig([], {})).toEqual({
    node: hostname(),
    runFolder: '/run/gingham',
    etcd: { endpoints: ['http://127.0.0.1:2379'], tls: {} },
    nodePrefix: '/gingham/nodes/',
    configFile: undefined,
    mesh: true,
    asn: 64_512,
    routerId: undefined,
    address: undefined,
    listenAddress: undefined,
    listenPort: 1790,
    holdTimeSeconds: 9,
    gracefulRestartSeconds: 120,
    gobgpAddress: { host: '127.0.0.1', port: 50_051 },
    longLivedSeconds: 0,
    gracefulRestartFor: 'announced',
    isReflector: false,
    clusterId: undefined,
    bfd: { enabled: true, intervalMs: 300, multiplier: 3, multihopLeastTtl: 245 },
    maximumPaths: 16,
    tls: undefined,
    syncWaitMs: 5_000,
    statusAddress: '127.0.0.1',
    statusPort: 9252,
    logLevel: 'info',
  });
});

test('a flag wins over its variable', () => {
  const env = { BGPD_ASN: '65001', BGPD_ROUTER_ID: '1.2.3.4', BGPD_MESH: 'false' };
  expect(readConfig(['--asn', '65002', '--address=fd00::1'], env)).toMatchObject({
    asn: 65_002,
    routerId: '1.2.3.4',
    address: 'fd00::1',
    mesh: false,
  });
});

test.each([
  [['--asn', '0'], /--asn "0" is not accepted: --asn takes an AS number from 1 to 4294967294/],
  [['--hold-time-seconds', '2'], /"2" is not accepted.*0 or a whole number of seconds from 3 to 65535/],
  [['--router-id', 'fd00::1'], /--router-id "fd00::1".*an IPv4 address other than 0\.0\.0\.0/],
  [['--router-id', '0.0.0.0'], /--router-id "0\.0\.0\.0"/],
  [['--address', '10.0.0.0/8'], /--address "10\.0\.0\.0\/8".*an IP address/],
  [['--listen-port', '65536'], /a port from 0 to 65535/],
  [['--etcd-node-prefix', 'nodes'], /a key prefix that begins and ends with \//],
  [['--node-name', 'a/b'], /--node-name "a\/b" contains a slash/],
  [['--bfd-interval-milliseconds', '5'], /"5" is not accepted.*10 to 60000/],
  [['--bfd-multiplier', '0'], /"0" is not accepted.*1 to 255/],
  [['--nonsense'], /unknown option '--nonsense'/],
])('%j', (argv, message) => {
  expect(() => readConfig(argv, {})).toThrow(
    expect.objectContaining({ exitCode: 2, message: expect.stringMatching(message) }) as ExitError,
  );
});
