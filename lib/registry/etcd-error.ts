// What a failed gRPC call to etcd means to us: would waiting help, or did it say no.
//
// etcd answers with gRPC status codes and its own words in the details; the words are kept, credentials never are in them.

import { status } from '@grpc/grpc-js';
import { errorText } from '../run/exit.ts';
import { RegistryError } from './registry.ts';

/** Codes with which etcd refuses for good: the request, the identity or the state is wrong. */
const REFUSALS: ReadonlySet<number> = new Set([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.ALREADY_EXISTS,
  status.PERMISSION_DENIED,
  status.RESOURCE_EXHAUSTED,
  status.FAILED_PRECONDITION,
  status.OUT_OF_RANGE,
  status.UNIMPLEMENTED,
  status.UNAUTHENTICATED,
]);

/** Turns what a call threw into a `RegistryError` that names the endpoint. */
export function registryError(error: unknown, endpoint: string): RegistryError {
  if (error instanceof RegistryError) return error;
  const { code, details } = error as { code?: unknown; details?: unknown };
  const words = typeof details === 'string' && details !== '' ? plain(details) : errorText(error);
  const refused = typeof code === 'number' && REFUSALS.has(code);
  // No `cause`: it would say the same again.
  return new RegistryError(refused ? 'refused' : 'unavailable', `etcd ${endpoint}: ${words}`);
}

/** The token has expired or etcd has forgotten it (simple tokens do not outlive a restart): authenticating again helps. */
export function isStaleToken(error: RegistryError): boolean {
  return error.message.includes('invalid auth token') || error.message.includes('revision of auth store is old');
}

/** grpc-js wraps the error of the socket in sentences of its own. */
function plain(details: string): string {
  const wrapped = /Last error: (?:Error: )?(.+?)\.? ?(?:Resolution note: ?)?$/.exec(details);
  return (wrapped?.[1] ?? details).replaceAll(/\s+/g, ' ').slice(0, 300);
}
