// The frame of a test that is a program of its own (deploy, compose): phases one after the other, what undoes them, and
// the closing line "N passed, N failed".
//
// The confusing thing: a signal ends the run in order too. What is undone then makes the phase that is under way fail;
// that failure is not told, since `isEnding` says that it is our own doing.

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endAll } from './compose/process.mjs';
import { removeFolder } from './compose/scratch-folder.mjs';

/**
 * What a run works with: `folder` is an empty one of its own, `undo` a list of functions that are called in reverse at
 * the end, `phase(name, work)` runs one step and gives its result, `isEnding()` says whether the run is being ended,
 * and `carryOut(main)` runs the whole and ends the process.
 */
export function openRun(name) {
  const started = performance.now();
  const folder = mkdtempSync(join(tmpdir(), `gingham-${name}-`));
  const undo = [() => removeFolder(folder)];
  const count = { passed: 0, failed: 0 };
  let ending = false;

  async function finish() {
    if (ending) return new Promise(() => undefined);
    ending = true;
    await endAll();
    for (const step of undo.reverse()) {
      try {
        await step();
      } catch (error) {
        count.failed++;
        console.log(`FAILED clean-up: ${error.message}`);
      }
    }
    console.log(`${name} test: ${seconds(started, 0)}`);
    console.log(`${count.passed} passed, ${count.failed} failed`);
    process.exit(count.failed === 0 ? 0 : 1);
  }

  /** Prints the step's name, what it tells where that is a text, and its time; a failure names the step. */
  async function phase(step, work) {
    const begun = performance.now();
    try {
      const result = await work();
      count.passed++;
      const told = typeof result === 'string' && result !== '' ? `: ${result}` : '';
      console.log(`  ok ${step}${told} (${seconds(begun, 1)})`);
      return result;
    } catch (error) {
      throw new Error(`${step} (${seconds(begun, 1)}): ${error.message}`, { cause: error });
    }
  }

  async function carryOut(main) {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.on(signal, () => {
        if (ending) return;
        console.log(`${signal}: taking everything down`);
        count.failed++;
        finish().catch((error) => console.error(error.message));
      });
    }
    await main().catch((error) => {
      if (ending) return;
      count.failed++;
      console.log(`FAILED ${error.message}`);
    });
    await finish();
  }

  return { folder, undo, phase, isEnding: () => ending, carryOut };
}

function seconds(since, digits) {
  return `${((performance.now() - since) / 1000).toFixed(digits)} s`;
}
