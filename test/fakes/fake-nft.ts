// nftables in memory, as far as felix's keeper of traffic rules looks: our table, base chains of others, and failures.
//
// The table is "listed" as the text of the commands that made it.

import { type ForwardChain, type Nft, NftError } from '../../felix/traffic/nft.ts';

export class FakeNft implements Nft {
  /** What the table holds; `undefined` where it is not there. A test may change it, as somebody else would. */
  content: string | undefined;
  /** Transactions that were done. */
  runs: unknown[] = [];
  others: ForwardChain[] = [];
  /** While set, every call fails so. */
  failure: NftError | undefined;

  async run(commands: unknown): Promise<void> {
    this.#fail();
    this.runs.push(commands);
    const text = JSON.stringify(commands);
    this.content = text.includes('"chain"') ? text : undefined;
  }

  async table(): Promise<string | undefined> {
    this.#fail();
    return this.content;
  }

  async forwardChains(): Promise<readonly ForwardChain[]> {
    this.#fail();
    return this.others;
  }

  #fail(): void {
    if (this.failure !== undefined) throw new NftError(this.failure.code, this.failure.message);
  }
}
