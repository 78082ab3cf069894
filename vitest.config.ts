// How the tests run: `core` needs no privilege of its own and runs in parallel, `topology` makes namespaces and processes.
//
// Tests that need root say so and skip with the reason; nothing here decides what runs.

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Two projects, one after the other: what needs no privilege, then what makes namespaces and processes. Those files wait
    // for timers of daemons more than they compute, so that two at once are bearable on two cores; each has names of its own.
    projects: [
      {
        test: {
          name: 'core',
          include: ['test/tidy.test.ts', 'test/{unit,property,contract}/**/*.test.ts'],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'topology',
          include: ['test/topology/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
