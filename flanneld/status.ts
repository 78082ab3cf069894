// What flanneld says of itself: readiness checks, the JSON of /status, and its metrics, all from one view. No I/O.
//
// The view is read at the moment of the request; while flanneld starts, most of it is not there yet, and the checks say
// what is waited for.

import { Counter, Gauge } from 'prom-client';
import type { Address } from '../lib/net/address.ts';
import type { EtcdRegistryOptions } from '../lib/registry/etcd-registry.ts';
import type { Metrics, ReadinessCheck } from '../lib/run/status-server.ts';
import type { Backend, PeerState } from './backend/backend.ts';
import { nameOf } from './backend/peer-check.ts';
import { readDeviceCounters } from './device-counters.ts';
import type { LeaseHolder } from './lease/lease-holder.ts';
import type { RouteOwnersStatus } from './route-owners.ts';
import type { Underlay } from './underlay.ts';

/** Names shown in a readiness detail. */
const NAMES_SHOWN = 3;

export interface FlanneldView {
  readonly node: string;
  /** Where etcd is: its members, and the files with which it is reached over TLS. */
  readonly etcdAt: Required<Pick<EtcdRegistryOptions, 'endpoints' | 'tls'>>;
  /** What the start is waiting for; empty once it is done. */
  phase: string;
  underlay?: Underlay;
  /** The underlay interface is there, up, and has carrier. */
  underlayUp: boolean;
  backend?: Backend;
  holder?: LeaseHolder;
  /** The registry's watch: connected, or since when not (Unix milliseconds) and why. */
  etcd: { readonly connected: true } | { readonly connected: false; readonly sinceMs: number; readonly reason: string };
  feedInSync: boolean;
  /** What is wrong with the network config in etcd now; the former one is in use. */
  configFault?: string;
  /** Changes of the network config that need a restart. */
  configWaiting?: readonly string[];
  /** The address at which a node of this name had the lease until this one took it. */
  takenFrom?: Address;
  /** Times that the node moved to another subnet after a conflict. */
  moves?: number;
  /** Times that the machine slept. */
  sleeps?: number;
  /** Where the data plane follows bgpd's routes too. */
  owners?: () => RouteOwnersStatus;
  /** Entries in etcd that are no leases, right now. */
  malformed: number;
}

/** All must hold for the node to be ready. */
export function flanneldChecks(view: FlanneldView): readonly ReadinessCheck[] {
  const { phase, backend, etcd, feedInSync } = view;
  if (phase !== '') return [{ name: 'started', ok: false, detail: phase }];
  const peers = backend?.peers() ?? [];
  const problem = backend?.problem();
  return [
    {
      name: 'etcd',
      // What was learnt goes on working for as long as etcd is away: degraded, and ready.
      ok: true,
      detail: etcd.connected ? 'connected' : `${memorySince(etcd.sinceMs)}: ${etcd.reason}`,
    },
    leaseCheck(view),
    { name: 'config', ok: true, detail: configDetail(view) },
    {
      name: 'underlay',
      ok: view.underlayUp,
      detail: `${view.underlay?.name} ${view.underlayUp ? 'is up' : 'has no carrier, is down or gone'}`,
    },
    { name: 'device', ok: problem === undefined, detail: problem ?? `${backend?.name}, mtu ${backend?.mtuBytes}` },
    peersCheck(peers),
    { name: 'feed', ok: feedInSync, detail: feedInSync ? 'in sync' : 'peers are not known yet' },
  ];
}

/** The body of /status. */
export function flanneldStatus(view: FlanneldView): unknown {
  const { node, phase, underlay, backend, holder, etcd, feedInSync, malformed } = view;
  const lease = holder?.lease;
  return {
    node,
    ...(phase === '' ? {} : { waitingFor: phase }),
    subnet: lease?.subnet ?? null,
    ...(lease?.subnet6 && { subnet6: lease.subnet6 }),
    backend: backend?.name ?? null,
    device: backend?.deviceName ?? null,
    mtu: backend?.mtuBytes ?? null,
    publicIP: underlay?.publicIp ?? null,
    interface: underlay?.name ?? null,
    lease: holder && {
      key: lease?.key,
      secondsLeft: round(holder.secondsLeft),
      secondsSinceWrite: round(holder.secondsSinceWrite),
      ...holder.counts,
      moves: view.moves ?? 0,
      ...(view.takenFrom && { takenFrom: view.takenFrom }),
    },
    config: { fault: view.configFault ?? null, needsRestart: view.configWaiting ?? [] },
    etcd: {
      ...view.etcdAt,
      ...(etcd.connected ? { connected: true } : { connected: false, since: iso(etcd.sinceMs), reason: etcd.reason }),
    },
    feed: { inSync: feedInSync },
    malformedLeases: malformed,
    peers: (backend?.peers() ?? []).map((peer) => ({
      node: nameOf(peer.lease),
      subnet: peer.lease.subnet,
      ...(peer.lease.subnet6 && { subnet6: peer.lease.subnet6 }),
      publicIP: peer.lease.publicIp ?? peer.lease.publicIp6 ?? null,
      programmed: peer.programmed,
      via: peer.routes.map(({ hop }) => [hop.gateway, hop.device].filter((part) => part !== undefined).join(' on ')),
      ...(peer.refused === undefined ? {} : { refused: peer.refused }),
    })),
    ...(view.owners === undefined ? {} : { routesFromBgpd: view.owners() }),
    deviceCounters: (backend?.deviceName && readDeviceCounters(backend.deviceName)) ?? null,
    dataPlane: backend?.planeIo ?? null,
    drops: backend?.drops() ?? null,
  };
}

/** Registers metrics that are read from the view when they are asked for. */
export function registerMetrics({ registry, prefix }: Metrics, view: FlanneldView): void {
  const registers = [registry];
  const gauge = (name: string, help: string, value: () => number | undefined): void => {
    new Gauge({
      name: prefix + name,
      help,
      registers,
      collect() {
        this.set(value() ?? Number.NaN);
      },
    });
  };
  gauge('lease_seconds_left', 'Seconds until etcd drops the lease; NaN without one', () => view.holder?.secondsLeft);
  gauge('lease_age_seconds', 'Seconds since etcd last confirmed the lease', () => view.holder?.secondsSinceWrite);
  gauge('lease_moves', 'Times that the node moved to another subnet after a conflict', () => view.moves ?? 0);
  gauge('sleeps', 'Times that the machine slept', () => view.sleeps ?? 0);
  gauge('config_ok', '0 while the network config in etcd is wrong', () => (view.configFault === undefined ? 1 : 0));
  gauge('config_restart_needed', 'Changes of the network config that wait for a restart', () => {
    return view.configWaiting?.length ?? 0;
  });
  gauge('degraded', '1 while the node serves from memory', () => (view.etcd.connected ? 0 : 1));
  gauge('etcd_connected', '1 while the watch of the leases works', () => (view.etcd.connected ? 1 : 0));
  gauge('mtu_bytes', 'MTU of the overlay', () => view.backend?.mtuBytes);
  gauge('malformed_leases', 'Entries in etcd that are no leases, right now', () => view.malformed);
  gauge('device_ok', '1 while the tunnel device is as it should be', () =>
    view.backend?.problem() === undefined ? 1 : 0,
  );
  new Gauge({
    name: `${prefix}peers`,
    help: 'Other nodes, by how they stand',
    labelNames: ['state'],
    registers,
    collect() {
      const peers = view.backend?.peers() ?? [];
      for (const state of ['programmed', 'pending', 'refused']) {
        this.set({ state }, peers.filter((peer) => stateOf(peer) === state).length);
      }
    },
  });
  const counted = (
    name: string,
    help: string,
    values: () => Readonly<Record<string, number>>,
    label?: string,
  ): void => {
    new Counter({
      name: prefix + name,
      help,
      labelNames: label === undefined ? [] : [label],
      registers,
      collect() {
        this.reset();
        for (const [key, value] of Object.entries(values())) {
          if (label === undefined) this.inc(value);
          else this.inc({ [label]: key }, value);
        }
      },
    });
  };
  counted('lease_writes_total', 'Writes of the lease, by outcome', () => ({ ...view.holder?.counts }), 'outcome');
  counted(
    'dropped_packets_total',
    'Packets that the data plane in flanneld dropped',
    () => view.backend?.drops() ?? {},
    'reason',
  );
}

function leaseCheck({ holder, etcd }: FlanneldView): ReadinessCheck {
  const secondsLeft = holder?.secondsLeft;
  const conflict = holder?.secondsInConflict;
  const isHeld = secondsLeft === undefined || secondsLeft > 0;
  return {
    name: 'lease',
    // While etcd is away nobody else can take the subnet either.
    ok: holder !== undefined && conflict === undefined && (isHeld || !etcd.connected),
    detail: `${holder?.lease.subnet}, ${conflict === undefined ? leaseTime(secondsLeft) : 'another node has it in etcd'}`,
  };
}

function configDetail({ configFault, configWaiting = [] }: FlanneldView): string {
  if (configFault !== undefined) return `the former one is in use: ${configFault}`;
  return configWaiting.length === 0 ? 'in use' : `restart flanneld for ${configWaiting.join('; ')}`;
}

function peersCheck(peers: readonly PeerState[]): ReadinessCheck {
  const of = (state: string): readonly PeerState[] => peers.filter((peer) => stateOf(peer) === state);
  const pending = of('pending');
  const refused = of('refused');
  const usable = peers.length - refused.length;
  const parts = [`${usable - pending.length} of ${usable} programmed`];
  if (pending.length > 0) parts.push(`waiting: ${names(pending)}`);
  // A peer that cannot be used is that peer's fault or the operator's: this node does what it can.
  for (const { lease, refused: reason } of refused.slice(0, NAMES_SHOWN))
    parts.push(`${nameOf(lease)} refused: ${reason}`);
  return { name: 'peers', ok: pending.length === 0, detail: parts.join('; ') };
}

function stateOf({ programmed, refused }: PeerState): 'programmed' | 'pending' | 'refused' {
  if (refused !== undefined) return 'refused';
  return programmed ? 'programmed' : 'pending';
}

function names(peers: readonly PeerState[]): string {
  const shown = peers.slice(0, NAMES_SHOWN).map(({ lease }) => nameOf(lease));
  return peers.length > NAMES_SHOWN ? `${shown.join(', ')} and ${peers.length - NAMES_SHOWN} more` : shown.join(', ');
}

function memorySince(sinceMs: number): string {
  return `serving from memory since ${iso(sinceMs)}`;
}

function iso(unixMs: number): string {
  return new Date(unixMs).toISOString();
}

function leaseTime(secondsLeft: number | undefined): string {
  if (secondsLeft === undefined) return 'a reservation';
  return secondsLeft > 0 ? `${Math.round(secondsLeft)} s left` : `ran out ${Math.round(-secondsLeft)} s ago`;
}

function round(seconds: number | undefined): number | null {
  return seconds === undefined ? null : Math.round(seconds);
}
