// The result of an ADD: interfaces, addresses, routes and DNS, in the form of each version of the specification; and the
// result of the plugins before, which comes with the network configuration (prevResult).
//
// The confusing thing: an address refers to its interface by its place in the list of interfaces, so that two results
// are joined by moving those numbers.

import { familyOf, parseAddress } from '../lib/net/address.ts';
import { type Fields, readList, readObject, refuseField } from './conf-fields.ts';
import { type Dns, type PodRoute, readDns, readRoutes } from './conf-routes.ts';
import { isSince, type SpecVersion } from './spec-version.ts';

export interface ResultInterface {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
  /** Path of the network namespace; absent for one of the host. */
  readonly sandbox?: string;
}

export interface ResultAddress {
  /** With its prefix length. */
  readonly address: string;
  readonly gateway?: string;
  /** Place in `interfaces`. */
  readonly interface?: number;
}

export interface CniResult {
  readonly interfaces: readonly ResultInterface[];
  readonly ips: readonly ResultAddress[];
  readonly routes: readonly PodRoute[];
  readonly dns: Dns;
}

/** The JSON for the runtime. */
export function resultJson(result: CniResult, cniVersion: SpecVersion): string {
  const withMtu = isSince(cniVersion, '1.1.0');
  const withVersion = !isSince(cniVersion, '1.0.0');
  const interfaces = result.interfaces.map(({ mtu, ...rest }) => ({ ...rest, ...(withMtu && mtu ? { mtu } : {}) }));
  const ips = result.ips.map((ip) => (withVersion ? { version: String(versionOf(ip.address)), ...ip } : ip));
  const routes = result.routes.map(({ dst, gw, ...more }) => ({ dst, ...(gw && { gw }), ...(withMtu ? more : {}) }));
  return JSON.stringify({ cniVersion, interfaces, ips, routes, dns: result.dns });
}

/** A result as a runtime hands it on. Throws `CniError` (7). */
export function readResult(value: unknown): CniResult {
  const fields = readObject({ prevResult: value }, 'prevResult') ?? {};
  const interfaces = (readList(fields, 'interfaces', 'prevResult.interfaces') ?? []).map((each) => {
    const { name, mac, mtu, sandbox } = (each ?? {}) as Fields;
    if (typeof name !== 'string') refuseField('prevResult.interfaces', each, 'objects with a name');
    return {
      name,
      ...(typeof mac === 'string' && mac !== '' && { mac }),
      ...(typeof mtu === 'number' && mtu > 0 && { mtu }),
      ...(typeof sandbox === 'string' && sandbox !== '' && { sandbox }),
    };
  });
  const ips = (readList(fields, 'ips', 'prevResult.ips') ?? []).map((each) => {
    const { address, gateway, interface: at } = (each ?? {}) as Fields;
    if (typeof address !== 'string' || parseAddress(address.split('/')[0] ?? '') === undefined) {
      refuseField('prevResult.ips', each, 'objects with an address');
    }
    return {
      address,
      ...(typeof gateway === 'string' && gateway !== '' && { gateway }),
      ...(typeof at === 'number' && { interface: at }),
    };
  });
  return { interfaces, ips, routes: readableRoutes(fields), dns: readDns(readObject(fields, 'dns') ?? {}) };
}

/** Routes of other plugins may have fields that this one does not know: those routes are not its business. */
function readableRoutes(fields: Fields): readonly PodRoute[] {
  return (readList(fields, 'routes', 'prevResult.routes') ?? []).flatMap((route) => {
    try {
      return readRoutes({ routes: [route] });
    } catch {
      return [];
    }
  });
}

/** What the plugins before made, and then this one. */
export function joinResults(before: CniResult | undefined, own: CniResult): CniResult {
  if (before === undefined) return own;
  const moved = own.ips.map((ip) =>
    ip.interface === undefined ? ip : { ...ip, interface: ip.interface + before.interfaces.length },
  );
  return {
    interfaces: [...before.interfaces, ...own.interfaces],
    ips: [...before.ips, ...moved],
    routes: [...before.routes, ...own.routes],
    dns: { ...before.dns, ...own.dns },
  };
}

function versionOf(address: string): 4 | 6 {
  const parsed = parseAddress(address.split('/')[0] ?? '');
  return parsed === undefined ? 4 : familyOf(parsed);
}
