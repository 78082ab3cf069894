// How a call of the GoBGP API is refused: a status code of gRPC with words for the person who typed the command.
//
// Handlers throw it; server.ts turns it into the call's status. Anything else that is thrown is a defect and says INTERNAL.

import { status } from '@grpc/grpc-js';

export type RefusalCode =
  | 'INVALID_ARGUMENT'
  | 'NOT_FOUND'
  | 'FAILED_PRECONDITION'
  | 'RESOURCE_EXHAUSTED'
  | 'UNAVAILABLE'
  | 'UNIMPLEMENTED';

export class Refusal extends Error {
  readonly code: status;

  constructor(code: RefusalCode, words: string) {
    super(words);
    this.name = 'Refusal';
    this.code = status[code];
  }
}
