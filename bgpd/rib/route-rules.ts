// What may pass from a peer into the RIB, and from the RIB to which peers: the rules of BGP itself, no operator's policy.
//
// In: loop checks (RFC 4271 section 9.1.2, RFC 4456 section 8). Out: routes of internal peers stay off other internal
// peers (RFC 4271 section 9.2.1) but for what a reflector passes on (RFC 4456), external peers get the own AS prepended and no
// LOCAL_PREF. NEXT_HOP is never rewritten: it names the node whose tunnel ends there, and every node can reach it.

import {
  type Attributes,
  COMMUNITY,
  DEFAULT_LOCAL_PREF,
  isLongLivedStale,
  type RouterId,
  withCommunity,
} from './attributes.ts';
import type { Path, SourceKind } from './path.ts';

/** This node, as the rules need it. */
export interface Speaker {
  readonly asn: number;
  readonly routerId: RouterId;
  /** This node reflects routes, in this cluster (RFC 4456 section 7); absent: it does not. */
  readonly clusterId?: RouterId;
}

/** Peers with equal export rules: they get the same messages. */
export interface ExportRules {
  readonly kind: Exclude<SourceKind, 'local'>;
  readonly speaker: Speaker;
  /** They are clients of this reflector. */
  readonly client?: boolean;
  /** They know long-lived stale routes (RFC 9494): nobody else is told of any. */
  readonly longLived?: boolean;
  /** This node is about to leave: everything is announced as the last choice (RFC 8326 section 4.2). */
  readonly draining?: boolean;
}

/** The route has passed this node, its AS or its cluster already. */
export type Loop = 'as-loop' | 'own-originator-id' | 'own-cluster-id';

export type Refusal = 'no-local-pref' | 'wrong-first-as' | Loop;

/** Who sent it, as the rules need it. */
export interface Sender {
  readonly kind: ExportRules['kind'];
  readonly asn: number;
}

/** Why a received attribute set must not be used; `undefined` where it may. */
export function refuseImport(attributes: Attributes, sender: Sender, speaker: Speaker): Refusal | undefined {
  // RFC 4271 section 5.1.5: LOCAL_PREF is mandatory inside an AS (RFC 7606 section 3 d: then treat as withdraw).
  if (sender.kind === 'ibgp' && attributes.localPref === undefined) return 'no-local-pref';
  // RFC 4271 section 6.3: an external peer's own AS comes first; that the path is not empty follows.
  if (sender.kind === 'ebgp' && attributes.asPath[0] !== sender.asn) return 'wrong-first-as';
  if (attributes.asPath.includes(speaker.asn)) return 'as-loop';
  if (attributes.originatorId === speaker.routerId) return 'own-originator-id';
  if (attributes.clusterList.includes(speaker.clusterId ?? speaker.routerId)) return 'own-cluster-id';
  return undefined;
}

/** Whether a refusal is the rule at work (RFC 4456 section 8: ignore it) and no mistake of the peer. */
export function isLoop(refusal: Refusal): refusal is Loop {
  return refusal === 'as-loop' || refusal === 'own-originator-id' || refusal === 'own-cluster-id';
}

/** What of an attribute set counts when a peer of this kind sent it (RFC 4271 section 5.1.5, RFC 7606 section 7.9). */
export function importAttributes(attributes: Attributes, kind: ExportRules['kind']): Attributes {
  // RFC 8326 section 4.1: whoever is about to leave is the last choice.
  const leaving = attributes.communities.includes(COMMUNITY.gracefulShutdown) ? { localPref: 0 } : {};
  if (kind === 'ibgp') {
    // A missing LOCAL_PREF stays a flaw.
    return attributes.localPref === undefined || attributes.localPref === 0
      ? attributes
      : { ...attributes, ...leaving };
  }
  const { localPref: _localPref, originatorId: _originatorId, weight: _weight, ...rest } = attributes;
  return { ...rest, clusterList: [], ...leaving };
}

/** The attributes with which a path is told to peers of these rules; `undefined` where it is not told to them. */
export function exportAttributes(path: Path, rules: ExportRules): Attributes | undefined {
  const attributes = exportByKind(path, rules);
  if (attributes === undefined || rules.draining !== true) return attributes;
  return {
    ...withCommunity(attributes, COMMUNITY.gracefulShutdown),
    ...(rules.kind === 'ibgp' && { localPref: 0 }),
  };
}

function exportByKind({ source, attributes }: Path, rules: ExportRules): Attributes | undefined {
  const { communities } = attributes;
  if (communities.includes(COMMUNITY.noAdvertise)) return undefined;
  // RFC 9494 section 4.5.
  if (isLongLivedStale(attributes) && rules.longLived !== true) return undefined;
  if (rules.kind === 'ibgp') {
    const told = { ...attributes, localPref: attributes.localPref ?? DEFAULT_LOCAL_PREF };
    if (source.kind !== 'ibgp') return told;
    const { clusterId } = rules.speaker;
    // RFC 4456 section 6: from a client to everybody, from others to clients.
    if (clusterId === undefined || !(source.client === true || rules.client === true)) return undefined;
    return {
      ...told,
      originatorId: attributes.originatorId ?? source.routerId,
      clusterList: [clusterId, ...attributes.clusterList],
    };
  }
  if (communities.includes(COMMUNITY.noExport) || communities.includes(COMMUNITY.noExportSubconfed)) return undefined;
  const { localPref: _localPref, originatorId: _originatorId, weight: _weight, med, ...rest } = attributes;
  return {
    ...rest,
    asPath: [rules.speaker.asn, ...attributes.asPath],
    clusterList: [],
    // RFC 4271 section 5.1.4: a MED from one neighbour AS is not passed to another.
    ...(source.kind === 'local' && med !== undefined && { med }),
  };
}
