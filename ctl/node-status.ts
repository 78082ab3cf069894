// `gingham status`: what the three daemons of this node promise right now, check by check.
//
// Not a summary: a failing check is shown in the daemon's own words.

import { EXIT } from '../lib/run/exit.ts';
import { askReadiness, DAEMONS, type DaemonName, type Readiness } from './daemon-http.ts';
import { askStatus } from './daemon-status.ts';
import { renderTable } from './table.ts';
import { yesNoTone } from './tone.ts';

/** What `status --json` prints for each daemon: what it said, or why it said nothing. */
export type DaemonReport =
  | { readonly daemon: DaemonName; readonly readiness: Readiness; readonly status: Record<string, unknown> | null }
  | { readonly daemon: DaemonName; readonly silent: string };

/**
 * Prints the daemons' state; 0 when all that run here are ready, else 1. A daemon that was never started on this node
 * (bgpd in flannel mode) does not count, unless none was.
 */
export async function nodeStatus(runFolder: string, json: boolean): Promise<number> {
  const reports = await Promise.all(DAEMONS.map((daemon) => reportOf(runFolder, daemon)));
  const lines = json ? [JSON.stringify({ runFolder, daemons: reports })] : statusLines(reports);
  process.stdout.write(`${lines.join('\n')}\n`);
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
  return { daemon, readiness, status: typeof status === 'string' ? null : status };
}

function isReady(report: DaemonReport): boolean {
  return 'readiness' in report && report.readiness.ready;
}

function isAbsent(report: DaemonReport): boolean {
  return 'silent' in report && report.silent.includes('has not started');
}
