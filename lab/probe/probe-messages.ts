// What the lab tells a probe process and what it hears from it, as JSON lines over its standard streams.
//
//   in    ProbeOrder, then "quiet" (send no more), then "stop" (tell all and end)
//   out   {"ready"}, {"live"} four times a second, {"report"} at the end
//
// Stamps are microseconds of CLOCK_MONOTONIC. Long lists are base64 of little-endian arrays: a run has 10^5 packets.

import { z } from 'zod';

export const UDP_PORT = 7447;
export const TCP_PORT = 7448;

const flow = z.strictObject({
  /** Unique in the cluster: the receiver knows the flow by it alone. */
  id: z.int().min(0).max(65_535),
  to: z.string(),
  intervalUs: z.int().min(500),
});

/** First line of a probe's input. */
export const probeOrderSchema = z.strictObject({ udp: z.array(flow), tcp: z.array(flow) });
export type ProbeOrder = Readonly<z.infer<typeof probeOrderSchema>>;
export type ProbeFlow = ProbeOrder['udp'][number];

const sentFlow = z.strictObject({
  id: z.int(),
  /** Float64: when packet 0, 1, 2, ... was sent. */
  sentUs: z.string(),
  refused: z.int(),
  ticks: z.int(),
  lateTicks: z.int(),
  worstLateUs: z.number(),
});

const tcpHeard = z.strictObject({
  id: z.int(),
  records: z.int(),
  longestGapUs: z.number(),
  gapStartUs: z.number().nullable(),
  connections: z.int(),
});

const report = z.strictObject({
  sent: z.array(sentFlow),
  /** One entry a packet in order of arrival: flow (Uint16), number (Uint32), when (Float64), TTL (Uint8). */
  heard: z.strictObject({ flow: z.string(), seq: z.string(), atUs: z.string(), ttl: z.string() }),
  /** Packets that found no room in the lists. */
  unrecorded: z.int(),
  tcp: z.array(tcpHeard),
  cpuUs: z.number(),
});
export type ProbeReport = Readonly<z.infer<typeof report>>;
export type SentFlow = ProbeReport['sent'][number];
export type TcpHeard = ProbeReport['tcp'][number];

export const probeLineSchema = z.union([
  z.strictObject({ ready: z.literal(true) }),
  z.strictObject({ live: z.strictObject({ sent: z.int(), heard: z.int() }) }),
  z.strictObject({ report }),
]);
