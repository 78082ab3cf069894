// What a runtime says by environment variables: the command, and which container and interface it is about.
//
//   CNI_COMMAND      ADD, DEL, CHECK, GC, STATUS, VERSION
//   CNI_CONTAINERID  CNI_IFNAME   CNI_NETNS (a file that refers to a network namespace)   ADD, DEL, CHECK
//   CNI_ARGS         KEY=value;KEY=value: IP, MAC, IgnoreUnknown; the last lets other keys pass
//   CNI_PATH         where plugins are; this plugin runs none
//
// A runtime may leave CNI_NETNS out of DEL: the namespace is gone by then.

import { type Address, parseAddress } from '../lib/net/address.ts';
import { type Mac, parseMac } from '../lib/net/mac.ts';
import { LINK_NAME_MAX_BYTES } from '../lib/wire/rtnetlink-links.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';
import { type CniCommand, COMMANDS } from './spec-version.ts';

/** A container's interface: the key of everything that the plugin keeps. */
export interface Attachment {
  readonly containerId: string;
  readonly ifname: string;
}

export interface CniCall extends Attachment {
  readonly netns: string | undefined;
  readonly args: CniArgs;
}

export interface CniArgs {
  readonly ips: readonly Address[];
  readonly mac?: Mac;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The command. Throws `CniError` (4). */
export function commandOf(env: Environment): CniCommand {
  const command = COMMANDS.find((candidate) => candidate === env['CNI_COMMAND']);
  if (command !== undefined) return command;
  return refuse('CNI_COMMAND', env['CNI_COMMAND'], COMMANDS.join(', '));
}

/** Container, interface and arguments of ADD, DEL and CHECK. Throws `CniError` (4). */
export function readCall(command: CniCommand, env: Environment): CniCall {
  const netns = env['CNI_NETNS'] || undefined;
  if (netns === undefined && command !== 'DEL') refuse('CNI_NETNS', netns, 'the path of a network namespace');
  return { ...readAttachment(env['CNI_CONTAINERID'], env['CNI_IFNAME']), netns, args: readArgs(env['CNI_ARGS'] ?? '') };
}

/** Whether this can be a container's id and its interface's name; the same rules for both ways in which they come. */
export function isAttachment(containerId: unknown, ifname: unknown): boolean {
  if (typeof containerId !== 'string' || typeof ifname !== 'string') return false;
  return isContainerId(containerId) && isLinkName(ifname);
}

/** As the kernel takes names of links (dev_valid_name), and without `..` of any kind. */
export function isLinkName(name: string): boolean {
  return Buffer.byteLength(name) <= LINK_NAME_MAX_BYTES && /^[^\s/:]+$/.test(name) && name !== '.' && name !== '..';
}

function isContainerId(id: string): boolean {
  return /^[a-zA-Z0-9][\w.-]{0,254}$/.test(id);
}

function readAttachment(containerId = '', ifname = ''): Attachment {
  if (!isContainerId(containerId)) {
    refuse('CNI_CONTAINERID', containerId, 'letters, digits, _ . and -, starting with a letter or digit');
  }
  if (!isLinkName(ifname)) refuse('CNI_IFNAME', ifname, 'a name of 1 to 15 bytes without blanks, / and :');
  return { containerId, ifname };
}

function readArgs(text: string): CniArgs {
  const pairs = text.split(';').filter((pair) => pair !== '');
  const values = new Map(pairs.map((pair) => [pair.split('=', 1)[0] ?? '', pair.slice(pair.indexOf('=') + 1)]));
  const ignoreUnknown = /^(1|true)$/i.test(values.get('IgnoreUnknown') ?? '');
  for (const pair of pairs) if (!pair.includes('=')) refuse('CNI_ARGS', text, 'KEY=value;KEY=value');
  for (const key of values.keys()) {
    if (!['IP', 'MAC', 'IgnoreUnknown'].includes(key) && !ignoreUnknown) {
      refuse('CNI_ARGS', text, `IP and MAC, and ${key} only with IgnoreUnknown=1`);
    }
  }
  const ips = (values.get('IP') ?? '').split(',').filter((ip) => ip !== '');
  const mac = values.get('MAC');
  return {
    ips: ips.map((ip) => parseAddress(ip.split('/', 1)[0] ?? '') ?? refuse('CNI_ARGS', text, 'IP=<address>')),
    ...(mac !== undefined && { mac: parseMac(mac) ?? refuse('CNI_ARGS', text, 'MAC=<six hex pairs>') }),
  };
}

function refuse(variable: string, value: string | undefined, accepts: string): never {
  const said = value ? `${variable}=${value} is not accepted` : `${variable} is missing`;
  throw new CniError(CNI_ERROR.invalidEnvironment, `${said}: it takes ${accepts}`);
}
