// `gingham doctor`: looks for what commonly breaks an overlay, and says how each thing is mended.
//
// It changes nothing. What it cannot look at it says; it never counts as fine.

import { z } from 'zod';
import { EXIT } from '../../lib/run/exit.ts';
import { print } from '../answer.ts';
import { renderTable } from '../table.ts';
import { toned } from '../tone.ts';
import { examine } from './checks.ts';
import { gatherFacts } from './gather.ts';

/** What `doctor --json` prints. */
export const doctorAnswer = z.object({
  failed: z.number(),
  warned: z.number(),
  findings: z.array(
    z.object({
      check: z.string(),
      state: z.enum(['ok', 'warn', 'fail']),
      detail: z.string(),
      mend: z.string().optional(),
    }),
  ),
});

type DoctorAnswer = z.infer<typeof doctorAnswer>;

const TONES = { ok: 'good', warn: 'doubt', fail: 'bad' } as const;

/** Prints the findings; 1 where something is wrong, 0 where all is well or only doubtful. */
export async function showDoctor(runFolder: string, endpoints: readonly string[], json: boolean): Promise<number> {
  const findings = examine(await gatherFacts(runFolder, endpoints));
  const count = (state: string): number => findings.filter((finding) => finding.state === state).length;
  const answer = { failed: count('fail'), warned: count('warn'), findings: [...findings] };
  print(doctorAnswer, answer, json, doctorLines);
  return answer.failed === 0 ? EXIT.ok : EXIT.internal;
}

/** A table of the checks, then what to do about each that is not ok. */
export function doctorLines({ findings, failed, warned }: DoctorAnswer): readonly string[] {
  const rows = findings.map(({ state, check, detail }) => [state, check, detail]);
  const toMend = findings.filter(({ state }) => state !== 'ok');
  return [
    ...renderTable(['', 'CHECK', 'SEEN'], rows, (cell, column) =>
      column === 0 && cell in TONES ? TONES[cell as keyof typeof TONES] : undefined,
    ),
    ...toMend.flatMap(({ state, check, detail, mend = '' }) => [
      '',
      `${toned(state, TONES[state])}  ${check}: ${detail}`,
      `      ${mend}`,
    ]),
    '',
    toMend.length === 0 ? 'nothing is wrong' : `${failed} wrong, ${warned} doubtful`,
  ];
}
