// Progress for people: a line that rewrites itself on a terminal, a line a step elsewhere.
//
// The stream is a stand-in for standard error.

import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { seconds, showProgress } from '../../../lab/progress.ts';

it('writes one line a step where there is no terminal', () => {
  const { stream, text } = output(false);
  const progress = showProgress(stream);
  progress.step('making 8 namespaces');
  progress.detail('3 of 8');
  progress.step('starting etcd');
  progress.end();
  expect(text()).toMatch(/^\[ +\d+\.\d s\] making 8 namespaces\n\[ +\d+\.\d s\] starting etcd\n$/);
});

it('rewrites one line on a terminal, never wider than it, and removes it', () => {
  const { stream, text } = output(true);
  const progress = showProgress(stream);
  progress.step('x'.repeat(200));
  progress.end();
  const lines = text().split('\r\x1b[K');
  expect(lines[1]).toHaveLength(79);
  expect(lines.at(-1)).toBe('');
});

it('shows seconds', () => {
  expect(seconds(3_241)).toBe('3.24 s');
});

function output(isTTY: boolean): { stream: NodeJS.WriteStream; text: () => string } {
  const parts: string[] = [];
  const stream = new PassThrough();
  stream.on('data', (part) => parts.push(String(part)));
  return { stream: Object.assign(stream, { isTTY }) as unknown as NodeJS.WriteStream, text: () => parts.join('') };
}
