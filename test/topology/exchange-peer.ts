// A peer of a live bgpd that the test plays over gRPC, message by message: well-behaved or not, as the test likes.
// It is registered with a port on which nothing listens: it dials, bgpd cannot.

import { create } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js';
import { type Attributes, localAttributes } from '../../bgpd/rib/attributes.ts';
import { decodeMessage, encodeMessage } from '../../bgpd/session/exchange-codec.ts';
import type { Capabilities, Message } from '../../bgpd/session/message.ts';
import type { Address } from '../../lib/net/address.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import { openBidiStream } from '../../lib/rpc/service.ts';
import {
  ExchangeService,
  type Message as MessageProto,
  type SessionRequest,
  SessionRequestSchema,
  type SessionResponse,
} from '../../proto/gen/gingham/exchange/v1/exchange_pb.ts';
import { eventually } from '../eventually.ts';
import { type BgpdCluster, type BgpdNode, nodeAddress } from './bgpd-cluster.ts';

const PATIENCE = { timeoutMs: 15_000, intervalMs: 2 };

export class ExchangePeer {
  readonly #client: Client;
  readonly #call: ClientDuplexStream<SessionRequest, SessionResponse>;
  readonly #number: number;
  readonly #address: Address;
  /** Bodies of the messages that came. */
  readonly got: MessageProto['body'][] = [];
  ended = false;

  /** Dials the bgpd node 127.0.0.2 as node `number`. */
  constructor(port: number, number: number) {
    this.#number = number;
    this.#address = nodeAddress(number);
    this.#client = new Client(`ipv4:127.0.0.2:${port}`, credentials.createInsecure());
    this.#call = openBidiStream(this.#client, ExchangeService, 'session');
    this.#call.on('data', ({ messages }: SessionResponse) => this.got.push(...messages.map(({ body }) => body)));
    this.#call.on('error', () => undefined);
    this.#call.on('end', () => {
      this.ended = true;
    });
  }

  /** Registers node `number`; gives the port of `bgpd` once it knows of it. */
  static async register({ etcd }: BgpdCluster, bgpd: BgpdNode, number: number): Promise<number> {
    const at = nodeAddress(number);
    const record = { name: `node${number}`, address: at, port: 1, asn: 64_512, routerId: at };
    await etcd.ctl('put', `/gingham/nodes/node${number}`, JSON.stringify(record));
    return await eventually(
      'bgpd listens and knows the peer',
      async () => {
        const status = JSON.parse(await bgpd.http('/status')) as { port?: number; peers?: { node: string }[] };
        return status.peers?.some(({ node }) => node === `node${number}`) === true ? status.port : undefined;
      },
      { timeoutMs: 30_000, intervalMs: 20 },
    );
  }

  /** What came, as values. */
  get messages(): readonly Message[] {
    return this.got.flatMap((body) => {
      const decoded = decodeMessage({ $typeName: 'gingham.exchange.v1.Message', body });
      return 'message' in decoded ? [decoded.message] : [];
    });
  }

  sendRaw(message: MessageProto): void {
    this.#call.write(create(SessionRequestSchema, { messages: [message] }));
  }

  send(message: Message): void {
    this.sendRaw(encodeMessage(message));
  }

  /** OPEN and KEEPALIVE both ways. */
  async establish(more: Partial<Capabilities> = {}): Promise<void> {
    const capabilities = { families: [4, 6], routeRefresh: true, ...more } as const;
    const id = { routerId: this.#address, node: `node${this.#number}` };
    this.send({ type: 'open', open: { version: 1, asn: 64_512, holdTimeSeconds: 0, ...id, capabilities } });
    await eventually('bgpd has confirmed', () => this.got.some(({ case: type }) => type === 'keepalive'), PATIENCE);
    this.send({ type: 'keepalive' });
  }

  /** Announces with this peer as next hop. */
  announce(prefixes: readonly Prefix[], more: Partial<Attributes> = {}): void {
    const attributes = { ...localAttributes(this.#address), localPref: 100, ...more };
    this.send({ type: 'update', update: { family: 4, withdrawn: [], announced: prefixes, attributes } });
  }

  close(): void {
    this.#call.cancel();
    this.#client.close();
  }
}
