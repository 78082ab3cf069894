// Gives links delay, loss and a rate for the length of a scenario's steps; see impair-end.ts for by what.
//
// A process of the lab's own link ends with its input, so that none outlives the run.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { type EndTools, type ImpairedBy, impairEnd, mendEnd } from '../link/impair-end.ts';
import type { Impairment } from '../topology-spec.ts';
import type { ClusterDriver } from './cluster-driver.ts';

export class LinkImpairer {
  readonly #driver: ClusterDriver;
  readonly #seed: number;
  readonly #links = new Map<string, readonly ChildProcess[]>();
  #used: ImpairedBy = 'none';

  constructor(driver: ClusterDriver, seed: number) {
    this.#driver = driver;
    this.#seed = seed;
  }

  /** By what links were impaired so far. */
  get used(): ImpairedBy {
    return this.#used;
  }

  /** Impairs both directions; replaces what the link had. */
  async impair(link: string, impairment: Impairment): Promise<void> {
    await this.unimpair(link);
    const processes: ChildProcess[] = [];
    this.#links.set(link, processes);
    for (const [at, { place, device }] of this.#endsOf(link).entries()) {
      const used = await impairEnd(device, impairment, this.#seed + at, {
        run: this.#runIn(place),
        startLink: async (args) => void processes.push(await this.#ownLink(place, args)),
      });
      if (used !== 'none') this.#used = used;
    }
  }

  async unimpair(link: string): Promise<void> {
    const processes = this.#links.get(link);
    if (processes === undefined) return;
    this.#links.delete(link);
    for (const { place, device } of this.#endsOf(link)) await mendEnd(device, this.#runIn(place));
    for (const process of processes) process.stdin?.end();
    const living = processes.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    await Promise.all(living.map((process) => once(process, 'exit')));
  }

  async unimpairAll(): Promise<void> {
    for (const link of [...this.#links.keys()]) await this.unimpair(link);
  }

  #endsOf(link: string) {
    return this.#driver.facts.linkEnds.get(link) ?? [];
  }

  #runIn(place: string): EndTools['run'] {
    return (argv, input) => this.#driver.run(place, argv, input);
  }

  async #ownLink(place: string, args: readonly string[]): Promise<ChildProcess> {
    const { nodeBinary, programFolder } = this.#driver.facts;
    const program = `${programFolder}/lab/link/main.js`;
    const child = this.#driver.spawn(place, [nodeBinary, program, ...args]);
    let said = '';
    child.stderr?.on('data', (bytes) => {
      said += String(bytes);
    });
    const ready = new Promise<void>((resolve, reject) => {
      child.stdout?.once('data', () => resolve());
      child.once('exit', (code) => reject(new Error(`the link on ${place} ${args[0]} ended with ${code}: ${said}`)));
    });
    await ready;
    return child;
  }
}
