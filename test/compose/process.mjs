// Runs other programs for the compose test: one place for time limits, captured output and errors that say what ran.
//
// Plain JavaScript like the rest of this folder: it runs before anything is built.

import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

/** How much of a failed program's output its error repeats. */
const LAST_LINES = 40;

/** What runs now. */
const running = new Set();

/**
 * Runs `command` to its end and gives its standard output. Rejects with what it printed where it fails or takes longer
 * than `limitSeconds`; it is then killed, with all that it started. `input` is fed to it, else it has none.
 */
export function run(command, args, { limitSeconds = 60, input, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const stdio = [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'];
    // A process group of its own: it can be ended whole, and Ctrl-C reaches us alone, who end it in order.
    const child = spawn(command, args, { stdio, detached: true, ...options });
    running.add(child);
    let out = '';
    let all = '';
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      out += text;
      all += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      all += text;
    });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      signalGroup(child, 'SIGKILL');
    }, limitSeconds * 1000);
    const fail = (why) => {
      const said = all.trimEnd().split('\n').slice(-LAST_LINES).join('\n');
      reject(new Error(`"${command} ${args.join(' ')}" ${why}${said === '' ? '' : `:\n${said}`}`));
    };
    const over = () => {
      clearTimeout(timer);
      running.delete(child);
    };
    child.on('error', (error) => {
      over();
      fail(error.message);
    });
    child.on('close', (code, signal) => {
      over();
      if (late) fail(`took longer than ${limitSeconds} s`);
      else if (code === 0) resolve(out);
      else fail(`ended with ${code ?? signal}`);
    });
    if (input !== undefined) child.stdin.end(input);
  });
}

/** Ends what runs now, asked first, then killed: a program that is gone can leave others of its group behind. */
export async function endAll() {
  const groups = [...running];
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    for (const child of groups) signalGroup(child, signal);
    await until('the end of what was running', 5, () => (running.size === 0 ? true : undefined)).catch(() => undefined);
  }
}

function signalGroup(child, signal) {
  try {
    // Without a pid it never started.
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** True where the command exists and succeeds. */
export async function succeeds(command, args, options) {
  return run(command, args, options).then(
    () => true,
    () => false,
  );
}

/**
 * Asks `probe` again and again until it gives something other than `undefined`; an error counts as "not yet".
 * Rejects after `limitSeconds` with the last thing that was wrong.
 */
export async function until(what, limitSeconds, probe, everyMs = 200) {
  const deadline = performance.now() + limitSeconds * 1000;
  for (;;) {
    let reason = 'not yet';
    try {
      const answer = await probe();
      if (answer !== undefined) return answer;
    } catch (error) {
      reason = error.message;
    }
    if (performance.now() > deadline) throw new Error(`${what}: not within ${limitSeconds} s: ${reason}`);
    await delay(everyMs);
  }
}
