// The `nft` program, in the network namespace of this thread: commands in, listings out, always as JSON. Not what the
// commands say (desired/traffic-rules.ts). No iptables program is needed or used.

import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { legacyForwardDrops } from '../../lib/kernel/legacy-iptables.ts';
import { TRAFFIC_TABLE } from '../desired/traffic-rules.ts';

const TIMEOUT_MS = 10_000;
const OUTPUT_MAX_BYTES = 64 * 1024 * 1024;
/** Debian keeps nft in sbin, which not every PATH has. */
const PATH = [process.env['PATH'] ?? '', '/usr/sbin', '/sbin'].join(':');

/** A base chain of the forward hook, in whatever table. */
export interface ForwardChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly policy: string;
}

/** What felix asks of nftables; the fake of the tests is one too. */
export interface Nft {
  /** Does all of the commands or none. Throws `NftError`. */
  run(commands: unknown): Promise<void>;
  /** Our table as text that is the same as long as the rules are; `undefined` where there is none. Throws `NftError`. */
  table(): Promise<string | undefined>;
  /** The base chains at the forward hook, of all tables; of the old iptables those that drop. Throws `NftError`. */
  forwardChains(): Promise<readonly ForwardChain[]>;
}

/** `missing`: there is no nft program; `refused`: it ran and said no. */
export class NftError extends Error {
  override readonly name = 'NftError';
  readonly code: 'missing' | 'permission' | 'refused';

  constructor(code: NftError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * The real one. Commands go through `file`, which stays for people to look at: nft opens its standard input by name,
 * which it cannot where that is one of Node's sockets. `program` is `nft` but for tests.
 */
export function nftProgram(file: string, program = 'nft'): Nft {
  return {
    async run(commands) {
      await writeFile(file, `${JSON.stringify(commands)}\n`, { mode: 0o600 });
      await call(program, ['-j', '-f', file]);
    },
    async table() {
      try {
        return withoutCounts(await call(program, ['-j', 'list', 'table', 'inet', TRAFFIC_TABLE]));
      } catch (error) {
        if (error instanceof NftError && /No such file or directory/.test(error.message)) return undefined;
        throw error;
      }
    },
    async forwardChains() {
      const { nftables = [] } = JSON.parse(await call(program, ['-j', 'list', 'chains'])) as {
        nftables?: { chain?: ForwardChain & { readonly hook?: string } }[];
      };
      return [...nftables.flatMap(({ chain }) => (chain?.hook === 'forward' ? [chain] : [])), ...legacyChains()];
    },
  };
}

/** A listing without what changes by itself (counters) and without what is new after each replacement (handles). */
export function withoutCounts(listing: string): string {
  return JSON.stringify(
    JSON.parse(listing, (key, value: unknown) =>
      key === 'handle' || key === 'metainfo' || key === 'packets' || key === 'bytes' ? undefined : value,
    ),
  );
}

/** The old iptables beside nftables: another set of tables that every packet must pass. */
function legacyChains(): ForwardChain[] {
  const dropping = ([4, 6] as const).filter(legacyForwardDrops);
  return dropping.map((family) => ({
    family: family === 4 ? 'iptables-legacy' : 'ip6tables-legacy',
    table: 'filter',
    name: 'FORWARD',
    policy: 'drop',
  }));
}

function call(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { timeout: TIMEOUT_MS, maxBuffer: OUTPUT_MAX_BYTES, env: { ...process.env, PATH, LC_ALL: 'C' } };
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      if (error.code === 'ENOENT' || error.code === 'EACCES') {
        return reject(new NftError('missing', `there is no program ${program} (package nftables)`));
      }
      const text = firstLine(stderr) || error.message;
      const code = /not permitted|you must be root/i.test(stderr) ? 'permission' : 'refused';
      reject(new NftError(code, `nft ${args.slice(0, 3).join(' ')}: ${text}`));
    });
  });
}

function firstLine(text: string): string {
  return (
    text
      .split('\n')
      .find((line) => line.trim() !== '')
      ?.trim() ?? ''
  );
}
