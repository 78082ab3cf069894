// How the plugin fails: the codes of the CNI specification (section "Error"), and those of this plugin from 100 on.
//
// A runtime reads the code, a person `msg` and `details`. Nothing else is ever printed on standard output after a failure.

export const CNI_ERROR = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodingFailure: 6,
  invalidConfig: 7,
  /** It may work later, without anybody mending anything by hand. */
  tryAgainLater: 11,
  /** STATUS: no ADD can be served. */
  notAvailable: 50,
  /** STATUS: nor do all containers that are there have their connectivity. */
  notAvailableLimited: 51,
  /** Every address of the node's subnet is a pod's. */
  addressesExhausted: 100,
  /** The address that was asked for is another pod's. */
  addressTaken: 101,
  /** The kernel refused a change. */
  kernelRefused: 102,
  /** CHECK: something is not as ADD left it. */
  checkFailed: 103,
  /** ADD: this container has this interface already. */
  alreadyAttached: 104,
  /** A bug. */
  internal: 999,
} as const;

export type CniErrorCode = (typeof CNI_ERROR)[keyof typeof CNI_ERROR];

export class CniError extends Error {
  override readonly name = 'CniError';
  readonly code: CniErrorCode;
  readonly details: string;

  /** `message` is one line that says what to mend; `details` whatever else helps. */
  constructor(code: CniErrorCode, message: string, details = '', options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
  }
}

/** The JSON that a runtime gets for anything that was thrown. */
export function errorJson(error: unknown, cniVersion: string): string {
  const known = error instanceof CniError ? error : undefined;
  const thrown = error instanceof Error ? error : new Error(String(error));
  const code = known?.code ?? CNI_ERROR.internal;
  const details = known?.details ?? thrown.stack ?? '';
  return JSON.stringify({ cniVersion, code, msg: thrown.message, ...(details && { details }) });
}
