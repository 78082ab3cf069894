// X.509 certificates for tests, made with nothing but node:crypto: an authority, and what it signs.
//
//   Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature }        (RFC 5280 section 4.1)
//
// Only what TLS between two processes of a test needs: EC P-256 keys, one common name, IP addresses as alternative names.

import { createSign, generateKeyPairSync, type KeyObject } from 'node:crypto';

const TAG = {
  integer: 2,
  bits: 3,
  octets: 4,
  oid: 6,
  utf8: 12,
  time: 23,
  sequence: 48,
  set: 49,
  context0: 160,
  context3: 163,
};
const OID = {
  ecdsaWithSha256: [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
  commonName: [0x55, 0x04, 0x03],
  basicConstraints: [0x55, 0x1d, 0x13],
  alternativeName: [0x55, 0x1d, 0x11],
};
/** From and until (RFC 5280 section 4.1.2.5.1: UTCTime). */
const VALID: readonly [string, string] = ['240101000000Z', '491231235959Z'];

export interface Certificate {
  readonly name: string;
  readonly key: KeyObject;
  /** PEM. */
  readonly certPem: string;
  readonly keyPem: string;
}

let serial = 1;

/** A certificate for `name`, signed by `authority`, or by itself as an authority where that is absent; for a time that has begun, where `valid` says none. */
export function makeCertificate(
  name: string,
  authority?: Certificate,
  addresses: readonly string[] = [],
  nodes: readonly string[] = [],
  valid = VALID,
): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = der(TAG.sequence, der(TAG.oid, OID.ecdsaWithSha256));
  const tbs = der(
    TAG.sequence,
    der(TAG.context0, der(TAG.integer, [2])),
    der(TAG.integer, [serial++]),
    algorithm,
    distinguishedName(authority?.name ?? name),
    der(TAG.sequence, ...valid.map((time) => der(TAG.time, Buffer.from(time)))),
    distinguishedName(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(TAG.context3, der(TAG.sequence, ...extensions(authority === undefined, addresses, nodes))),
  );
  const signature = createSign('sha256')
    .update(tbs)
    .sign(authority?.key ?? privateKey);
  const certificate = der(TAG.sequence, tbs, algorithm, der(TAG.bits, [0], signature));
  const base64 = certificate.toString('base64').replaceAll(/.{64}(?=.)/g, '$&\n');
  return {
    name,
    key: privateKey,
    certPem: `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`,
    keyPem: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
  };
}

function extensions(isAuthority: boolean, addresses: readonly string[], nodes: readonly string[]): Buffer[] {
  const constraints = der(TAG.sequence, ...(isAuthority ? [Buffer.from([0x01, 0x01, 0xff])] : []));
  // [7] iPAddress, context-specific and primitive.
  // [2] dNSName as well.
  const names = [
    ...addresses.map((text) => der(0x87, text.split('.').map(Number))),
    ...nodes.map((text) => der(0x82, Buffer.from(text))),
  ];
  return [
    der(TAG.sequence, der(TAG.oid, OID.basicConstraints), der(TAG.octets, constraints)),
    ...(names.length === 0
      ? []
      : [der(TAG.sequence, der(TAG.oid, OID.alternativeName), der(TAG.octets, der(TAG.sequence, ...names)))]),
  ];
}

function distinguishedName(name: string): Buffer {
  const attribute = der(TAG.sequence, der(TAG.oid, OID.commonName), der(TAG.utf8, Buffer.from(name)));
  return der(TAG.sequence, der(TAG.set, attribute));
}

/** Tag, length, contents (X.690 section 8.1). */
function der(tag: number, ...parts: readonly (Uint8Array | readonly number[])[]): Buffer {
  const contents = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const { length } = contents;
  const header =
    length < 128 ? [tag, length] : length < 256 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from(header), contents]);
}
