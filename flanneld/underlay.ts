// Which interface and address of the node the tunnels run over. Pure: it is given what the kernel lists.
//
// Asked for by --iface (names, or addresses that the interface has), --iface-regex, --iface-can-reach, in this order; else
// the interface of the default route, else the only interface with a global address; where that leaves a choice, it is an
// error that lists the candidates. While flanneld runs, the interface that it has is kept for as long as that is there.
//
// The confusing thing: the local address is what our sockets and devices are bound to, the public address is what other
// nodes send to. Behind NAT they differ (--public-ip), and the device must keep the local one or it sends nothing.

import type { Link, LinkAddress, Route } from '../lib/kernel/kernel.ts';
import { type Address, type Family, familyOf, parseAddress } from '../lib/net/address.ts';
import { type Prefix, prefixContains } from '../lib/net/prefix.ts';

export interface Underlay {
  readonly linkIndex: number;
  readonly name: string;
  readonly mtuBytes: number;
  /** Address of the interface. */
  readonly local: Address;
  /** Address that peers are told; the local one unless --public-ip says otherwise. */
  readonly publicIp: Address;
}

export interface UnderlayWish {
  /** Names or addresses, comma-separated; empty for none. */
  readonly iface: string;
  readonly ifaceRegex?: readonly RegExp[];
  /** --iface-can-reach, and the kernel's answer to it. */
  readonly canReach?: { readonly address: Address; readonly linkIndex: number | undefined } | undefined;
  readonly publicIp?: Address | undefined;
  /** An interface with addresses only in these (bridge, tunnel device) is not taken for the underlay by itself. */
  readonly overlay: readonly Prefix[];
}

export interface NodeNetwork {
  readonly links: readonly Link[];
  readonly addresses: readonly LinkAddress[];
  /** Of the main table. */
  readonly routes: readonly Route[];
}

/** The underlay, or in one line why none can be chosen. */
export function chooseUnderlay(network: NodeNetwork, wish: UnderlayWish): Underlay | string {
  const family = wish.publicIp === undefined ? undefined : familyOf(wish.publicIp);
  const candidates = usableAddresses(network);
  const asked = byName(network, candidates, wish, family);
  if (asked !== undefined) return typeof asked === 'string' ? asked : made(asked, wish);
  const byPublicIp = candidates.find(({ address }) => address === wish.publicIp);
  if (byPublicIp !== undefined) return made(byPublicIp, wish);
  const byRoute = byDefaultRoute(network, candidates, family);
  if (byRoute !== undefined) return made(byRoute, wish);
  const outside = candidates.filter(({ address }) => !wish.overlay.some((prefix) => prefixContains(prefix, address)));
  const links = new Set(outside.map(({ link }) => link));
  const only = links.size === 1 ? best(outside, family) : undefined;
  if (only !== undefined) return made(only, wish);
  return `cannot choose the underlay interface: no default route, and ${describe(candidates)}; choose one with --iface`;
}

/** The underlay as it is now: the same interface and address where they still are, the same interface else, else by choice. */
export function followUnderlay(network: NodeNetwork, wish: UnderlayWish, now: Underlay): Underlay | string {
  const family = familyOf(now.local);
  const here = usableAddresses(network).filter(({ link }) => link.index === now.linkIndex);
  const kept = here.find(({ address }) => address === now.local) ?? best(here, family);
  return kept === undefined ? chooseUnderlay(network, wish) : made(kept, wish);
}

/** What the flags name; `undefined` where there are none, a text where nothing is as they say. */
function byName(
  network: NodeNetwork,
  candidates: readonly Candidate[],
  { iface, ifaceRegex = [], canReach }: UnderlayWish,
  family: Family | undefined,
): Candidate | string | undefined {
  const wanted = iface.split(',').filter((part) => part !== '');
  let fault: string | undefined;
  for (const part of wanted) {
    const asked = parseAddress(part);
    const link = network.links.find(({ name }) => name === part);
    const found =
      asked === undefined
        ? best(
            candidates.filter((candidate) => candidate.link === link),
            family,
          )
        : candidates.find(({ address }) => address === asked);
    if (found !== undefined) return found;
    fault ??= `--iface ${part}: ${whyNot(asked !== undefined, link !== undefined, family, candidates)}`;
  }
  for (const pattern of ifaceRegex) {
    const matching = candidates.filter(({ link, address }) => pattern.test(link.name) || pattern.test(address));
    const found = best(matching, family);
    if (found !== undefined) return found;
    fault ??= `--iface-regex ${pattern.source}: no interface has such a name or address; there are ${describe(candidates)}`;
  }
  if (canReach !== undefined) {
    const onLink = candidates.filter(({ link }) => link.index === canReach.linkIndex);
    const found = best(onLink, family ?? familyOf(canReach.address));
    if (found !== undefined) return found;
    fault ??= `--iface-can-reach ${canReach.address}: the kernel has no route to it by an interface with an address`;
  }
  return fault;
}

function whyNot(
  isAddress: boolean,
  isThere: boolean,
  family: Family | undefined,
  candidates: readonly Candidate[],
): string {
  if (isThere) return `it has no global ${familyText(family)} address`;
  const listed = describe(candidates);
  return isAddress
    ? `no interface has this address; there are ${listed}`
    : `there is no such interface; there are ${listed}`;
}

interface Candidate {
  readonly link: Link;
  readonly address: Address;
}

function usableAddresses({ links, addresses }: NodeNetwork): Candidate[] {
  const byIndex = new Map(links.map((link) => [link.index, link]));
  return addresses.flatMap(({ linkIndex, address }) => {
    const link = byIndex.get(linkIndex);
    return link?.up && isGlobal(address) ? [{ link, address }] : [];
  });
}

/** IPv4 before IPv6 where neither was asked for; the first address of an interface before its others. */
function best(candidates: readonly Candidate[], family: Family | undefined): Candidate | undefined {
  const of = (wanted: Family): Candidate | undefined => candidates.find(({ address }) => familyOf(address) === wanted);
  return family === undefined ? (of(4) ?? of(6)) : of(family);
}

function byDefaultRoute(
  { routes }: NodeNetwork,
  candidates: readonly Candidate[],
  family: Family | undefined,
): Candidate | undefined {
  const defaults = routes
    .filter(({ prefix, type }) => /^(0\.0\.0\.0|::)\/0$/.test(prefix) && type === 'unicast')
    .sort((a, b) => a.metric - b.metric);
  const onRoutes = defaults.flatMap(({ nextHops, source }) => {
    const found = candidates.filter(({ link }) => nextHops.some(({ linkIndex }) => linkIndex === link.index));
    // The address that the route itself prefers comes first.
    return [...found.filter(({ address }) => address === source), ...found];
  });
  return best(onRoutes, family);
}

function made({ link, address }: Candidate, { publicIp }: UnderlayWish): Underlay {
  return {
    linkIndex: link.index,
    name: link.name,
    mtuBytes: link.mtuBytes,
    local: address,
    publicIp: publicIp ?? address,
  };
}

function isGlobal(address: Address): boolean {
  return familyOf(address) === 4 ? !/^(127|169\.254)\./.test(address) : !/^(::1$|fe[89ab])/.test(address);
}

function familyText(family: Family | undefined): string {
  return family === undefined ? 'IP' : `IPv${family}`;
}

function describe(candidates: readonly Candidate[]): string {
  if (candidates.length === 0) return 'no interface has a global address';
  return candidates.map(({ link, address }) => `${link.name} ${address}`).join(', ');
}
