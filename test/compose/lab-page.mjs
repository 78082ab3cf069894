// A lab's README as something that can be run: the commands in its console blocks, and what they should print.
//
//     $ docker compose exec node1 gingham ping        a command, run in the lab's folder
//     NODE   POD         REPLIES  MEAN TIME           what it prints; numbers that differ from run to run are masked
//     ...                                             any lines
//
// A command without output is an order: it is run once. One with output is asked again until it says what it should:
// a person who types along would do the same while the cluster is coming up.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { until } from './process.mjs';

const PATIENCE_SECONDS = 90;
const ORDER_SECONDS = 420;

/** What differs from run to run, and what stands for it. */
const MASKS = [
  // Leased subnets follow from the nodes' names: they are the same everywhere.
  [/\d+(\.\d+)? ?(ms|µs)\b/g, '<ms>'],
  [/\d+\.\d+ s\b/g, '<s>'],
  [/\d+(\.\d+)? [KMG]?bit\/s/g, '<rate>'],
  [/\b(\d+d)?(\d+h)?(\d+m)?\d+s\b|\b(\d+d)?(\d+h)?\d+m\b|\b(\d+d)?\d+h\b/g, '<age>'],
  [/from memory since \S+: .*/g, 'from memory since <time>'],
  [/\b(Idle|Connect|Active|OpenSent|OpenConfirm)\b/g, '<down>'],
  [/\bnhid \d+/g, 'nhid <id>'],
  [/\bid \d+/g, 'id <id>'],
  [/([0-9a-f]{2}:){5}[0-9a-f]{2}/g, '<mac>'],
  [/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>'],
  [/\s+/g, ' '],
];

/** The parts of a page: text, and commands with what they should print. */
export function parsePage(text) {
  const parts = [];
  let inConsole = false;
  for (const line of text.split('\n')) {
    if (line.startsWith('```')) inConsole = line === '```console';
    if (inConsole && line.startsWith('$ ')) parts.push({ command: line.slice(2), expected: [] });
    else if (inConsole && !line.startsWith('```') && parts.at(-1)?.command !== undefined)
      parts.at(-1).expected.push(line);
    else parts.push({ text: line });
  }
  return parts;
}

/** The page with what its commands printed now. */
export function renderPage(parts) {
  return parts.map(({ text, command, expected }) => text ?? [`$ ${command}`, ...expected].join('\n')).join('\n');
}

/** Whether `printed` is what the page shows, but for what is masked. */
export function isAsShown(expected, printed) {
  const shown = masked(expected);
  const seen = masked(printed);
  const from = (i, j) => {
    if (i === shown.length) return j === seen.length;
    if (shown[i] === '...') {
      for (let skip = j; skip <= seen.length; skip++) if (from(i + 1, skip)) return true;
      return false;
    }
    return j < seen.length && shown[i] === seen[j] && from(i + 1, j + 1);
  };
  return from(0, 0);
}

/**
 * Runs every command of a page in `folder`, in one shell that has read `shellLines`; throws where one does not print what
 * is shown. With `record` the parts get what was printed instead. `once` says of which commands the first answer counts.
 */
export async function runPage(
  parts,
  { folder, compose = [], shellLines = '', env, record = false, once = () => false },
) {
  const shell = openShell(folder, `${dockerCompose(compose)}\n${shellLines}`, env);
  try {
    for (const part of parts) {
      if (part.command === undefined) continue;
      if (part.expected.length === 0) {
        const { code, lines } = await shell.run(part.command, ORDER_SECONDS);
        if (code !== 0) throw new Error(`$ ${part.command}: exit code ${code}\n${lines.join('\n')}`);
      } else if (once(part.command)) {
        part.expected = await firstAnswer(shell, part, record);
      } else if (record) {
        part.expected = await recorded(shell, part);
      } else {
        await shownInTime(shell, part);
      }
    }
  } finally {
    await shell.end();
  }
}

/** Where the page begins with "...", its last line alone is recorded. */
async function firstAnswer(shell, { command, expected }, record) {
  const { lines } = await shell.run(command, ORDER_SECONDS);
  while (lines.at(-1) === '') lines.pop();
  if (record) return expected[0] === '...' ? ['...', ...lines.slice(-1)] : lines;
  if (isAsShown(expected, lines)) return expected;
  throw new Error(`$ ${command}\nshown:\n${expected.join('\n')}\nprinted:\n${lines.join('\n')}`);
}

async function shownInTime(shell, { command, expected }) {
  let last = [];
  await until(`$ ${command}`, PATIENCE_SECONDS, async () => {
    last = (await shell.run(command, PATIENCE_SECONDS)).lines;
    return isAsShown(expected, last) ? true : undefined;
  }).catch((error) => {
    throw new Error(`${error.message}\nshown:\n${expected.join('\n')}\nprinted:\n${last.join('\n')}`);
  });
}

/** What a command prints once it has printed the same twice. */
async function recorded(shell, { command, expected }) {
  let before = '';
  return until(
    `$ ${command}`,
    PATIENCE_SECONDS,
    async () => {
      const { lines } = await shell.run(command, PATIENCE_SECONDS);
      const now = masked(lines).join('\n');
      const isSettled = now === before;
      before = now;
      return isSettled ? (isAsShown(expected, lines) ? expected : lines) : undefined;
    },
    3_000,
  );
}

function masked(lines) {
  const texts = lines.map((line) =>
    MASKS.reduce((text, [pattern, mask]) => text.replaceAll(pattern, mask), line).trim(),
  );
  while (texts.at(-1) === '') texts.pop();
  return texts;
}

/** `docker compose` as it is here; without a terminal, exec takes none either. */
function dockerCompose(compose) {
  return `docker() {
    if [ "$1" = compose ]; then shift
      if [ "$1" = exec ]; then shift; set -- exec -T "$@"; fi
      ${compose.join(' ')} "$@" < /dev/null
    else command docker "$@"; fi
  }`;
}

/** A bash that runs one command after the other and tells what each printed and how it ended. */
function openShell(folder, firstLines, env) {
  const end = `--end-of-command-${process.pid}--`;
  const child = spawn('bash', ['--norc'], { cwd: folder, env, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  child.stdin.write(`${firstLines}\nexec 2>&1\n`);
  let lines = [];
  let done = () => undefined;
  const ended = new Promise((resolve) => child.once('close', resolve));
  createInterface({ input: child.stdout }).on('line', (line) => {
    const at = line.indexOf(end);
    if (at < 0) return void lines.push(line);
    if (at > 0) lines.push(line.slice(0, at));
    done({ code: Number(line.slice(at + end.length)), lines });
  });
  return {
    run(command, limitSeconds) {
      lines = [];
      return new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`$ ${command}: not within ${limitSeconds} s`)),
          limitSeconds * 1000,
        );
        done = (outcome) => {
          clearTimeout(timer);
          resolve(outcome);
        };
        child.stdin.write(`${command}\necho "${end}$?"\n`);
      });
    },
    async end() {
      child.stdin.end('exit\n');
      const timer = setTimeout(() => child.pid !== undefined && process.kill(-child.pid, 'SIGKILL'), 5_000);
      await ended;
      clearTimeout(timer);
    },
  };
}
