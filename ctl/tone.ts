// Colour for people: good, bad and doubtful words stand out on a terminal and nowhere else.
//
// A pipe, a file, NO_COLOR (no-color.org) or TERM=dumb get plain text: a table can then be cut and searched.

import { styleText } from 'node:util';

export type Tone = 'good' | 'bad' | 'doubt';

const COLOURS = { good: 'green', bad: 'red', doubt: 'yellow' } as const;

/** `text` in the colour of `tone`, where standard output is a terminal that wants colour. */
export function toned(text: string, tone: Tone | undefined): string {
  if (tone === undefined || !wantsColour()) return text;
  // Whether there is a terminal is decided above, and not by the stream that newer versions look at themselves.
  return styleText(COLOURS[tone], text, { validateStream: false } as object);
}

/** The tone of a cell that says whether something is as it should be. */
export function yesNoTone(cell: string): Tone | undefined {
  if (cell === 'yes') return 'good';
  return cell === 'no' ? 'bad' : undefined;
}

function wantsColour(): boolean {
  const { NO_COLOR = '', TERM } = process.env;
  return process.stdout.isTTY && NO_COLOR === '' && TERM !== 'dumb';
}
