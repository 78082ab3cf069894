// Serves NextHop on felix's unix socket (`felix.sock`): to each watcher the state of every next hop that it asked about, then
// its changes. Whether a next hop can be reached is found out by next-hop-tracker.ts, one tracker for each watcher.

import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { Metadata, Server, type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { Kernel } from '../../lib/kernel/kernel.ts';
import { addressBytes, addressFromBytes } from '../../lib/net/address.ts';
import { addService, CHANNEL_OPTIONS } from '../../lib/rpc/service.ts';
import { listenOnUnixSocket } from '../../lib/rpc/unix-socket.ts';
import type { Clock } from '../../lib/run/clock.ts';
import { errorText } from '../../lib/run/exit.ts';
import type { Logger } from '../../lib/run/log.ts';
import {
  type NextHop,
  NextHopService,
  type TrackRequest,
  type TrackResponse,
  TrackResponseSchema,
} from '../../proto/gen/gingham/nexthop/v1/nexthop_pb.ts';
import { type HopState, NextHopTracker, type TrackedHop } from './next-hop-tracker.ts';

/** Next hops that one watcher may ask about: as many as a cluster may have nodes. */
const TRACKED_MAX = 20_000;

/** Watchers at a time: bgpd, and a former life of it. */
const WATCHERS_MAX = 4;

export interface NextHopServerOptions {
  readonly runFolder: string;
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface NextHopServer {
  /** For `/status`. */
  status(): { readonly watchers: number; readonly tracked: number; readonly unreachable: Record<string, string> };
  close(): Promise<void>;
}

/** Serves until closed. Rejects where the socket cannot be bound. */
export async function startNextHopServer(options: NextHopServerOptions): Promise<NextHopServer> {
  const trackers = new Map<NextHopTracker, () => void>();
  const server = new Server(CHANNEL_OPTIONS);
  addService(server, NextHopService, {
    track(call) {
      if (trackers.size >= WATCHERS_MAX) {
        call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: `${WATCHERS_MAX} watchers are served already` });
        return;
      }
      const tracker = serve(call, options);
      trackers.set(tracker, () => call.emit('error', { code: status.UNAVAILABLE, details: 'felix stops' }));
      const end = (): void => {
        trackers.delete(tracker);
        tracker.stop();
      };
      call.on('cancelled', end);
      call.on('close', end);
      call.on('error', end);
    },
  });
  const socket = await listenOnUnixSocket(server, join(options.runFolder, 'felix.sock'));
  return {
    status() {
      const states = [...trackers.keys()].flatMap((tracker) => [...tracker.states.values()]);
      const unreachable = states.flatMap(({ endpoint, reason }) => (reason === undefined ? [] : [[endpoint, reason]]));
      return {
        watchers: trackers.size,
        tracked: states.length,
        unreachable: Object.fromEntries(unreachable) as Record<string, string>,
      };
    },
    async close() {
      for (const [tracker, end] of [...trackers]) {
        tracker.stop();
        end();
      }
      await socket.close();
    },
  };
}

function serve(
  call: ServerDuplexStream<TrackRequest, TrackResponse>,
  { kernel, clock, log }: NextHopServerOptions,
): NextHopTracker {
  // Headers at once: they tell the watcher that the call stands.
  call.sendMetadata(new Metadata());
  let tracked = 0;
  const changed = (states: readonly HopState[]): void => {
    call.write(create(TrackResponseSchema, { states: states.map(stateToProto) }));
  };
  const tracker = new NextHopTracker({ kernel, clock, log, changed });
  const refuse = (details: string): boolean => call.emit('error', { code: status.INVALID_ARGUMENT, details });
  call.on('data', ({ added, removed }: TrackRequest) => {
    const [now, gone] = [hopsFromProto(added), hopsFromProto(removed)];
    if (now === undefined || gone === undefined) return void refuse('a next hop has no endpoint of 4 or 16 bytes');
    tracked += now.length - gone.length;
    if (tracked > TRACKED_MAX) return void refuse(`more than ${TRACKED_MAX} next hops`);
    tracker.remove(gone);
    tracker.add(now);
  });
  call.on('end', () => call.end());
  tracker.start().catch((error: unknown) => {
    log.warn({ reason: errorText(error) }, 'next hops cannot be tracked');
    call.emit('error', { code: status.UNAVAILABLE, details: errorText(error) });
  });
  return tracker;
}

function stateToProto({ endpoint, device, reason, detectedUnixUs }: HopState) {
  const nextHop = { endpoint: addressBytes(endpoint), device };
  return { nextHop, reachable: reason === undefined, reason: reason ?? '', detectedUnixUs };
}

function hopsFromProto(hops: readonly NextHop[]): readonly TrackedHop[] | undefined {
  const decoded = hops.flatMap(({ endpoint, device }) => {
    const address = addressFromBytes(endpoint);
    return address === undefined ? [] : [{ endpoint: address, device }];
  });
  return decoded.length === hops.length ? decoded : undefined;
}
