// Keeps felix's nftables table as it should be: finds the facts, writes the table in one transaction when it would say
// something else, and puts it back when somebody else changed it. What it says is desired/traffic-rules.ts.
//
//   subnet.env, links, FDB ──▶ facts ──▶ commands ──nft──▶ table ──listing──▶ as we left it?
//
// Without subnet.env nothing is known, and what a former run left stays. The confusing thing: nft prints rules in other
// words than it was given, so the table is not compared with the commands but with its listing right after they were done.

import { watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Kernel, Link } from '../../lib/kernel/kernel.ts';
import { watchNftables } from '../../lib/kernel/nftables-events.ts';
import type { Clock } from '../../lib/run/clock.ts';
import { errorText } from '../../lib/run/exit.ts';
import type { Logger } from '../../lib/run/log.ts';
import {
  removeTrafficCommands,
  TRAFFIC_TABLE,
  type TrafficFacts,
  type Tunnel,
  trafficCommands,
} from '../desired/traffic-rules.ts';
import { type ClusterFacts, parseClusterFacts } from './cluster-facts.ts';
import { type Nft, NftError } from './nft.ts';

/** News that come together are one look. */
const GATHER_MS = 5;
const RETRY_MS = 5_000;
/** What the alias of a pod's interface begins with. */
const POD_ALIAS = 'gingham:';

/** Whether felix writes traffic rules: `auto` does where nft is there, and insists only where masquerading was asked for. */
export type TrafficMode = 'auto' | 'on' | 'off';

export interface TrafficState {
  readonly state: 'starting' | 'waiting' | 'applied' | 'failed' | 'unavailable' | 'off';
  readonly detail: string;
  readonly masquerade: boolean;
  /** Hosts whose tunnel packets are let in; `undefined` where the kernel carries no tunnel of ours. */
  readonly tunnelHosts: number | undefined;
  readonly written: number;
  readonly repaired: number;
  /** Chains of others that drop forwarded packets unless told otherwise: `ip filter FORWARD`. */
  readonly othersDropForwarded: readonly string[];
}

export interface TrafficOptions {
  readonly mode: TrafficMode;
  readonly subnetFile: string;
  readonly podInterfaces: readonly string[];
  readonly kernel: Kernel;
  readonly nft: Nft;
  readonly clock: Clock;
  readonly log: Logger;
  /** After each change of the state. */
  readonly onState?: (state: TrafficState) => void;
}

export class TrafficKeeper {
  readonly #options: TrafficOptions;
  #state: TrafficState = {
    state: 'starting',
    detail: 'not looked at yet',
    masquerade: false,
    tunnelHosts: undefined,
    written: 0,
    repaired: 0,
    othersDropForwarded: [],
  };
  /** What was written last, and how nft lists it. */
  #done: { readonly commands: string; readonly listing: string | undefined } | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = false;
  #cancelTimer: () => void = () => undefined;
  readonly #closers: (() => void)[] = [];
  /** Links that were pods' when the rules were made. */
  #podNames: ReadonlySet<string> = new Set();

  constructor(options: TrafficOptions) {
    this.#options = options;
  }

  get state(): TrafficState {
    return this.#state;
  }

  /** Whether what was asked for is so. */
  get ok(): boolean {
    const { state, masquerade } = this.#state;
    if (state === 'applied' || state === 'off') return true;
    if (state === 'waiting') return this.#options.mode === 'auto';
    return state === 'unavailable' && this.#options.mode === 'auto' && !masquerade;
  }

  start(): void {
    const { kernel, log, subnetFile } = this.#options;
    const kick = (): void => this.kick();
    if (this.#options.mode !== 'off') {
      const unwatch = watchNftables(TRAFFIC_TABLE, kick);
      if (unwatch !== undefined) this.#closers.push(unwatch);
      this.#watchFile(subnetFile);
      kernel
        .subscribe(['link', 'fdb'], (event) => {
          if (event.type === 'resync' || event.kind === 'fdb') kick();
          else if (event.kind === 'link' && this.#isAboutRules(event.object)) kick();
        })
        .then(
          (unsubscribe) => (this.#stopped ? unsubscribe() : this.#closers.push(unsubscribe)),
          (error: unknown) => log.warn({ err: error }, 'traffic rules follow tunnels at each resync only'),
        );
    }
    kick();
  }

  /** Look whether everything is as it should be. */
  kick(): void {
    if (this.#stopped) return;
    this.#again = true;
    this.#running ??= this.#run();
  }

  /** Waits for the look that is under way. The rules stay. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer();
    for (const close of this.#closers) close();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#stopped) {
      await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
      this.#again = false;
      this.#cancelTimer();
      try {
        await this.#look();
      } catch (error) {
        this.#failed(error);
      }
    }
    this.#running = undefined;
  }

  async #look(): Promise<void> {
    const { mode, subnetFile, nft, log } = this.#options;
    if (mode === 'off') return this.#remove();
    const cluster = await readClusterFacts(subnetFile);
    if (cluster === undefined) {
      if (this.#done === undefined) this.#is({ state: 'waiting', detail: `${subnetFile} says nothing yet` });
      return;
    }
    this.#is({ masquerade: cluster.masquerade });
    const facts = await this.#facts(cluster);
    const commands = JSON.stringify(trafficCommands(facts));
    const found = this.#done?.commands === commands ? await nft.table() : undefined;
    if (this.#done?.commands !== commands || found !== this.#done.listing) {
      const isRepair = this.#done?.commands === commands;
      await nft.run(JSON.parse(commands));
      this.#done = { commands, listing: await nft.table() };
      if (isRepair) log.info('somebody else changed the table inet gingham: repaired');
      const { written, repaired } = this.#state;
      this.#is({ written: written + 1, repaired: repaired + (isRepair ? 1 : 0) });
    }
    await this.#lookAtOthers(facts);
    const tunnelHosts = facts.tunnels.length === 0 ? undefined : facts.tunnels.flatMap(({ hosts }) => hosts).length;
    const detail = `inet gingham${cluster.masquerade ? ', masquerading' : ''}`;
    if (this.#state.state !== 'applied') log.info({ masquerade: cluster.masquerade }, 'traffic rules are in place');
    this.#is({ state: 'applied', detail, tunnelHosts });
  }

  async #facts(cluster: ClusterFacts): Promise<TrafficFacts> {
    const { kernel } = this.#options;
    const tunnels: Tunnel[] = [];
    const links = await kernel.list('link');
    const podInterfaces = [...this.#options.podInterfaces, ...podInterfacesOf(links)];
    for (const { index, alias, vxlan } of links) {
      if (vxlan === undefined || alias !== 'gingham') continue;
      // flanneld keeps an entry for each node that it knows, whether or not it is reached through the tunnel now.
      const entries = await kernel.list('fdb', { linkIndex: index });
      const hosts = [...new Set(entries.map(({ destination }) => destination))].sort();
      tunnels.push({ vni: vxlan.vni, port: vxlan.port, hosts });
    }
    this.#podNames = new Set(links.filter(({ alias }) => isPod(alias)).map(({ name }) => name));
    return { ...cluster, podInterfaces, tunnels };
  }

  /** A tunnel, or a pod's interface: one that is so now, or was so when the rules were made. */
  #isAboutRules({ name, alias, vxlan }: Link): boolean {
    return vxlan !== undefined || isPod(alias) || this.#podNames.has(name);
  }

  async #remove(): Promise<void> {
    const { nft } = this.#options;
    try {
      if ((await nft.table()) !== undefined) await nft.run(removeTrafficCommands());
    } catch (error) {
      // Where nft is not to be had, no rules of ours can be there either.
      if (!(error instanceof NftError)) throw error;
    }
    this.#is({ state: 'off', detail: 'switched off (--traffic-rules)' });
  }

  /** Ours cannot overrule them, and they are not ours to change: the operator has to know. */
  async #lookAtOthers({ networks }: TrafficFacts): Promise<void> {
    const { nft, log } = this.#options;
    const chains = await nft.forwardChains();
    const dropping = chains
      .filter(({ table, policy }) => policy === 'drop' && table !== TRAFFIC_TABLE)
      .map(({ family, table, name }) => `${family} ${table} ${name}`);
    if (dropping.length > 0 && dropping.join() !== this.#state.othersDropForwarded.join()) {
      log.warn(
        { chains: dropping, networks },
        'another table drops forwarded packets, which no rule of ours can overrule; let these networks pass there (with Docker: in the chain DOCKER-USER)',
      );
    }
    this.#is({ othersDropForwarded: dropping });
  }

  #failed(error: unknown): void {
    const { log, clock } = this.#options;
    const isMissing = error instanceof NftError && error.code === 'missing';
    const detail = errorText(error);
    if (this.#state.detail !== detail) {
      const text = isMissing ? 'no traffic rules: neither masquerading nor protection' : 'traffic rules failed';
      log.warn({ reason: detail }, text);
    }
    this.#is({ state: isMissing ? 'unavailable' : 'failed', detail });
    this.#done = undefined;
    if (!this.#stopped) this.#cancelTimer = clock.after(RETRY_MS, () => this.kick());
  }

  #watchFile(path: string): void {
    try {
      const watcher = watch(dirname(path), { persistent: false }, (_, name) => {
        if (name === null || name === basename(path)) this.kick();
      });
      watcher.on('error', () => watcher.close());
      this.#closers.push(() => watcher.close());
    } catch {
      // A folder that is not there yet: the resync looks again.
    }
  }

  #is(change: Partial<TrafficState>): void {
    this.#state = { ...this.#state, ...change };
    this.#options.onState?.(this.#state);
  }
}

/** A pod behind a bridge shares the bridge with others: what it sends comes in there. */
function podInterfacesOf(links: readonly Link[]): string[] {
  const nameOf = new Map(links.map(({ index, name }) => [index, name]));
  return links.flatMap(({ name, alias, masterIndex }) =>
    isPod(alias) ? [(masterIndex !== undefined && nameOf.get(masterIndex)) || name] : [],
  );
}

/** The host's end of a pod's veth pair, as the CNI plugin marks it: `gingham:<container id>`. */
function isPod(alias: string | undefined): boolean {
  return alias?.startsWith(POD_ALIAS) ?? false;
}

async function readClusterFacts(path: string): Promise<ClusterFacts | undefined> {
  try {
    return parseClusterFacts(await readFile(path, 'utf8'));
  } catch {
    return undefined;
  }
}
