// Many light peers in one process: each a session with one reflector, some routes announced, all that comes counted.
//
//   rib-swarm.js <address:port> <peers> <routes each> <prefixes each waits for>
//
// It prints "established <n>" as sessions come up and "complete" once every peer has got what it waits for. It keeps no
// routes: prefixes are counted by their bytes, for all are /24 (four bytes each).

import { fromBinary } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js';
import { localAttributes } from '../../bgpd/rib/attributes.ts';
import { encodeFrames } from '../../bgpd/session/exchange-codec.ts';
import type { Message } from '../../bgpd/session/message.ts';
import { address, addressFromInteger } from '../../lib/net/address.ts';
import { prefix } from '../../lib/net/prefix.ts';
import { CHANNEL_OPTIONS } from '../../lib/rpc/service.ts';
import { ExchangeService, SessionResponseSchema } from '../../proto/gen/gingham/exchange/v1/exchange_pb.ts';

/** Peers that have dialled and are not established yet, at a time. */
const DIALLING_MAX = 64;
const KEEPALIVE_MS = 20_000;
const HOLD_SECONDS = 90;
const NLRI_BYTES = 4;
const OWN_ADDRESS = address('192.0.2.2');

const [target = '', ...counts] = process.argv.slice(2);
const [peerCount = 0, routeCount = 0, awaited = 0] = counts.map(Number);
let next = 0;
let established = 0;
let complete = 0;

for (let i = 0; i < DIALLING_MAX; i++) startNext();

function startNext(): void {
  if (next < peerCount) startPeer(next++);
}

function startPeer(index: number): void {
  const client = new Client(`ipv4:${target}`, credentials.createInsecure(), CHANNEL_OPTIONS);
  const call = openRawStream(client);
  const capabilities = { families: [4], routeRefresh: true } as const;
  const routerId = addressFromInteger(4, BigInt(0x0a_80_00_01 + index)) ?? OWN_ADDRESS;
  const send = (...messages: readonly Message[]): void => {
    for (const frame of encodeFrames(messages)) call.write(frame);
  };
  let prefixes = 0;
  let isUp = false;
  let isDone = false;
  call.on('error', (error) => {
    process.stderr.write(`peer ${index}: ${error.message}\n`);
    process.exit(1);
  });
  call.on('data', (frame: Buffer) => {
    // A peer that waits for no prefixes does not read what they are.
    if (isUp && awaited === 0) return;
    for (const { body } of fromBinary(SessionResponseSchema, frame).messages) {
      if (body.case === 'notification') process.stderr.write(`peer ${index}: ${body.value.text}\n`);
      if (body.case === 'keepalive' && !isUp) {
        isUp = true;
        cameUp();
        send({ type: 'keepalive' }, ...announcement(index));
        setInterval(() => send({ type: 'keepalive' }), KEEPALIVE_MS);
      }
      if (body.case === 'update') prefixes += body.value.announced.length / NLRI_BYTES;
    }
    if (prefixes < awaited || isDone || !isUp) return;
    isDone = true;
    if (++complete === peerCount) process.stdout.write('complete\n');
  });
  send({
    type: 'open',
    open: { version: 1, asn: 64_512, holdTimeSeconds: HOLD_SECONDS, routerId, node: `light${index}`, capabilities },
  });
}

function cameUp(): void {
  established++;
  if (established % 100 === 0 || established === peerCount) process.stdout.write(`established ${established}\n`);
  startNext();
}

/** A session as bytes: a light peer decodes no more than it has to. */
function openRawStream(client: Client): ClientDuplexStream<Buffer, Buffer> {
  const { typeName, method } = ExchangeService;
  const asItIs = (bytes: Buffer): Buffer => bytes;
  return client.makeBidiStreamRequest(`/${typeName}/${method.session.name}`, asItIs, asItIs);
}

function announcement(index: number): readonly Message[] {
  const first = index * routeCount;
  const announced = Array.from({ length: routeCount }, (_, i) => {
    const n = first + i;
    return prefix(`${20 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}.0/24`);
  });
  const attributes = { ...localAttributes(OWN_ADDRESS), localPref: 100 };
  return [
    { type: 'update', update: { family: 4, withdrawn: [], announced, attributes } },
    { type: 'end-of-rib', family: 4 },
  ];
}
