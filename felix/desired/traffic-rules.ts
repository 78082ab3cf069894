// felix's nftables table `inet gingham`, as the JSON commands that `nft -j` takes (libnftables-json(5)). Pure: from facts
// to commands; felix/traffic/ finds the facts and runs nft.
//
//   hook         chain         what it does
//   prerouting   spoofing      drops what a pod interface sends from an address that is not routed to it
//   input        tunnel        drops packets of our VXLAN network from hosts that are no VTEP of it
//   forward      forward       accepts what comes from or goes to the cluster network
//   postrouting  masquerade    pods of this node appear as the node, where they leave the cluster network
//
// The confusing thing: `accept` ends only the chain that says it. Where another table drops forwarded packets (Docker's
// does), ours cannot save them: traffic-keeper.ts names it.

import { type Address, type Family, familyOf } from '../../lib/net/address.ts';
import { type Prefix, prefix, prefixAddress, prefixFamily, prefixLength } from '../../lib/net/prefix.ts';

export const TRAFFIC_TABLE = 'gingham';

/** Priorities of the hooks (include/uapi/linux/netfilter_ipv4.h); the tunnel's is before those of other programs. */
const PRIORITY = { raw: -300, beforeFilter: -10, filter: 0, sourceNat: 100 } as const;

/** Destinations that never leave the link or have no single receiver. */
const NEVER_MASQUERADED: Readonly<Record<Family, readonly Prefix[]>> = {
  4: [prefix('224.0.0.0/4'), prefix('255.255.255.255/32')],
  6: [prefix('ff00::/8'), prefix('fe80::/10')],
};

/** Sources that a host has before it has an address, or beside it. */
const ALWAYS_OWN: Readonly<Record<Family, readonly Prefix[]>> = {
  4: [prefix('0.0.0.0/32')],
  6: [prefix('fe80::/10'), prefix('::/128')],
};

/** A VXLAN device of the kernel, and who may send to it. */
export interface Tunnel {
  readonly vni: number;
  /** UDP. */
  readonly port: number;
  readonly hosts: readonly Address[];
}

/** What the rules are made of. */
export interface TrafficFacts {
  /** The cluster's networks, at most one of each family. */
  readonly networks: readonly Prefix[];
  /** This node's subnets. */
  readonly subnets: readonly Prefix[];
  readonly masquerade: boolean;
  /** Names of the interfaces behind which pods are; `veth*` stands for all that begin so. */
  readonly podInterfaces: readonly string[];
  readonly tunnels: readonly Tunnel[];
}

type Json = unknown;
type Expression = Readonly<Record<string, Json>>;

/** The commands that make the table exactly this, in one transaction: whatever it held goes in the same moment. */
export function trafficCommands(facts: TrafficFacts): Json {
  return {
    nftables: [
      ...removeCommands(),
      { add: { table: { family: 'inet', name: TRAFFIC_TABLE } } },
      ...sets(facts),
      ...spoofing(facts),
      ...tunnels(facts),
      ...forward(facts),
      ...(facts.masquerade ? masquerade(facts) : []),
    ],
  };
}

/** The commands that remove the table, whether it is there or not. */
export function removeTrafficCommands(): Json {
  return { nftables: removeCommands() };
}

function removeCommands(): Json[] {
  const table = { family: 'inet', name: TRAFFIC_TABLE };
  return [{ add: { table } }, { delete: { table } }];
}

function sets({ networks, subnets, tunnels }: TrafficFacts): Json[] {
  const hosts = tunnels.flatMap((tunnel) => tunnel.hosts);
  return ([4, 6] as const).flatMap((family) => [
    set(`networks${family}`, family, ofFamily(networks, family).map(prefixJson), true),
    set(`subnets${family}`, family, ofFamily(subnets, family).map(prefixJson), true),
    set(
      `hosts${family}`,
      family,
      [...new Set(hosts)].filter((host) => familyOf(host) === family),
      false,
    ),
  ]);
}

function spoofing({ subnets, podInterfaces }: TrafficFacts): Json[] {
  const name = 'spoofing';
  const exact = podInterfaces.filter((pods) => !pods.endsWith('*'));
  const patterns = podInterfaces.filter((pods) => pods.endsWith('*'));
  // However many pods there are, it is one look into a set.
  const sources = [...(exact.length === 0 ? [] : ['@pods']), ...patterns];
  const rules = sources.flatMap((pods) => {
    const from = match('==', { meta: { key: 'iifname' } }, pods);
    return ([4, 6] as const)
      .filter((family) => ofFamily(subnets, family).length > 0)
      .flatMap((family) => {
        const source = field(family, 'saddr');
        return [
          ...ALWAYS_OWN[family].map((own) =>
            rule(name, [from, match('==', source, prefixJson(own)), { accept: null }]),
          ),
          rule(name, [from, match('!=', source, `@subnets${family}`), ...DROP], 'not of this node'),
          // With a route for each pod this ties every pod to its own address, not just to the subnet.
          rule(name, [from, ofProtocol(family), NOT_ROUTED_BACK, ...DROP], 'not of this interface'),
        ];
      });
  });
  return [podSet(exact), chain(name, 'filter', 'prerouting', PRIORITY.raw), ...rules];
}

function podSet(names: readonly string[]): Json {
  const elements = names.length > 0 && { elem: [...new Set(names)].sort() };
  return { add: { set: { family: 'inet', table: TRAFFIC_TABLE, name: 'pods', type: 'ifname', ...elements } } };
}

function tunnels({ tunnels: all }: TrafficFacts): Json[] {
  const name = 'tunnel';
  const rules = all.flatMap(({ vni, port }) =>
    ([4, 6] as const).map((family) =>
      rule(
        name,
        [
          match('==', { payload: { protocol: 'udp', field: 'dport' } }, port),
          // RFC 7348, section 5: the VNI is 32 bits after the UDP header (64 bits).
          match('==', { payload: { base: 'th', offset: 96, len: 24 } }, vni),
          match('!=', field(family, 'saddr'), `@hosts${family}`),
          ...DROP,
        ],
        'not a node of the cluster',
      ),
    ),
  );
  return [chain(name, 'filter', 'input', PRIORITY.beforeFilter), ...rules];
}

function forward({ networks }: TrafficFacts): Json[] {
  const name = 'forward';
  const rules = networks.flatMap((network) =>
    (['saddr', 'daddr'] as const).map((end) => {
      const family = prefixFamily(network);
      return rule(name, [match('==', field(family, end), `@networks${family}`), { counter: null }, { accept: null }]);
    }),
  );
  return [chain(name, 'filter', 'forward', PRIORITY.filter), ...rules];
}

function masquerade({ networks, subnets }: TrafficFacts): Json[] {
  const name = 'masquerade';
  const rules = ([4, 6] as const)
    .filter((family) => ofFamily(subnets, family).length > 0 && ofFamily(networks, family).length > 0)
    .map((family) =>
      rule(name, [
        match('==', field(family, 'saddr'), `@subnets${family}`),
        match('!=', field(family, 'daddr'), `@networks${family}`),
        match('!=', field(family, 'daddr'), { set: NEVER_MASQUERADED[family].map(prefixJson) }),
        { counter: null },
        { masquerade: { flags: ['fully-random'] } },
      ]),
    );
  return [chain(name, 'nat', 'postrouting', PRIORITY.sourceNat), ...rules];
}

const DROP: readonly Expression[] = [{ counter: null }, { drop: null }];
const NOT_ROUTED_BACK = match('==', { fib: { result: 'oif', flags: ['saddr', 'iif'] } }, false);

function set(name: string, family: Family, elem: readonly Json[], intervals: boolean): Json {
  return {
    add: {
      set: {
        family: 'inet',
        table: TRAFFIC_TABLE,
        name,
        type: `ipv${family}_addr`,
        ...(intervals && { flags: ['interval'] }),
        ...(elem.length > 0 && { elem }),
      },
    },
  };
}

function chain(name: string, type: 'filter' | 'nat', hook: string, prio: number): Json {
  return { add: { chain: { family: 'inet', table: TRAFFIC_TABLE, name, type, hook, prio, policy: 'accept' } } };
}

function rule(chainName: string, expr: readonly Expression[], comment?: string): Json {
  return {
    add: { rule: { family: 'inet', table: TRAFFIC_TABLE, chain: chainName, expr, ...(comment && { comment }) } },
  };
}

function match(op: '==' | '!=', left: Json, right: Json): Expression {
  return { match: { op, left, right } };
}

function field(family: Family, name: 'saddr' | 'daddr'): Json {
  return { payload: { protocol: family === 4 ? 'ip' : 'ip6', field: name } };
}

function ofProtocol(family: Family): Expression {
  return match('==', { meta: { key: 'nfproto' } }, `ipv${family}`);
}

function prefixJson(value: Prefix): Json {
  return { prefix: { addr: prefixAddress(value), len: prefixLength(value) } };
}

function ofFamily(prefixes: readonly Prefix[], family: Family): readonly Prefix[] {
  return prefixes.filter((each) => prefixFamily(each) === family);
}
