// The network configuration that a runtime writes to standard input, checked: every field that the plugin knows, by the
// names that the CNI project's own plugins use. docs/pods.md lists them.
//
// Fields that nobody knows are let pass (the specification wants that). Fields of the stock bridge plugin that would
// change what the pod gets, and that this plugin does not have, are refused (code 2): silence would be a lie.

import type { Address } from '../lib/net/address.ts';
import type { Mac } from '../lib/net/mac.ts';
import { type Attachment, isAttachment, isLinkName } from './cni-call.ts';
import { CNI_ERROR, CniError } from './cni-error.ts';
import { type CniResult, readResult } from './cni-result.ts';
import {
  type Fields,
  readAddressOf,
  readBoolean,
  readInteger,
  readList,
  readMacOf,
  readObject,
  readPath,
  readText,
} from './conf-fields.ts';
import { type Dns, type PodRoute, readDns, readRoutes } from './conf-routes.ts';
import { type SpecVersion, specVersion } from './spec-version.ts';

const DEFAULT_RUN_FOLDER = '/run/gingham';
const DEFAULT_DATA_FOLDER = '/var/lib/cni/gingham';
const DEFAULT_REUSE_DELAY_SECONDS = 10;

/** Of the stock plugins; each would be a promise. */
const UNSUPPORTED = [
  'vlan',
  'vlanTrunk',
  'macspoofchk',
  'enabledad',
  'forceAddress',
  'portIsolation',
  'disableContainerInterface',
];

export type PodMode = 'bridge' | 'routed';

export interface NetConf {
  readonly cniVersion: SpecVersion;
  /** Name of the network: what addresses are kept under. */
  readonly name: string;
  readonly mode: PodMode;
  readonly subnetFile: string;
  /** Of the daemons. */
  readonly runFolder: string;
  readonly dataFolder: string;
  readonly bridge: BridgeConf;
  /** Absent: that of the lease. */
  readonly mtuBytes?: number;
  readonly ipMasq: boolean;
  readonly routes: readonly PodRoute[];
  readonly dns: Dns;
  readonly reuseDelaySeconds: number;
  /** Addresses and MAC that were asked for, by runtimeConfig or args.cni. */
  readonly ips: readonly Address[];
  readonly mac?: Mac;
  readonly prevResult?: CniResult;
  /** GC: what is there. */
  readonly validAttachments?: readonly Attachment[];
}

export interface BridgeConf {
  readonly name: string;
  /** The bridge has the subnets' first addresses. */
  readonly isGateway: boolean;
  /** The pod's default route leads there. */
  readonly isDefaultGateway: boolean;
  readonly hairpin: boolean;
}

/** The JSON object in the text. Throws `CniError` (6). */
export function parseJsonObject(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const reason = `the network configuration on standard input is not JSON: ${(cause as Error).message}`;
    throw new CniError(CNI_ERROR.decodingFailure, reason, '', { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw new CniError(CNI_ERROR.decodingFailure, 'the network configuration on standard input is not a JSON object');
}

/** The configuration. Throws `CniError` (1, 2, 6 or 7), which names the field, its value and what is accepted. */
export function readNetConf(fields: Fields): NetConf {
  const cniVersion = specVersion(fields['cniVersion']);
  refuseUnsupported(fields);
  const name = readText(fields, 'name', /^[a-zA-Z0-9][\w.-]{0,127}$/, 'letters, digits, _ . and -');
  if (name === undefined) throw new CniError(CNI_ERROR.invalidConfig, 'name is missing: every network has one');
  const mode = readText(fields, 'mode', /^(bridge|routed)$/, 'bridge or routed') as PodMode | undefined;
  const runFolder = readPath(fields, 'runDir') ?? DEFAULT_RUN_FOLDER;
  const mtuBytes = readInteger(fields, 'mtu', 576, 65_535);
  const { ips, mac } = readRequested(fields);
  const prevResult = fields['prevResult'];
  return {
    cniVersion,
    name,
    mode: mode ?? 'bridge',
    runFolder,
    subnetFile: readPath(fields, 'subnetFile') ?? `${runFolder}/subnet.env`,
    dataFolder: readPath(fields, 'dataDir') ?? DEFAULT_DATA_FOLDER,
    bridge: readBridge(fields, mode ?? 'bridge'),
    // The stock plugin takes 0 for "not given".
    ...(mtuBytes !== undefined && { mtuBytes }),
    ipMasq: readBoolean(fields, 'ipMasq') ?? false,
    routes: readRoutes(fields),
    dns: readDns(readObject(fields, 'dns') ?? {}),
    reuseDelaySeconds: readInteger(fields, 'reuseDelaySeconds', 0, 86_400) ?? DEFAULT_REUSE_DELAY_SECONDS,
    ips,
    ...(mac !== undefined && { mac }),
    ...(prevResult !== undefined && prevResult !== null && { prevResult: readResult(prevResult) }),
    ...readValidAttachments(fields),
  };
}

function refuseUnsupported(fields: Fields): void {
  const given = (key: string): boolean => fields[key] !== undefined && fields[key] !== false && fields[key] !== 0;
  for (const key of UNSUPPORTED) if (given(key)) unsupported(key, fields[key], 'this plugin does not have it');
  if (given('promiscMode')) unsupported('promiscMode', fields['promiscMode'], 'the bridge is never promiscuous');
  const ipam = readObject(fields, 'ipam');
  if (ipam !== undefined && Object.keys(ipam).length > 0) {
    unsupported('ipam', ipam, "addresses come from the node's lease, without another plugin");
  }
}

function unsupported(key: string, value: unknown, reason: string): never {
  throw new CniError(CNI_ERROR.unsupportedField, `${key}: ${JSON.stringify(value)} is not supported: ${reason}`);
}

function readBridge(fields: Fields, mode: PodMode): BridgeConf {
  if (mode === 'routed') {
    for (const key of ['bridge', 'hairpinMode', 'isGateway', 'isDefaultGateway']) {
      if (fields[key] === undefined) continue;
      const reason = `${key}: ${JSON.stringify(fields[key])} is not accepted: mode "routed" has no bridge`;
      throw new CniError(CNI_ERROR.invalidConfig, reason);
    }
  }
  const name = readText(fields, 'bridge', /^/, '') ?? 'cni0';
  if (!isLinkName(name)) {
    const accepts = 'it takes a name of 1 to 15 bytes without blanks, / and :';
    throw new CniError(CNI_ERROR.invalidConfig, `bridge: ${JSON.stringify(name)} is not accepted: ${accepts}`);
  }
  const isGateway = readBoolean(fields, 'isGateway') ?? true;
  const isDefaultGateway = readBoolean(fields, 'isDefaultGateway') ?? isGateway;
  const hairpin = readBoolean(fields, 'hairpinMode') ?? false;
  // As in the stock plugin: who is the default gateway is a gateway.
  return { name, isGateway: isGateway || isDefaultGateway, isDefaultGateway, hairpin };
}

/** By the conventions of the CNI project: capabilities `ips` and `mac` in runtimeConfig, and the same in args.cni. */
function readRequested(fields: Fields): { readonly ips: readonly Address[]; readonly mac?: Mac } {
  const runtime = readObject(fields, 'runtimeConfig') ?? {};
  const args = readObject(readObject(fields, 'args') ?? {}, 'cni', 'args.cni') ?? {};
  const asked = [
    [args, 'args.cni'],
    [runtime, 'runtimeConfig'],
  ] as const;
  const ips = asked.flatMap(([from, where]) =>
    (readList(from, 'ips', `${where}.ips`) ?? []).map((ip) => readAddressOf(ip, `${where}.ips`)),
  );
  const [mac] = asked.flatMap(([from, where]) => readMacOf(from['mac'], `${where}.mac`) ?? []);
  return { ips, ...(mac !== undefined && { mac }) };
}

function readValidAttachments(fields: Fields): { readonly validAttachments?: readonly Attachment[] } {
  const key = 'cni.dev/valid-attachments';
  const list = readList(fields, key, key);
  if (list === undefined) return {};
  const validAttachments = list.map((each) => {
    const { containerID: containerId, ifname } = (each ?? {}) as { containerID?: unknown; ifname?: unknown };
    if (isAttachment(containerId, ifname)) return { containerId, ifname } as Attachment;
    const accepts = 'objects with containerID and ifname';
    throw new CniError(CNI_ERROR.invalidConfig, `${key}: ${JSON.stringify(each)} is not accepted: it takes ${accepts}`);
  });
  return { validAttachments };
}
