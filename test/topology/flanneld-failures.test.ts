// What can go wrong around a real flanneld: each ends it with one line and its exit code, or is waited for and told.
// Exit codes are those of lib/run/exit.ts; the line is the last one of the log.

import { afterEach, describe, expect, test } from 'vitest';
import { eventually } from '../eventually.ts';
import { FlanneldRig, type Readiness } from './flanneld-rig.ts';

const NETWORK = { Network: '10.5.0.0/16' };
const MESSAGE = (text: string) => expect.stringContaining(text);

describe('flanneld', () => {
  let rig: FlanneldRig;

  afterEach(() => rig?.remove());

  async function endingWith(
    networkConfig: object,
    flags: readonly string[] = [],
    wrapper: readonly string[] = [],
  ): Promise<unknown> {
    rig = await FlanneldRig.make(networkConfig);
    rig.start(1, flags, wrapper);
    return await rig.ended(1);
  }

  test('without NET_ADMIN', async () => {
    const ending = await endingWith(NETWORK, [], ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin']);
    expect(ending).toMatchObject({ code: 4, lastLine: MESSAGE('flanneld needs the capability NET_ADMIN') });
  });

  test('without /dev/net/tun, where it is needed', async () => {
    const hide = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /dev/net && exec "$0" "$@"'];
    const ending = await endingWith(NETWORK, ['--vxlan-user'], hide);
    expect(ending).toMatchObject({ code: 4, lastLine: MESSAGE('/dev/net/tun') });
  });

  test('with a wrong network config', async () => {
    rig = await FlanneldRig.make(undefined);
    for (const [config, message] of [
      [{ ...NETWORK, SubnetLen: 8 }, 'SubnetLen 8 is not accepted: it takes a whole number from 18 to 30'],
      [{ ...NETWORK, SubnetMin: '10.5.9.0', SubnetMax: '10.5.8.0' }, 'SubnetMin'],
      [{ ...NETWORK, Backend: { Type: 'carrier-pigeon' } }, 'Backend.Type'],
      [{ Network: 'fd00::/48' }, 'it takes an IPv4 prefix'],
    ] as const) {
      await rig.configure(config);
      rig.start(1);
      expect(await rig.ended(1)).toMatchObject({ code: 3, lastLine: MESSAGE(message) });
    }
  });

  test('with a wrong flag', async () => {
    expect(await endingWith(NETWORK, ['--etcd-prefix', 'x'])).toMatchObject({
      code: 2,
      lastLine: MESSAGE('--etcd-prefix "x" is not accepted'),
    });
  });

  test('with a device of somebody else in its place', async () => {
    rig = await FlanneldRig.make(NETWORK);
    await rig.inside(1, 'ip', 'link', 'add', 'flannel.1', 'type', 'bridge');
    rig.start(1);
    expect(await rig.ended(1)).toMatchObject({ code: 4, lastLine: MESSAGE('ip link delete flannel.1') });
    expect(await rig.inside(1, 'ip', 'link', 'show', 'flannel.1')).toContain('flannel.1');
  });

  test('without etcd it waits and says so, and goes on when etcd comes', async () => {
    rig = await FlanneldRig.make(undefined);
    await rig.etcd.kill();
    rig.start(1);
    await eventually('it says what it waits for', async () => {
      const { ready, checks } = (await rig.ask(1, '/readyz')) as Readiness;
      return !ready && checks[0]?.detail === 'waiting for the network config from etcd';
    });
    await eventually('so does its log', () => rig.log(1).includes('ECONNREFUSED 192.168.64.254:2379'));
    await rig.etcd.start();
    await eventually('it asks for the config', () => rig.log(1).includes('etcd has no /coreos.com/network/config'));
    await rig.configure(NETWORK);
    expect(await rig.ready(1, 0)).toMatchObject({ backend: 'vxlan' });
  });

  test('asked to stop while etcd hangs, it stops in time', async () => {
    rig = await FlanneldRig.make(NETWORK);
    rig.start(1);
    rig.start(2);
    await rig.ready(1, 1);
    rig.etcd.freeze(true);
    await eventually('the silence is noticed', async () => !(await rig.status(1)).etcd.connected, {
      timeoutMs: 30_000,
    });
    const began = performance.now();
    expect(await rig.end(1, 'SIGTERM')).toMatchObject({ code: 0, lastLine: MESSAGE('stopped') });
    expect(performance.now() - began).toBeLessThan(2_000);
    rig.start(3);
    await eventually('it waits', () => rig.log(3).includes('waiting to read the network config'), {
      timeoutMs: 30_000,
    });
    expect(await rig.end(3, 'SIGTERM')).toMatchObject({ code: 0, lastLine: MESSAGE('stopped') });
  });

  test('while another node takes its subnet it ends with a conflict', async () => {
    rig = await FlanneldRig.make(NETWORK);
    rig.start(1);
    const { lease } = await rig.ready(1, 0);
    await rig.etcd.ctl('put', lease.key, '{"PublicIP":"192.168.64.9","BackendType":"host-gw","NodeName":"thief"}');
    expect(await rig.ended(1)).toMatchObject({ code: 5, lastLine: MESSAGE('is held by node thief at 192.168.64.9') });
  });

  test('a short lease is renewed for as long as the node lives, taken back when deleted, and ends with the node', async () => {
    rig = await FlanneldRig.make(NETWORK);
    const ttl = ['--subnet-lease-ttl-seconds', '5'];
    rig.start(1, ttl);
    rig.start(2, ttl);
    const { lease } = await rig.ready(1, 1);
    const began = performance.now();
    await rig.etcd.ctl('del', lease.key);
    await eventually('it is taken back', async () => (await rig.status(1)).lease.retaken === 1);
    await eventually('twice its time has passed', () => performance.now() - began > 10_000, { timeoutMs: 20_000 });
    expect((await rig.status(1)).lease).toMatchObject({ key: lease.key, retaken: 1 });
    expect((await rig.status(1)).peers).toHaveLength(1);
    await rig.end(2, 'SIGKILL');
    await eventually('the dead node is forgotten', async () => (await rig.status(1)).peers.length === 0, {
      timeoutMs: 20_000,
    });
    expect(await rig.inside(1, 'bridge', 'fdb', 'show', 'dev', 'flannel.1')).toBe('');
  });
});
