// One call of the plugin: which command, is the configuration right for it, do it, what to print.
//
// A runtime reads standard output: a result, an error, or nothing. Standard error is for people and stays empty.

import { attach } from './attach.ts';
import { check } from './check.ts';
import { commandOf, readCall } from './cni-call.ts';
import { CNI_ERROR, CniError, errorJson } from './cni-error.ts';
import { resultJson } from './cni-result.ts';
import type { Fields } from './conf-fields.ts';
import { collectGarbage, detach } from './detach.ts';
import { parseJsonObject, readNetConf } from './net-conf.ts';
import { pluginStatus } from './plugin-status.ts';
import { type CniCommand, NEWEST_VERSION, requireCommand, SPEC_VERSIONS } from './spec-version.ts';

export interface Outcome {
  readonly stdout: string;
  readonly exitCode: 0 | 1;
}

/** Runs the command that the environment names. `readInput` gives all of standard input. Never rejects. */
export async function runPlugin(
  env: Readonly<Record<string, string | undefined>>,
  readInput: () => string,
): Promise<Outcome> {
  let cniVersion: string = NEWEST_VERSION;
  try {
    const command = commandOf(env);
    const input = readInput();
    // Nobody has to hand anything to VERSION.
    const fields = command === 'VERSION' && input.trim() === '' ? {} : parseJsonObject(input);
    const asked = fields['cniVersion'];
    if (typeof asked === 'string') cniVersion = asked;
    return { stdout: await runCommand(command, fields, env), exitCode: 0 };
  } catch (error) {
    return { stdout: `${errorJson(error, cniVersion)}\n`, exitCode: 1 };
  }
}

async function runCommand(
  command: CniCommand,
  fields: Fields,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  if (command === 'VERSION') {
    const cniVersion = fields['cniVersion'] ?? NEWEST_VERSION;
    return `${JSON.stringify({ cniVersion, supportedVersions: SPEC_VERSIONS })}\n`;
  }
  const conf = readNetConf(fields);
  requireCommand(command, conf.cniVersion);
  switch (command) {
    case 'ADD':
      return `${resultJson(await attach(conf, readCall(command, env)), conf.cniVersion)}\n`;
    case 'DEL':
      await detach(conf, readCall(command, env));
      return '';
    case 'CHECK':
      await check(conf, readCall(command, env));
      return '';
    case 'GC':
      await collectGarbage(conf);
      return '';
    case 'STATUS':
      await pluginStatus(conf);
      return '';
    default:
      throw new CniError(CNI_ERROR.internal, `no such command: ${String(command satisfies never)}`);
  }
}
