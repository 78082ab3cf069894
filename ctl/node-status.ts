// `gingham status`: what the three daemons of this node promise right now, check by check.
//
// Not a summary: a failing check is shown in the daemon's own words.

import { z } from 'zod';
import { EXIT } from '../lib/run/exit.ts';
import { print } from './answer.ts';
import { askReadiness, DAEMONS, type DaemonName } from './daemon-http.ts';
import { askStatus } from './daemon-status.ts';
import { renderTable } from './table.ts';
import { yesNoTone } from './tone.ts';

const reportSchema = z.union([
  z.object({
    daemon: z.enum(DAEMONS),
    readiness: z.object({
      ready: z.boolean(),
      checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string() })),
    }),
    /** As the daemon tells it; null where it told nothing that can be read. */
    status: z.record(z.string(), z.unknown()).nullable(),
  }),
  z.object({ daemon: z.enum(DAEMONS), silent: z.string() }),
]);

/** What `status --json` prints: what each daemon said, or why it said nothing. */
export const statusAnswer = z.object({ runFolder: z.string(), daemons: z.array(reportSchema) });

export type DaemonReport = z.infer<typeof reportSchema>;

/**
 * Prints the daemons' state; 0 when all that run here are ready, else 1. A daemon that was never started on this node
 * (bgpd in flannel mode) does not count, unless none was.
 */
export async function nodeStatus(runFolder: string, json: boolean): Promise<number> {
  const reports = await Promise.all(DAEMONS.map((daemon) => reportOf(runFolder, daemon)));
  print(statusAnswer, { runFolder, daemons: reports }, json, ({ daemons }) => statusLines(daemons));
  const here = reports.filter((report) => !isAbsent(report));
  return here.length > 0 && here.every(isReady) ? EXIT.ok : EXIT.internal;
}

/** One line a check, at most 100 columns. */
export function statusLines(reports: readonly DaemonReport[]): readonly string[] {
  const rows = reports.flatMap((report) => {
    if ('silent' in report) return [[report.daemon, isAbsent(report) ? '-' : 'no', 'process', report.silent]];
    return report.readiness.checks.map((check, index) => [
      index === 0 ? report.daemon : '',
      check.ok ? 'yes' : 'no',
      check.name,
      check.detail,
    ]);
  });
  return renderTable(['DAEMON', 'OK', 'CHECK', 'DETAIL'], rows, yesNoTone);
}

async function reportOf(runFolder: string, daemon: DaemonName): Promise<DaemonReport> {
  const [readiness, status] = await Promise.all([askReadiness(runFolder, daemon), askStatus(runFolder, daemon)]);
  if (typeof readiness === 'string') return { daemon, silent: readiness };
  const told = { ready: readiness.ready, checks: [...readiness.checks] };
  return { daemon, readiness: told, status: typeof status === 'string' ? null : status };
}

function isReady(report: DaemonReport): boolean {
  return 'readiness' in report && report.readiness.ready;
}

function isAbsent(report: DaemonReport): boolean {
  return 'silent' in report && report.silent.includes('has not started');
}
