// `gingham drain` and `gingham undrain`: ask this node's bgpd to send traffic elsewhere before the node leaves (RFC 8326).
//
// Nothing is withdrawn: routes of which this node is the only way stay usable until bgpd stops.

import { z } from 'zod';
import { EXIT } from '../lib/run/exit.ts';
import { askDaemon } from './daemon-http.ts';

const ANSWER_MS = 10_000;

const answerSchema = z.object({
  draining: z.boolean(),
  established: z.number().optional(),
  detail: z.string().optional(),
});

/** Prints what bgpd did; 0 when it is as asked, else 1. */
export async function drain(runFolder: string, draining: boolean): Promise<number> {
  const path = draining ? '/drain' : '/undrain';
  const answer = await askDaemon(runFolder, 'bgpd', path, ANSWER_MS, 'POST');
  const problem = typeof answer === 'string' ? answer : problemOf(answer.body, draining);
  if (problem === undefined) return EXIT.ok;
  process.stderr.write(`${problem}\n`);
  return EXIT.internal;
}

function problemOf(body: string, draining: boolean): string | undefined {
  try {
    const answer = answerSchema.parse(JSON.parse(body));
    if (answer.draining !== draining) return `bgpd: ${answer.detail ?? 'did not do it'}`;
    const peers = `${answer.established ?? 0} peers were told`;
    process.stdout.write(draining ? `draining: ${peers}\n` : `in service: ${peers}\n`);
    return undefined;
  } catch {
    return `bgpd does not know this command: it answered ${JSON.stringify(body.slice(0, 100))}`;
  }
}
