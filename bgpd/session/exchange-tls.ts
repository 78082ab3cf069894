// TLS for the exchange (RFC 8446), both ends with certificates: who a peer is, is what its certificate says.
//
// A node's name is a DNS name among the subject alternative names of its certificate (RFC 5280 section 4.2.1.6); addresses
// and the common name say nothing. Files are read anew: by the listener every second, for each dial at the dial. A session
// that stands is not ended by a new file.

import { readFileSync } from 'node:fs';
import type { PeerCertificate } from 'node:tls';
import { type ChannelCredentials, credentials, experimental, ServerCredentials } from '@grpc/grpc-js';
import { errorText } from '../../lib/run/exit.ts';

const REFRESH_MS = 1_000;

/** Paths of PEM files. */
export interface TlsFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** Credentials of the listener; `undefined` files: no TLS. It requires a certificate that the authority signed. */
export function listenerCredentials(files: TlsFiles | undefined): ServerCredentials {
  if (files === undefined) return ServerCredentials.createInsecure();
  const provider = new experimental.FileWatcherCertificateProvider({
    certificateFile: files.certFile,
    privateKeyFile: files.keyFile,
    caCertificateFile: files.caFile,
    refreshIntervalMs: REFRESH_MS,
  });
  return experimental.createCertificateProviderServerCredentials(provider, provider, true);
}

/**
 * Credentials to dial `node` with: its certificate must name it. An error in words where the files cannot be read or do not
 * go together: whoever renews them may be in the middle of it.
 */
export function dialCredentials(
  files: TlsFiles | undefined,
  node: string,
): ChannelCredentials | { readonly error: string } {
  if (files === undefined) return credentials.createInsecure();
  try {
    const [ca, key, cert] = [files.caFile, files.keyFile, files.certFile].map((path) => readFileSync(path));
    return credentials.createSsl(ca, key, cert, {
      checkServerIdentity(_host, certificate) {
        const names = certificateNames(certificate);
        return names.includes(node)
          ? undefined
          : new Error(`the certificate is for ${names.join(', ')}, not for ${node}`);
      },
    });
  } catch (error) {
    return { error: `the own certificate cannot be used: ${errorText(error)}` };
  }
}

/** The nodes that a certificate is for. */
export function certificateNames({ subjectaltname = '' }: Pick<PeerCertificate, 'subjectaltname'>): readonly string[] {
  return subjectaltname.split(', ').flatMap((name) => (name.startsWith('DNS:') ? [name.slice('DNS:'.length)] : []));
}
