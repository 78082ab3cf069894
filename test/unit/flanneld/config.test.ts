// flanneld's flags and variables: defaults, flannel's names, what is refused and how.
// The common rules of flags and variables are tested with lib/run/settings.ts.

import { describe, expect, test } from 'vitest';
import { readConfig } from '../../../flanneld/config.ts';

describe('readConfig', () => {
  test('defaults', () => {
    expect(readConfig(['--node-name', 'n'], {})).toMatchObject({
      node: 'n',
      runFolder: '/run/gingham',
      etcd: { endpoints: ['http://127.0.0.1:2379'] },
      etcdPrefix: '/coreos.com/network',
      iface: '',
      publicIp: undefined,
      subnetFile: '/run/gingham/subnet.env',
      leaseTtlSeconds: 86_400,
      renewMarginSeconds: 3_600,
      vxlanUser: false,
      io: 'auto',
      tuning: { workers: 1, sourcePorts: 0, zeroChecksum: false, busyPollUs: 0 },
      statusAddress: '127.0.0.1',
      statusPort: 9251,
      logLevel: 'info',
    });
  });

  test("flannel's variables; a flag wins over its variable", () => {
    const env = {
      FLANNELD_ETCD_ENDPOINTS: 'https://a:2379,https://[fd00::1]:2379',
      FLANNELD_ETCD_PREFIX: '/net',
      FLANNELD_PUBLIC_IP: '203.0.113.7',
      FLANNELD_SUBNET_FILE: '/x/subnet.env',
      FLANNELD_VXLAN_USER: 'true',
    };
    expect(readConfig(['--etcd-prefix', '/other', '--run-dir', '/r'], env)).toMatchObject({
      etcd: { endpoints: ['https://a:2379', 'https://[fd00::1]:2379'] },
      etcdPrefix: '/other',
      publicIp: '203.0.113.7',
      subnetFile: '/x/subnet.env',
      vxlanUser: true,
    });
    expect(readConfig(['--run-dir', '/r'], {}).subnetFile).toBe('/r/subnet.env');
  });

  test.each([
    [['--etcd-endpoints', 'localhost:2379'], '--etcd-endpoints "localhost:2379" is not accepted'],
    [['--etcd-endpoints', 'http://h:99999'], 'http://h:99999'],
    [['--etcd-endpoints', 'http://u:p@h:1'], '--etcd-endpoints'],
    [['--etcd-endpoints', ''], '--etcd-endpoints is empty'],
    [['--etcd-endpoints', 'http://a:1,https://b:1'], 'mixes http and https'],
    [['--etcd-cafile', '/ca.pem'], 'need https endpoints'],
    [['--etcd-endpoints', 'https://a:1', '--etcd-certfile', '/c.pem'], 'come together'],
    [['--etcd-password', 'hidden-word'], '--etcd-password needs --etcd-username'],
    [['--etcd-prefix', 'net'], '--etcd-prefix "net" is not accepted: --etcd-prefix takes a key that begins with /'],
    [['--etcd-prefix', '/net/'], '--etcd-prefix "/net/" is not accepted'],
    [['--public-ip', '10.0.0'], '--public-ip "10.0.0" is not accepted: --public-ip takes an IP address'],
    [['--subnet-lease-renew-margin', '1440'], 'a whole number of minutes from 1 to 1439'],
    [['--subnet-lease-ttl-seconds', '1'], 'a whole number of seconds from 5'],
    [['--io', 'fast'], 'one of auto, tuntap, batched'],
    [['--vxlan-user', 'perhaps'], 'true or false'],
    [['--no-such-flag'], 'unknown option'],
  ])('%j', (argv, message) => {
    const read = (): unknown => readConfig(argv, {});
    expect(read).toThrow(expect.objectContaining({ exitCode: 2, message: expect.stringContaining(message) }));
    expect(read).not.toThrow(/hidden-word/);
  });

  test('a client certificate without a CA, and a CA without a client certificate, are both fine', () => {
    const https = ['--etcd-endpoints', 'https://a:1'];
    expect(readConfig([...https, '--etcd-cafile', '/ca'], {}).etcd.tls).toEqual({ ca: '/ca' });
    const both = [...https, '--etcd-certfile', '/c', '--etcd-keyfile', '/k'];
    expect(readConfig(both, {}).etcd.tls).toEqual({ cert: '/c', key: '/k' });
  });
});
