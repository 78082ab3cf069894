// The lab's own promises: idempotent, side by side, clean after Ctrl-C and after a crash, and clear about wrong input.
//
// Two nodes in flannel mode: the smallest cluster that can still ping.

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { run } from '../../ctl/child.ts';
import { eventually } from '../eventually.ts';
import { lab, labName, labOk, type Outcome, remainsOf, startLab } from './lab-command.ts';

const SMALL = ['--nodes', '2', '--mode', 'flannel'];

let names: string[] = [];
afterEach(async () => {
  await Promise.all(names.map((name) => lab(name, 'down')));
  names = [];
});

function newLab(): string {
  const name = labName();
  names.push(name);
  return name;
}

describe('up on a lab that runs', () => {
  it('verifies, restarts what has died, refuses other options; down twice is fine', async () => {
    const name = newLab();
    await labOk(name, 'up', ...SMALL);
    expect(await labOk(name, 'up')).toContain(
      'the lab ran already; nothing had to be started; pod to pod: 2 of 2 pairs',
    );
    await labOk(name, 'kill', 'node2/felix');
    await labOk(name, 'kill', 'node1/flanneld');
    expect(await labOk(name, 'up', ...SMALL)).toContain('2 daemons started again; pod to pod: 2 of 2 pairs');
    expect(await lab(name, 'up', '--backend', 'udp')).toMatchObject({
      code: 5,
      stderr: expect.stringContaining(
        '--nodes 2 --backend vxlan --mode flannel, not --nodes 2 --backend udp --mode flannel: "lab down" first',
      ),
    });
    expect(await labOk(name, 'down')).toMatch(/is gone: \d+ processes ended/);
    expect(await labOk(name, 'down')).toContain('there is no lab');
    expect(remainsOf(name)).toEqual([]);
  });

  it('shows logs, runs commands in places and passes their exit codes on', async () => {
    const name = newLab();
    await labOk(name, 'up', ...SMALL);
    expect(await labOk(name, 'logs', 'node1/flanneld')).toMatch(/^\{.*\}\n/);
    expect(await labOk(name, 'exec', 'node1', '--', 'sh', '-c', 'echo "$GINGHAM_RUN_DIR"')).toBe(
      `/run/gingham-lab/${name}/node1\n`,
    );
    expect((await lab(name, 'exec', 'node2/pod', '--', 'sh', '-c', 'exit 7')).code).toBe(7);
    expect((await lab(name, 'exec', 'node2/pod', '--', 'sh', '-c', 'kill -TERM $$')).code).toBe(143);
    expect(await labOk(name, 'exec', 'router', '--', 'cat', '/proc/sys/net/ipv4/ip_forward')).toBe('1\n');
  });
});

describe('an up that cannot succeed', () => {
  it('names the daemon that ended and its last words, and leaves the lab for a look', async () => {
    const name = newLab();
    await labOk(name, 'up', ...SMALL);
    await labOk(name, 'kill', 'node2/felix');
    // A folder where felix wants its socket: it cannot remove it.
    await rm(`/run/gingham-lab/${name}/node2/felix.http`, { force: true });
    await mkdir(`/run/gingham-lab/${name}/node2/felix.http/in-the-way`, { recursive: true });
    const outcome = await lab(name, 'up');
    expect(outcome).toMatchObject({ code: 1, stdout: '' });
    expect(outcome.stderr).toMatch(/lab: node2\/felix has ended; its last words: .*felix\.http/);
    expect(outcome.stderr).toContain(`"lab down --name ${name}" clears it`);
    expect((await lab(name, 'status')).stdout).toContain('not felix');
  });

  it('touches no namespace that is not its own', async () => {
    const name = newLab();
    const foreign = `gh-${name}-node1`;
    await run(['ip', 'netns', 'add', foreign]);
    try {
      expect(await lab(name, 'up', ...SMALL)).toMatchObject({
        code: 5,
        stderr: expect.stringContaining(`namespace ${foreign} exists and no lab knows it`),
      });
      await labOk(name, 'down');
      expect(remainsOf(name)).toEqual([foreign]);
    } finally {
      await run(['ip', 'netns', 'delete', foreign]);
    }
  });
});

describe('two labs', () => {
  it('stand side by side', async () => {
    const [one, other] = [newLab(), newLab()];
    await Promise.all([labOk(one, 'up', ...SMALL), labOk(other, 'up', ...SMALL)]);
    await labOk(one, 'down');
    expect(JSON.parse(await labOk(other, 'ping', '--json'))).toMatchObject({ pairs: 2, lost: 0 });
    expect(remainsOf(one)).toEqual([]);
  });
});

describe('an up that does not finish', () => {
  /** What `up` says when it enters each of its steps. */
  const STEPS = ['making', 'starting etcd', 'starting daemons', 'waiting'];

  it.each(STEPS)('leaves nothing after Ctrl-C at "%s"', async (step) => {
    const name = newLab();
    const child = startLab(name, 'up', ...SMALL);
    await said(child, step);
    child.kill('SIGINT');
    expect(await ended(child)).toBe(130);
    expect(remainsOf(name)).toEqual([]);
  });

  it.each(STEPS)('is cleared by down after a crash at "%s"', async (step) => {
    const name = newLab();
    const child = startLab(name, 'up', ...SMALL);
    await said(child, step);
    child.kill('SIGKILL');
    await ended(child);
    await labOk(name, 'down');
    expect(remainsOf(name)).toEqual([]);
  });

  it('is cleared and made anew by the next up', async () => {
    const name = newLab();
    const child = startLab(name, 'up', ...SMALL);
    await said(child, 'starting daemons');
    child.kill('SIGKILL');
    await ended(child);
    expect(await labOk(name, 'up', ...SMALL)).toContain('pod to pod: 2 of 2 pairs');
  });

  it('refuses a second command while it runs, and takes over the lock of a dead one', async () => {
    const name = newLab();
    const child = startLab(name, 'up', ...SMALL);
    await said(child, 'starting etcd');
    expect(await lab(name, 'down')).toMatchObject({
      code: 5,
      stderr: `lab: ${name} is being changed by "lab up" (process ${child.pid}): let it end first\n`,
    });
    child.kill('SIGINT');
    await ended(child);
    expect(remainsOf(name)).toEqual([]);
  });

  it('clears what a lab with an unreadable record left', async () => {
    const name = newLab();
    await labOk(name, 'up', ...SMALL);
    await writeFile(`/run/gingham-lab/${name}/lab.json`, '{"phase":"dancing"}');
    expect(await lab(name, 'status')).toMatchObject({ code: 3 });
    await labOk(name, 'down');
    expect(remainsOf(name)).toEqual([]);
  });

  async function said(child: ReturnType<typeof startLab>, step: string): Promise<void> {
    let text = '';
    child.stderr?.on('data', (bytes) => {
      text += String(bytes);
    });
    await eventually(`up is ${step}`, () => text.includes(step), { timeoutMs: 30_000 });
  }

  async function ended(child: ReturnType<typeof startLab>): Promise<number | null> {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child.exitCode;
  }
});

describe('wrong input', () => {
  it.each<[string[], Partial<Outcome>]>([
    [['up', '--nodes', '0'], refusal('--nodes "0" is not accepted: it takes a whole number of nodes from 1 to 50')],
    [['up', '--nodes', '51'], refusal('--nodes "51" is not accepted: it takes a whole number of nodes from 1 to 50')],
    [
      ['up', '--backend', 'ipsec'],
      refusal('--backend "ipsec" is not accepted: it takes one of vxlan, vxlan-user, udp, ipip, host-gw'),
    ],
    [['up', '--mode', 'bgp'], refusal('--mode "bgp" is not accepted: it takes one of routed, flannel')],
    [
      ['up', '--node-backend', 'node9=vxlan-user'],
      refusal('--node-backend node9=vxlan-user names no node: this lab has node1 to node3'),
    ],
    [['up', '--speed', '1'], refusal("unknown option '--speed' (see lab --help)")],
    [['upp'], refusal("unknown command 'upp' (Did you mean up?) (see lab --help)")],
    [['exec', 'node1'], refusal("missing required argument 'command' (see lab --help)")],
    [['kill', 'node1/felix', '--signal', 'SEGV'], { code: 2 }],
    [
      ['down', '--name', 'No Such'],
      refusal('--name "No Such" is not accepted: it takes a lower-case letter, then up to'),
    ],
    [['status'], { code: 4, stderr: expect.stringContaining('there is no lab') }],
    [['ping'], { code: 4, stderr: expect.stringContaining('there is no lab') }],
    [['logs', 'node1/felix'], { code: 4, stderr: expect.stringContaining('there is no lab') }],
  ])('%j', async (args, expected) => {
    const name = labName();
    const outcome = await lab(name, ...args);
    expect(outcome).toMatchObject(expected);
    expect(outcome.stderr.trim().split('\n')).toHaveLength(1);
    expect(remainsOf(name)).toEqual([]);
    expect(existsSync(`/run/gingham-lab/${name}`)).toBe(false);
  });

  function refusal(text: string): Partial<Outcome> {
    return { code: 2, stdout: '', stderr: expect.stringContaining(text) };
  }
});
