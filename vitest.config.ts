import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Two projects: what needs no privilege runs in parallel; what makes namespaces and processes runs a file at a time.
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
          fileParallelism: false,
        },
      },
    ],
  },
});
