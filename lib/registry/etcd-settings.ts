// The settings with which every daemon reaches etcd, and what they must be together.
//
// Names are flannel's. Flannel ignores a CA file that comes without a client certificate and prints the password at
// start; here a CA alone is enough, what would be ignored is an error, and the password is never printed.

import { EXIT, ExitError } from '../run/exit.ts';
import { list, type Setting, type SettingValues, text } from '../run/settings.ts';
import type { EtcdRegistryOptions } from './etcd-registry.ts';

export const ETCD_SETTINGS = {
  'etcd-endpoints': list(
    'http://127.0.0.1:2379',
    'http://HOST:PORT or https://HOST:PORT',
    'Members of the etcd cluster.',
    parseEndpoint,
  ),
  'etcd-cafile': text('', "PEM file of the authority that signed etcd's certificate."),
  'etcd-certfile': text('', 'PEM file of the client certificate to show to etcd; needs --etcd-keyfile.'),
  'etcd-keyfile': text('', 'PEM file of the key to --etcd-certfile.'),
  'etcd-username': text('', 'User at etcd, where it asks for one.'),
  'etcd-password': { ...text('', 'Password of --etcd-username; the variable is safer than the flag.'), secret: true },
} satisfies Record<string, Setting<unknown>>;

/** What `openEtcdRegistry` takes. Throws `ExitError` (usage) where two settings contradict each other. */
export function etcdOptions(program: string, values: SettingValues<typeof ETCD_SETTINGS>): EtcdRegistryOptions {
  const endpoints = values['etcd-endpoints'];
  const { 'etcd-cafile': ca, 'etcd-certfile': cert, 'etcd-keyfile': key } = values;
  const fail = (message: string): never => {
    throw new ExitError(EXIT.usage, `${program}: ${message}`);
  };
  if (endpoints.length === 0) fail('--etcd-endpoints is empty: it takes at least one endpoint');
  const secure = endpoints.filter((endpoint) => endpoint.startsWith('https:')).length;
  if (secure !== 0 && secure !== endpoints.length) fail('--etcd-endpoints mixes http and https: it takes one kind');
  if (secure === 0 && ca + cert + key !== '') {
    fail(
      `--etcd-cafile, --etcd-certfile and --etcd-keyfile need https endpoints: --etcd-endpoints is ${endpoints.join()}`,
    );
  }
  if ((cert === '') !== (key === '')) fail('--etcd-certfile and --etcd-keyfile come together: one of them is missing');
  if (values['etcd-username'] === '' && values['etcd-password'] !== '') {
    fail('--etcd-password needs --etcd-username');
  }
  const given = Object.entries({ ca, cert, key }).filter(([, path]) => path !== '');
  const user = { name: values['etcd-username'], password: values['etcd-password'] };
  return { endpoints, tls: Object.fromEntries(given), ...(user.name === '' ? {} : { user }) };
}

function parseEndpoint(part: string): string | undefined {
  const [, scheme, host, port] = /^(https?):\/\/([^:/@[\]]+|\[[0-9a-f:]+\]):(\d{1,5})\/?$/i.exec(part) ?? [];
  return host === undefined || Number(port) > 65_535 ? undefined : `${scheme}://${host}:${port}`;
}
