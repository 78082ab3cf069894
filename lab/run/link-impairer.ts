// Gives links delay, loss and a rate: by the kernel's netem and tbf, or where it has no netem by the lab's own link.
//
// Which of the two is tried once and told in the results: their delays differ in how exact they are. The rate is tbf's
// in either case, and stands in the way of what the lab's own link sends as well.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { noLinkRules } from '../link/link-rules.ts';
import type { ScenarioResult } from '../results/results-schema.ts';
import type { Impairment } from '../topology-spec.ts';
import type { ClusterDriver, LinkEnd } from './cluster-driver.ts';

export class LinkImpairer {
  readonly #driver: ClusterDriver;
  readonly #seed: number;
  readonly #links = new Map<string, readonly ChildProcess[]>();
  #used: ScenarioResult['impairment'] = 'none';

  constructor(driver: ClusterDriver, seed: number) {
    this.#driver = driver;
    this.#seed = seed;
  }

  /** By what links were impaired so far. */
  get used(): ScenarioResult['impairment'] {
    return this.#used;
  }

  /** Impairs both directions; replaces what the link had. */
  async impair(link: string, impairment: Impairment): Promise<void> {
    await this.unimpair(link);
    const { delay = 0, loss = 0, rate } = impairment;
    const ends = this.#driver.facts.linkEnds.get(link) ?? [];
    const processes: ChildProcess[] = [];
    this.#links.set(link, processes);
    for (const [at, end] of ends.entries()) {
      if (rate !== undefined) await this.#tc(end, ['tbf', 'rate', `${rate}mbit`, 'burst', '64kb', 'latency', '50ms']);
      if (delay === 0 && loss === 0) continue;
      if (rate === undefined && (await this.#netem(end, delay, loss))) continue;
      processes.push(await this.#ownLink(end, delay, loss, this.#seed + at));
    }
  }

  async unimpair(link: string): Promise<void> {
    const processes = this.#links.get(link);
    if (processes === undefined) return;
    this.#links.delete(link);
    for (const { place, device } of this.#driver.facts.linkEnds.get(link) ?? []) {
      await this.#driver.run(place, ['nft', '-f', '-'], noLinkRules(device));
      // Without a qdisc of ours there is nothing to delete.
      await this.#driver.run(place, ['tc', 'qdisc', 'del', 'dev', device, 'root']).catch(() => undefined);
    }
    for (const process of processes) process.stdin?.end();
    const living = processes.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    await Promise.all(living.map((process) => once(process, 'exit')));
  }

  async unimpairAll(): Promise<void> {
    for (const link of [...this.#links.keys()]) await this.unimpair(link);
  }

  async #netem(end: LinkEnd, delay: number, loss: number): Promise<boolean> {
    if (this.#used === 'lab-link') return false;
    const words = ['netem', 'delay', `${delay}ms`, 'loss', `${loss}%`];
    const done = await this.#tc(end, words).then(
      () => true,
      () => false,
    );
    if (done) this.#used = 'netem';
    return done;
  }

  async #ownLink({ place, device }: LinkEnd, delay: number, loss: number, seed: number): Promise<ChildProcess> {
    this.#used = 'lab-link';
    const { nodeBinary, programFolder } = this.#driver.facts;
    const program = `${programFolder}/lab/link/main.js`;
    const child = this.#driver.spawn(place, [nodeBinary, program, device, String(delay), String(loss), String(seed)]);
    let said = '';
    child.stderr?.on('data', (bytes) => {
      said += String(bytes);
    });
    const ready = new Promise<void>((resolve, reject) => {
      child.stdout?.once('data', () => resolve());
      child.once('exit', (code) => reject(new Error(`the link on ${place} ${device} ended with ${code}: ${said}`)));
    });
    await ready;
    return child;
  }

  #tc({ place, device }: LinkEnd, words: readonly string[]): Promise<string> {
    return this.#driver.run(place, ['tc', 'qdisc', 'replace', 'dev', device, 'root', ...words]);
  }
}
