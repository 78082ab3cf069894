// Tells a waiting person what is being done: one line that rewrites itself on a terminal, one line a step elsewhere.
//
// On standard error, so that a command's output stays what it is asked for.

import { clip } from '../ctl/table.ts';

const REDRAW_MS = 100;

export interface Progress {
  /** The step that begins now. */
  step(text: string): void;
  /** How far the step is; on a terminal only. */
  detail(text: string): void;
  /** Removes the line; nothing may be said afterwards. */
  end(): void;
  /** Milliseconds since the beginning. */
  elapsedMs(): number;
}

/** Progress on standard error. */
export function showProgress(stream: NodeJS.WriteStream = process.stderr): Progress {
  const startMs = performance.now();
  const elapsedMs = (): number => performance.now() - startMs;
  let step = '';
  let detail = '';
  const line = (): string => `[${(elapsedMs() / 1000).toFixed(1).padStart(5)} s] ${step}${detail && `: ${detail}`}`;
  const draw = (): void => void stream.write(`\r\x1b[K${clip(line(), (stream.columns || 80) - 1)}`);
  const timer = stream.isTTY ? setInterval(draw, REDRAW_MS) : undefined;
  timer?.unref();
  return {
    elapsedMs,
    step(text) {
      step = text;
      detail = '';
      if (stream.isTTY) draw();
      else stream.write(`${line()}\n`);
    },
    detail(text) {
      detail = text;
    },
    end() {
      clearInterval(timer);
      if (stream.isTTY) stream.write('\r\x1b[K');
    },
  };
}

/** Seconds with two decimals: `3.24 s`. */
export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}
