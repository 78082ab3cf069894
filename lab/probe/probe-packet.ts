// The probe's packet: a UDP header made by hand, for it leaves through a raw socket, and a number.
//
//      0        2        4        6        8        12       14       16       20       28
//      | source | dest   | length | sum 0  | 'GHPR' | flow   | 0      | seq    | sentUs |
//
// Pure. A raw socket gives whole packets, so that the receiver sees the TTL too. UDP checksum 0 means none (RFC 768).

export const PACKET_LENGTH = 28;
const MAGIC = 0x47485052;
const UDP_HEADER = { source: 0, destination: 2, length: 4 } as const;
const AT = { magic: 8, flow: 12, seq: 16, sentUs: 20 } as const;
const PROTOCOL_UDP = 17;
const IP_TTL = 8;
const IP_PROTOCOL = 9;

export interface HeardPacket {
  readonly flow: number;
  readonly seq: number;
  readonly sentUs: number;
  readonly ttl: number;
}

/** Writes a packet into `view`, which has room for `PACKET_LENGTH` bytes. */
export function encodePacket(view: DataView, port: number, flow: number, seq: number, sentUs: number): void {
  view.setUint16(UDP_HEADER.source, port);
  view.setUint16(UDP_HEADER.destination, port);
  view.setUint16(UDP_HEADER.length, PACKET_LENGTH);
  view.setUint32(AT.magic, MAGIC);
  view.setUint16(AT.flow, flow);
  view.setUint32(AT.seq, seq);
  view.setFloat64(AT.sentUs, sentUs);
}

/** Reads the first `length` bytes, an IPv4 packet; `undefined` for anything that is no probe packet to this port. */
export function decodePacket(view: DataView, length: number, port: number): HeardPacket | undefined {
  if (length < 20 || view.getUint8(IP_PROTOCOL) !== PROTOCOL_UDP) return undefined;
  const start = (view.getUint8(0) & 15) * 4;
  if (length < start + PACKET_LENGTH || view.getUint16(start + UDP_HEADER.destination) !== port) return undefined;
  if (view.getUint32(start + AT.magic) !== MAGIC) return undefined;
  return {
    flow: view.getUint16(start + AT.flow),
    seq: view.getUint32(start + AT.seq),
    sentUs: view.getFloat64(start + AT.sentUs),
    ttl: view.getUint8(IP_TTL),
  };
}
