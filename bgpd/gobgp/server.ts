// Serves the GoBGP API (proto/apipb) where `--gobgp-address` says: wires the calls to the node, and listens.
//
// The confusing thing: a port that is taken does not stop bgpd, for routes matter more than this window on them. It is said
// once, shown in /status, and tried again until it works: a former bgpd or a real gobgpd may be gone soon.

import { create } from '@bufbuild/protobuf';
import { type Server as GrpcServer, Server, ServerCredentials } from '@grpc/grpc-js';
import { addService, CHANNEL_OPTIONS, type Handlers } from '../../lib/rpc/service.ts';
import { shutDown } from '../../lib/rpc/unix-socket.ts';
import { type Clock, pause } from '../../lib/run/clock.ts';
import { errorText } from '../../lib/run/exit.ts';
import type { Logger } from '../../lib/run/log.ts';
import type { Metrics } from '../../lib/run/status-server.ts';
import {
  GobgpApi,
  ListDefinedSetResponseSchema,
  ListPathResponseSchema,
  ListPeerResponseSchema,
  ListPolicyAssignmentResponseSchema,
  ListPolicyResponseSchema,
  ListStatementResponseSchema,
  PolicyDirection,
} from '../../proto/gen/apipb/gobgp_pb.ts';
import type { BgpdConfig } from '../config.ts';
import type { Node } from '../node.ts';
import { type ApiAddress, apiAddressText, isLocalOnly } from './api-address.ts';
import { Calls } from './calls.ts';
import { PathAges } from './path-ages.ts';
import { findPeers, onePeer, peerMessage } from './peer-message.ts';
import { assignment, policyMessages, setMessages, statementMessages } from './policy-messages.ts';
import { Refusal } from './refusal.ts';
import { GobgpService } from './service.ts';
import { refuseUnserved } from './unserved.ts';

/** Between two attempts to listen. */
const RETRY_MS = 5_000;

export interface GobgpServerOptions {
  /** `undefined`: off. */
  readonly address: ApiAddress | undefined;
  readonly config: BgpdConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Changes that may wait for one watcher; absent: the default. */
  readonly watchQueueLimit?: number;
}

/** For `/status`. */
export interface GobgpServerStatus {
  readonly state: 'off' | 'serving' | 'cannot listen' | 'starting';
  readonly address?: string;
  readonly detail?: string;
}

export class GobgpServer {
  readonly #options: GobgpServerOptions;
  readonly #calls: Calls;
  readonly #stopped = new AbortController();
  #service: { readonly service: GobgpService; readonly node: Node } | undefined;
  #status: GobgpServerStatus;
  #close: () => Promise<void> = async () => undefined;
  #listening: Promise<void> = Promise.resolve();

  constructor(options: GobgpServerOptions) {
    const { address, log } = options;
    this.#options = options;
    this.#calls = new Calls(log);
    this.#status = address === undefined ? { state: 'off' } : { state: 'starting', address: apiAddressText(address) };
  }

  status(): GobgpServerStatus {
    return this.#status;
  }

  /** The node is there: calls are answered from now on. */
  attach(node: Node): void {
    const { address, clock, config, metrics, watchQueueLimit } = this.#options;
    if (address === undefined) return;
    const watchers = metrics.gauge('gobgp_watchers', 'Watchers of the GoBGP API that are connected');
    const overflows = metrics.counter('gobgp_overflows_total', 'Watchers ended because they read too slowly');
    const ages = new PathAges(clock);
    const service = new GobgpService({
      config,
      node,
      ages,
      watchQueueLimit,
      onWatcher(change) {
        if (change === 'lagged') overflows.inc();
        else watchers.inc(change);
      },
    });
    node.rib.onChange = (changes) => {
      ages.observe(changes);
      service.changed(changes);
    };
    this.#service = { service, node };
  }

  start(): void {
    const { address, log } = this.#options;
    if (address === undefined) return;
    if (!isLocalOnly(address)) {
      log.warn(
        { address: apiAddressText(address) },
        'the GoBGP API has no passwords: whoever reaches it may change routes',
      );
    }
    this.#listening = this.#listen(address);
  }

  async close(): Promise<void> {
    this.#stopped.abort();
    this.#calls.end(new Refusal('UNAVAILABLE', 'bgpd stops'));
    await this.#listening;
    await this.#close();
  }

  async #listen(address: ApiAddress): Promise<void> {
    const { clock, log } = this.#options;
    const where = apiAddressText(address);
    while (!this.#stopped.signal.aborted) {
      const server = new Server(CHANNEL_OPTIONS);
      addService(server, GobgpApi, this.#handlers());
      refuseUnserved(server, GobgpApi.typeName);
      try {
        const port = await bind(server, address);
        this.#close = () => shutDown(server);
        this.#status = { state: 'serving', address: apiAddressText({ ...address, port }) };
        log.info({ address: this.#status.address }, 'serving the GoBGP API');
        return;
      } catch (error) {
        const detail = errorText(error);
        if (this.#status.state !== 'cannot listen') {
          log.warn(
            { address: where, reason: detail },
            'no GoBGP API (--gobgp-address): bgpd runs without and tries again',
          );
        }
        this.#status = { state: 'cannot listen', address: where, detail };
        server.forceShutdown();
        await pause(clock, RETRY_MS, this.#stopped.signal);
      }
    }
  }

  #handlers(): Handlers<typeof GobgpApi> {
    const calls = this.#calls;
    const node = (): Node => this.#ready().node;
    const service = (): GobgpService => this.#ready().service;
    return {
      getBgp: calls.unary(() => service().getBgp()),
      watchEvent: calls.stream((request, context) => service().watchEvent(request, context)),
      listPeer: calls.stream(({ address }) =>
        findPeers(node(), address).map((member) =>
          create(ListPeerResponseSchema, { peer: peerMessage(node(), member) }),
        ),
      ),
      resetPeer: calls.unary((request) => service().resetPeer(request)),
      // To gobgpd a moment's interruption, and deprecated there: what its words say is what `disable` does.
      shutdownPeer: calls.unary((request) => service().disablePeer(request)),
      disablePeer: calls.unary((request) => service().disablePeer(request)),
      enablePeer: calls.unary(({ address }) => service().enablePeer(address)),
      addPath: calls.unary((request) => service().addPath(request)),
      deletePath: calls.unary((request) => service().deletePath(request)),
      listPath: calls.stream(async function* (request) {
        for await (const destination of service().tables.list(request)) {
          yield create(ListPathResponseSchema, { destination });
        }
      }),
      getTable: calls.unary((request) => service().tables.summary(request)),
      listPolicy: calls.stream(({ name }) =>
        policyMessages(node().peering, name).map((policy) => create(ListPolicyResponseSchema, { policy })),
      ),
      listStatement: calls.stream(({ name }) =>
        statementMessages(node().peering, name).map((statement) => create(ListStatementResponseSchema, { statement })),
      ),
      listDefinedSet: calls.stream(({ definedType, name }) =>
        setMessages(node().peering, definedType, name).map((definedSet) =>
          create(ListDefinedSetResponseSchema, { definedSet }),
        ),
      ),
      listPolicyAssignment: calls.stream(({ name, direction }) =>
        this.#assignments(name, direction).map((each) =>
          create(ListPolicyAssignmentResponseSchema, { assignment: each }),
        ),
      ),
    };
  }

  /** `global` stands for the group of the peers that name none. */
  #assignments(name: string, direction: PolicyDirection) {
    const { node } = this.#ready();
    const group = name === 'global' || name === '' ? '' : (onePeer(node, name).record.group ?? '');
    const { UNKNOWN, IMPORT, EXPORT } = PolicyDirection;
    return [IMPORT, EXPORT]
      .filter((each) => direction === UNKNOWN || direction === each)
      .map((each) => assignment(node.peering, group, name || 'global', each));
  }

  #ready(): { readonly service: GobgpService; readonly node: Node } {
    if (this.#service === undefined) throw new Refusal('UNAVAILABLE', 'this node has no address yet');
    return this.#service;
  }
}

/** Gives the port. */
function bind(server: GrpcServer, address: ApiAddress): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(apiAddressText(address), ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}
