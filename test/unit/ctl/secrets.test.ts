// What must not be in a support archive is not, and what is no secret stays.
//
// Every form in which the project itself or etcd writes a secret is here.

import { expect, it } from 'vitest';
import { withoutSecrets } from '../../../ctl/secrets.ts';

const KEY = ['-----BEGIN EC PRIVATE KEY-----', 'c2VjcmV0', '-----END EC PRIVATE KEY-----'].join('\n');

it.each([
  ['a password in a URL', 'dialing https://root:hunter2@192.0.2.1:2379/'],
  ['a JSON field', '{"user":"root","password":"hunter2"}'],
  ['a JSON field with a quote in it', '{"password":"a\\"hunter2"}'],
  ['a flag with a blank', 'flanneld --etcd-password hunter2 --etcd-username root'],
  ['a flag with an equals sign', '--etcd-password=hunter2'],
  ['a variable', 'FLANNELD_ETCD_PASSWORD=hunter2'],
  ['YAML', 'api_key: hunter2'],
  ['a header', 'Authorization: Bearer hunter2'],
  ['a token', '"sessionToken": "hunter2"'],
])('removes %s', (_form, text) => {
  expect(withoutSecrets(text)).not.toContain('hunter2');
});

it('removes private keys, whole or cut off', () => {
  expect(withoutSecrets(`before\n${KEY}\nafter`)).toBe('before\n-----BEGIN EC PRIVATE KEY-----<removed>\nafter');
  expect(withoutSecrets(KEY.slice(0, 40))).not.toContain('c2Vj');
});

it('leaves everything else as it is', () => {
  const text = [
    '{"etcd":{"endpoints":["http://192.0.2.9:2379"]},"peers":[{"node":"node2"}]}',
    '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
    '10.5.2.0/24 nhid 3 via 10.5.2.0 dev flannel.1 proto 71 onlink',
    'user root@host logged in',
  ].join('\n');
  expect(withoutSecrets(text)).toBe(text);
});
