// Another node really has what this node held: who, where, and whether another subnet would help.
// Not the decision: exit or another subnet is the operator's choice (--on-conflict).

import { EXIT, ExitError } from '../../lib/run/exit.ts';
import { type Lease, leaseSubnets } from './lease.ts';

export class LeaseConflict extends ExitError {
  /** The other has this node's name too: with a new subnet it would be taken for this node again. */
  readonly isNamesake: boolean;

  constructor(lease: Lease, other: Lease) {
    super(
      EXIT.conflict,
      `the subnet ${leaseSubnets(lease).join(' and ')} of this node is held by ${holderOf(lease, other)} (${other.key})`,
    );
    this.isNamesake = other.nodeName === lease.nodeName;
  }
}

function holderOf(lease: Lease, other: Lease): string {
  const address = other.publicIp ?? other.publicIp6;
  if (other.nodeName === lease.nodeName) {
    return `another node that also calls itself ${lease.nodeName} (at ${address}): give each its own --node-name`;
  }
  if (address === undefined) return `a reservation for node ${other.nodeName}`;
  return `node ${other.nodeName || '(unnamed)'} at ${address}`;
}
