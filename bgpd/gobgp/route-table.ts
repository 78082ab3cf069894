// The tables of the GoBGP API: every candidate (GLOBAL), what one neighbour gave (ADJ_IN) and what it is told (ADJ_OUT).
//
// A listing is of the prefixes that were there at its beginning, each as it is when its turn comes. It is made in slices and
// no faster than it is read: however long the table, keepalives are sent in between.

import { setImmediate as turn } from 'node:timers/promises';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Family } from '../../lib/net/address.ts';
import type { Prefix } from '../../lib/net/prefix.ts';
import {
  type Destination,
  DestinationSchema,
  type GetTableRequest,
  type GetTableResponse,
  GetTableResponseSchema,
  type ListPathRequest,
  ListPathRequest_SortType,
  type Path as PathMessage,
  PathSchema,
  TableType,
} from '../../proto/gen/apipb/gobgp_pb.ts';
import type { Attributes } from '../rib/attributes.ts';
import type { Verdict } from '../rib/decision.ts';
import type { Path } from '../rib/path.ts';
import { AttributePacker, packPrefix } from './attribute-codec.ts';
import { familyMessage, readFamily } from './family.ts';
import type { PathAges } from './path-ages.ts';
import { onePeer, type PeerSource, timestamp } from './peer-message.ts';
import { lookUp, SLICE, sortPrefixes } from './prefix-order.ts';
import { Refusal } from './refusal.ts';

/** One of the tables, of one family. */
interface Table {
  readonly family: Family;
  readonly size: number;
  readonly pathCount: number;
  prefixes(): Iterable<Prefix>;
  has(prefix: Prefix): boolean;
  /** None where the prefix is gone meanwhile. */
  paths(prefix: Prefix): readonly PathMessage[];
}

export class RouteTables {
  readonly #node: PeerSource;
  readonly #ages: PathAges;
  readonly #packer = new AttributePacker();

  constructor(node: PeerSource, ages: PathAges) {
    this.#node = node;
    this.#ages = ages;
  }

  /** What a request names, in the order that it asks for. Throws `Refusal`. */
  async *list(request: ListPathRequest): AsyncGenerator<Destination> {
    if (request.enableOnlyBinary) {
      throw new Refusal('UNIMPLEMENTED', 'bgpd has no routes in the bytes of RFC 4271: ask without enable_only_binary');
    }
    const table = this.#table(request);
    const found = await lookUp(request.prefixes, table.prefixes(), (prefix) => table.has(prefix));
    const sorted = request.sortType === ListPathRequest_SortType.PREFIX ? await sortPrefixes(found) : found;
    for (const [i, prefix] of sorted.entries()) {
      if (i % SLICE === SLICE - 1) await turn();
      const paths = table.paths(prefix);
      if (paths.length > 0) yield create(DestinationSchema, { prefix, paths: [...paths] });
    }
  }

  summary(request: GetTableRequest): GetTableResponse {
    const { size, pathCount } = this.#table(request);
    const accepted = request.tableType === TableType.ADJ_IN ? pathCount : 0;
    return create(GetTableResponseSchema, {
      numDestination: BigInt(size),
      numPath: BigInt(pathCount),
      numAccepted: BigInt(accepted),
    });
  }

  /** One path as a message; `verdict`: how it did in the decision, where it took part in one. */
  message(prefix: Prefix, path: Path, verdict: { readonly best: boolean; readonly reachable: boolean }): PathMessage {
    const { source, attributes } = path;
    const { open } = this.#node.speaker;
    const from =
      source.kind === 'local'
        ? { sourceAsn: open.asn }
        : {
            sourceAsn: source.kind === 'ibgp' ? open.asn : (attributes.asPath[0] ?? 0),
            sourceId: source.routerId,
            neighborIp: source.address,
            isFromExternal: source.kind === 'ebgp',
            stale: source.stale,
          };
    return this.#path(prefix, attributes, {
      ...from,
      age: timestamp(this.#ages.since(path)),
      best: verdict.best,
      isNexthopInvalid: !verdict.reachable,
    });
  }

  #path(prefix: Prefix, attributes: Attributes, more: MessageInitShape<typeof PathSchema>): PathMessage {
    const nlri = packPrefix(prefix);
    const pattrs = this.#packer.pack(attributes, prefix, nlri);
    const family = familyMessage(prefix.includes(':') ? 6 : 4);
    // Without paths of several identifiers (RFC 7911) the one there is has the number 1 in both directions.
    return create(PathSchema, { nlri, pattrs, family, localIdentifier: 1, ...more });
  }

  #table({ tableType, family: wanted, name }: Pick<ListPathRequest, 'tableType' | 'family' | 'name'>): Table {
    const family = readFamily(wanted);
    switch (tableType) {
      case TableType.GLOBAL:
        return this.#global(family);
      case TableType.ADJ_IN:
        return this.#adjIn(family, onePeer(this.#node, name).record.name);
      case TableType.ADJ_OUT:
        return this.#adjOut(family, onePeer(this.#node, name).record.name);
      case TableType.LOCAL:
        throw new Refusal('UNIMPLEMENTED', 'there is one table for all neighbors: gobgp global rib');
      default:
        throw new Refusal('UNIMPLEMENTED', `table ${tableType}: bgpd has the global one, adj-in and adj-out`);
    }
  }

  #global(family: Family): Table {
    const { rib } = this.#node;
    const table = rib.table(family);
    return {
      family,
      size: table.size,
      pathCount: table.pathCount,
      prefixes: () => table.prefixes(),
      has: (prefix) => table.list(prefix) !== undefined,
      paths: (prefix) =>
        rib.explain(prefix)?.verdicts.map((verdict) => this.message(prefix, verdict.path, judged(verdict))) ?? [],
    };
  }

  #adjIn(family: Family, name: string): Table {
    const { rib } = this.#node;
    const table = rib.table(family);
    const has = (prefix: Prefix): boolean =>
      table.list(prefix)?.paths.some((path) => path.source.peer === name) ?? false;
    const size = table.count(name);
    return {
      family,
      size,
      pathCount: size,
      prefixes: () => (size === 0 ? [] : table.prefixes()),
      has,
      paths: (prefix) => {
        const verdicts = has(prefix) ? (rib.explain(prefix)?.verdicts ?? []) : [];
        const own = verdicts.filter(({ path }) => path.source.peer === name);
        return own.map((verdict) => this.message(prefix, verdict.path, judged(verdict)));
      },
    };
  }

  #adjOut(family: Family, name: string): Table {
    const out = this.#node.rib.adjOut(name, family);
    const told = (prefix: Prefix): Attributes | undefined => out?.announced(prefix, name);
    return {
      family,
      size: out?.size ?? 0,
      pathCount: out?.size ?? 0,
      prefixes: () => out?.prefixes() ?? [],
      has: (prefix) => told(prefix) !== undefined,
      paths: (prefix) => {
        const attributes = told(prefix);
        return attributes === undefined ? [] : [this.#path(prefix, attributes, { best: true })];
      },
    };
  }
}

function judged({ lostAt }: Verdict): { readonly best: boolean; readonly reachable: boolean } {
  return { best: lostAt === undefined, reachable: lostAt !== 'next hop reachable' };
}
