// The links of this node by name, with what felix needs of them: the index, and whether a route may lead there. Pure.
//
// The feed names devices, the kernel counts them: a device that is deleted and made again has another index.

import type { Link } from '../../lib/kernel/kernel.ts';

/** What felix knows of one link. */
export type LinkState = Pick<Link, 'index' | 'up' | 'running'>;

export class LinkTable {
  readonly #byName = new Map<string, LinkState>();
  readonly #nameOf = new Map<number, string>();

  /** The link with this name. */
  get(name: string): LinkState | undefined {
    return this.#byName.get(name);
  }

  /** The name of the link with this index. */
  nameOf(index: number): string | undefined {
    return this.#nameOf.get(index);
  }

  /** Takes the link as it now is; the names whose meaning changed (two for a rename, none where nothing changed). */
  set(link: Link): readonly string[] {
    const changed: string[] = [];
    const formerName = this.#nameOf.get(link.index);
    if (formerName !== undefined && formerName !== link.name) changed.push(...this.delete(link.index));
    const before = this.#byName.get(link.name);
    const { index, up, running } = link;
    if (before !== undefined && before.index !== index) this.#nameOf.delete(before.index);
    this.#byName.set(link.name, { index, up, running });
    this.#nameOf.set(index, link.name);
    if (before?.index !== index || before.up !== up || before.running !== running) changed.push(link.name);
    return changed;
  }

  /** Forgets the link with this index; its name, if it was known. */
  delete(index: number): readonly string[] {
    const name = this.#nameOf.get(index);
    if (name === undefined) return [];
    this.#nameOf.delete(index);
    this.#byName.delete(name);
    return [name];
  }

  /** Takes a complete listing; the names whose meaning changed. */
  replace(links: readonly Link[]): readonly string[] {
    const present = new Set(links.map((link) => link.index));
    const gone = [...this.#nameOf.keys()].filter((index) => !present.has(index));
    return [...gone.flatMap((index) => this.delete(index)), ...links.flatMap((link) => this.set(link))];
  }
}
