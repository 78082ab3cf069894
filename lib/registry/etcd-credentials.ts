// The TLS side of a connection to etcd: PEM files, read once at the start.
// User and password are not here: they go over the connection (etcd-registry.ts).

import { readFile } from 'node:fs/promises';
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
import { EXIT, ExitError } from '../run/exit.ts';

/** Paths of PEM files; `cert` and `key` come together. */
export interface TlsFiles {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** What gRPC takes for endpoints that are all `http:` or all `https:`. Throws `ExitError` (usage) where a file cannot be read. */
export async function channelCredentials(options: {
  readonly endpoints: readonly string[];
  readonly tls?: TlsFiles;
}): Promise<ChannelCredentials> {
  const { endpoints, tls } = options;
  if (!endpoints.some((endpoint) => endpoint.startsWith('https:'))) return credentials.createInsecure();
  const [ca, key, cert] = await Promise.all([tls?.ca, tls?.key, tls?.cert].map(readPem));
  return credentials.createSsl(ca ?? null, key ?? null, cert ?? null);
}

async function readPem(path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path);
  } catch (error) {
    throw new ExitError(EXIT.usage, `cannot read ${path} for TLS to etcd`, { cause: error });
  }
}
