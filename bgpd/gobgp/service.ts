// The calls of the GoBGP API over one node: what each does to the speaker and the RIB, or shows of them.
//
// A neighbour is named by its address or by its node's name. What an operator does here lasts as long as this run of bgpd.

import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { type Empty, EmptySchema } from '@bufbuild/protobuf/wkt';
import type { Prefix } from '../../lib/net/prefix.ts';
import { prefixFamily } from '../../lib/net/prefix.ts';
import {
  type AddPathRequest,
  type AddPathResponse,
  AddPathResponseSchema,
  type DeletePathRequest,
  type DisablePeerRequest,
  Family_Afi,
  type GetBgpResponse,
  GetBgpResponseSchema,
  type ResetPeerRequest,
  ResetPeerRequest_SoftResetDirection,
  TableType,
  type WatchEventRequest,
  WatchEventRequest_Table_Filter_Type,
  type WatchEventResponse,
  WatchEventResponseSchema,
} from '../../proto/gen/apipb/gobgp_pb.ts';
import type { BgpdConfig } from '../config.ts';
import type { Node } from '../node.ts';
import type { Member } from '../peer-set.ts';
import type { RibChange } from '../rib/loc-rib.ts';
import { notification } from '../session/notification.ts';
import { readAttributes, readPrefix } from './attribute-codec.ts';
import type { StreamContext } from './calls.ts';
import { readFamily } from './family.ts';
import type { PathAges } from './path-ages.ts';
import { onePeer } from './peer-message.ts';
import { Refusal } from './refusal.ts';
import { RouteTables } from './route-table.ts';
import { type BestChange, RouteWatch } from './route-watch.ts';

/** Prefixes of what is there already, looked at between two turns of the event loop. */
const INIT_SLICE = 64;

const UUID_BYTES = 16;

const DONE: Empty = create(EmptySchema);

export interface ServiceOptions {
  readonly config: Pick<BgpdConfig, 'asn' | 'listenAddress' | 'maximumPaths'>;
  readonly node: Node;
  readonly ages: PathAges;
  /** A watcher came (1), went (-1), or was ended because it read too slowly. */
  readonly onWatcher: (change: 1 | -1 | 'lagged') => void;
  /** Changes that may wait for one watcher. */
  readonly watchQueueLimit: number | undefined;
}

export class GobgpService {
  readonly #options: ServiceOptions;
  readonly tables: RouteTables;
  readonly #watches = new Set<RouteWatch>();
  /** What was answered to those who added a path. */
  readonly #uuids = new Map<string, Prefix>();

  constructor(options: ServiceOptions) {
    this.#options = options;
    this.tables = new RouteTables(options.node, options.ages);
  }

  /** Follows the Loc-RIB. */
  changed(changes: readonly RibChange[]): void {
    for (const watch of this.#watches) watch.push(changes);
  }

  getBgp(): GetBgpResponse {
    const { config, node } = this.#options;
    const { gracefulRestart } = node.speaker.open.capabilities;
    return create(GetBgpResponseSchema, {
      global: {
        asn: config.asn,
        routerId: node.routerId,
        listenPort: node.port,
        listenAddresses: [config.listenAddress ?? node.address],
        useMultiplePaths: config.maximumPaths > 1,
        ...(gracefulRestart !== undefined && {
          gracefulRestart: {
            enabled: true,
            restartTime: gracefulRestart.restartTimeSeconds,
            notificationEnabled: true,
          },
        }),
      },
    });
  }

  addPath({ tableType, path, vrfId }: AddPathRequest): AddPathResponse {
    const { node, config } = this.#options;
    if (tableType !== TableType.GLOBAL || vrfId !== '')
      throw new Refusal('UNIMPLEMENTED', 'paths are added to the global table only');
    if (path === undefined) throw new Refusal('INVALID_ARGUMENT', 'path: there is none');
    if (path.identifier > 1)
      throw new Refusal('UNIMPLEMENTED', `identifier ${path.identifier}: a prefix has one path of this node`);
    const prefix = readPrefix(path.nlri);
    const family = readFamily(path.family);
    if (family !== prefixFamily(prefix))
      throw new Refusal('INVALID_ARGUMENT', `nlri: ${prefix} is not of the family ipv${family}`);
    const why = node.staticRoutes.add(prefix, readAttributes(path.pattrs, config.asn));
    if (why !== undefined) throw new Refusal('FAILED_PRECONDITION', why);
    const uuid = randomBytes(UUID_BYTES);
    for (const [key, of] of this.#uuids) if (of === prefix) this.#uuids.delete(key);
    this.#uuids.set(uuid.toString('hex'), prefix);
    return create(AddPathResponseSchema, { uuid });
  }

  deletePath({ tableType, vrfId, path, uuid, family }: DeletePathRequest): Empty {
    if (tableType !== TableType.GLOBAL || vrfId !== '')
      throw new Refusal('UNIMPLEMENTED', 'paths are deleted from the global table only');
    const { staticRoutes, rib } = this.#options.node;
    if (uuid.length > 0) {
      const prefix = this.#uuids.get(Buffer.from(uuid).toString('hex'));
      if (prefix === undefined) throw new Refusal('NOT_FOUND', 'uuid: nothing was added that has it');
      staticRoutes.remove([prefix]);
    } else if (path !== undefined) {
      const prefix = readPrefix(path.nlri);
      const isLocal = rib
        .table(prefixFamily(prefix))
        .list(prefix)
        ?.paths.some(({ source }) => source.kind === 'local');
      if (isLocal && !staticRoutes.added.has(prefix)) {
        throw new Refusal(
          'FAILED_PRECONDITION',
          `${prefix} starts here, but it was not added here: a subnet of this node, or of the file`,
        );
      }
      staticRoutes.remove([prefix]);
    } else {
      const all = family === undefined || family.afi === Family_Afi.UNKNOWN;
      const wanted = readFamily(family);
      staticRoutes.remove([...staticRoutes.added.keys()].filter((each) => all || prefixFamily(each) === wanted));
    }
    for (const [key, prefix] of this.#uuids) if (!staticRoutes.added.has(prefix)) this.#uuids.delete(key);
    return DONE;
  }

  disablePeer({ address, communication }: Pick<DisablePeerRequest, 'address' | 'communication'>): Empty {
    const why = notification('administrativeShutdown', communication);
    for (const { record } of this.#targets(address)) this.#options.node.speaker.peers.disable(record.name, why);
    return DONE;
  }

  enablePeer(address: string): Empty {
    for (const { record } of this.#targets(address)) this.#options.node.speaker.peers.enable(record.name);
    return DONE;
  }

  resetPeer({ address, communication, soft, direction }: ResetPeerRequest): Empty {
    const { speaker } = this.#options.node;
    for (const { record, peer } of this.#targets(address)) {
      if (!soft) {
        peer.reset(notification('administrativeReset', communication));
        continue;
      }
      if (!peer.established)
        throw new Refusal('FAILED_PRECONDITION', `the session with ${record.name} is not established`);
      const { IN, OUT } = ResetPeerRequest_SoftResetDirection;
      if (direction !== OUT && !speaker.askAgain(record.name)) {
        throw new Refusal('FAILED_PRECONDITION', `${record.name} did not offer route refresh (RFC 2918)`);
      }
      if (direction !== IN) speaker.tellAgain(record.name);
    }
    return DONE;
  }

  /** Best paths as they change, after those that are there where the filter asks for them. */
  async *watchEvent(request: WatchEventRequest, { signal, fail }: StreamContext): AsyncGenerator<WatchEventResponse> {
    const filters = request.table?.filters ?? [];
    const isBest = filters.every(({ type }) => type === WatchEventRequest_Table_Filter_Type.BEST);
    if (request.peer !== undefined || filters.length === 0 || !isBest) {
      throw new Refusal('UNIMPLEMENTED', 'only best paths are watched: gobgp monitor global rib');
    }
    const { onWatcher, watchQueueLimit } = this.#options;
    const lagged = (limit: number): void => {
      onWatcher('lagged');
      fail(
        new Refusal('RESOURCE_EXHAUSTED', `${limit} changes waited: the watcher reads too slowly and must begin anew`),
      );
    };
    const watch = new RouteWatch(lagged, watchQueueLimit);
    this.#watches.add(watch);
    onWatcher(1);
    try {
      if (filters.some(({ init }) => init)) yield* this.#present(signal);
      for await (const batch of watch.batches(signal)) yield this.#event(batch);
    } finally {
      this.#watches.delete(watch);
      onWatcher(-1);
    }
  }

  async *#present(signal: AbortSignal): AsyncGenerator<WatchEventResponse> {
    const { rib } = this.#options.node;
    const prefixes = [...rib.prefixes()];
    for (let at = 0; at < prefixes.length && !signal.aborted; at += INIT_SLICE) {
      const batch = prefixes.slice(at, at + INIT_SLICE).flatMap((prefix) => {
        const path = rib.table(prefixFamily(prefix)).list(prefix)?.decision.best;
        return path === undefined ? [] : [{ prefix, path, isWithdrawn: false }];
      });
      if (batch.length > 0) yield this.#event(batch);
      await turn();
    }
  }

  #event(batch: readonly BestChange[]): WatchEventResponse {
    const paths = batch.map(({ prefix, path, isWithdrawn }) => {
      const message = this.tables.message(prefix, path, { best: !isWithdrawn, reachable: true });
      message.isWithdraw = isWithdrawn;
      return message;
    });
    return create(WatchEventResponseSchema, { event: { case: 'table', value: { paths } } });
  }

  /** The one neighbour that is named, or each with `all`. */
  #targets(address: string): readonly Member[] {
    const { node } = this.#options;
    return address === 'all' ? [...node.speaker.peers.members.values()] : [onePeer(node, address)];
  }
}
