// What the command thread sends of many changes: all of them, in order, a few per message, before anything else happens.
// What a change means is the table's business.

import { expect, test } from 'vitest';
import { ChangeOutbox } from '../../../../flanneld/dataplane/change-outbox.ts';

test('sends all changes in order, at most eight a message, and the rest as soon as the caller is done', async () => {
  const sent: number[][] = [];
  const outbox = new ChangeOutbox((changes) => sent.push([...changes]));
  for (let i = 0; i < 20; i++) outbox.put([i, 100 + i]);
  outbox.put([]);
  expect(sent.map(({ length }) => length)).toEqual([16, 16]);
  await Promise.resolve();
  expect(sent.map(({ length }) => length)).toEqual([16, 16, 8]);
  expect(sent.flat()).toEqual(Array.from({ length: 20 }, (_, i) => [i, 100 + i]).flat());
  outbox.put([7]);
  await Promise.resolve();
  expect(sent.at(-1)).toEqual([7]);
});
