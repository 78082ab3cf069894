// The versions of the CNI specification that the plugin speaks, and what differs between them.
//
// 0.3.1 has ADD, DEL and VERSION; 0.4.0 adds CHECK; 1.0.0 drops "version" from a result's addresses; 1.1.0 adds GC, STATUS
// and the MTU of interfaces and routes.

import { CNI_ERROR, CniError } from './cni-error.ts';

export const SPEC_VERSIONS = ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type SpecVersion = (typeof SPEC_VERSIONS)[number];

export const NEWEST_VERSION: SpecVersion = '1.1.0';

export const COMMANDS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'] as const;
export type CniCommand = (typeof COMMANDS)[number];

/** First version that has the command. */
const SINCE: Readonly<Record<CniCommand, SpecVersion>> = {
  ADD: '0.3.1',
  DEL: '0.3.1',
  VERSION: '0.3.1',
  CHECK: '0.4.0',
  GC: '1.1.0',
  STATUS: '1.1.0',
};

/** The version of a network configuration. Throws `CniError` (1) for one that is not spoken. */
export function specVersion(value: unknown): SpecVersion {
  const version = SPEC_VERSIONS.find((candidate) => candidate === value);
  if (version !== undefined) return version;
  const text = value === undefined ? 'cniVersion is missing' : `cniVersion ${JSON.stringify(value)} is not spoken`;
  throw new CniError(CNI_ERROR.incompatibleVersion, `${text}: this plugin speaks ${SPEC_VERSIONS.join(', ')}`);
}

/** Whether `version` is `first` or newer. */
export function isSince(version: SpecVersion, first: SpecVersion): boolean {
  return SPEC_VERSIONS.indexOf(version) >= SPEC_VERSIONS.indexOf(first);
}

/** Throws `CniError` (1) where the version does not have the command. */
export function requireCommand(command: CniCommand, version: SpecVersion): void {
  if (isSince(version, SINCE[command])) return;
  const reason = `CNI_COMMAND ${command} came with version ${SINCE[command]} of the specification`;
  throw new CniError(CNI_ERROR.incompatibleVersion, `${reason}; cniVersion is ${version}`);
}
