// Why a tunnel device cannot be had, and what to do about it, in one line.
// The errno that the kernel gives says little; here it becomes the thing to change: a capability, a module, a device, a VNI.

import { type Kernel, type KernelChange, KernelError, type KernelFailure, type Link } from '../../lib/kernel/kernel.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';

/** The kernel refused a change. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly failure: KernelFailure;

  constructor(failure: KernelFailure) {
    super(`${failure.what}: ${failure.code}${failure.message === undefined ? '' : ` (${failure.message})`}`);
    this.failure = failure;
  }
}

/** A device has our name and is not ours. */
export class ForeignDevice extends Error {
  override readonly name = 'ForeignDevice';

  constructor({ name, type = 'physical', alias }: Link) {
    super(`${name} exists and is not gingham's: a ${type} device ${alias ? `with alias "${alias}"` : 'without alias'}`);
  }
}

/** Writes, tells `done` of each change that was taken, and throws the first refusal. */
export async function applyAll(
  kernel: Kernel,
  changes: readonly KernelChange[],
  done: (change: KernelChange) => void = () => undefined,
): Promise<void> {
  if (changes.length === 0) return;
  const results = await kernel.apply(changes);
  let refused: KernelFailure | undefined;
  for (const [at, change] of changes.entries()) {
    if (results[at] === undefined) done(change);
    else refused ??= results[at];
  }
  if (refused !== undefined) throw new Refused(refused);
}

/** The error with which a daemon ends that cannot have its device. */
export function deviceError(error: unknown, name: string): ExitError {
  if (error instanceof ExitError) return error;
  const say = (message: string): ExitError => new ExitError(EXIT.environment, message, { cause: error });
  const code = error instanceof Refused ? error.failure.code : error instanceof KernelError ? error.code : undefined;
  switch (code) {
    case 'EPERM':
    case 'EACCES':
    case 'permission':
      return say(`cannot make ${name}: flanneld needs the capability NET_ADMIN (run it as root, or grant it)`);
    case 'EOPNOTSUPP':
    case 'ENOTSUPP':
      return say(`cannot make ${name}: this kernel has no VXLAN (load the module vxlan, or use --vxlan-user)`);
    case 'EEXIST':
      return say(`cannot make ${name}: another device already has this VNI on this UDP port`);
    default:
      return error instanceof ForeignDevice
        ? say(`cannot make ${name}: remove that device (ip link delete ${name}) or choose another Backend.VNI`)
        : say(`cannot make ${name}`);
  }
}
