// The wire between the machines of the deploy test, and etcd on it: a bridge in a network namespace of its own.
// Nothing else joins the machines, and nothing leads out of it.
//
//   hub: bridge 10.99.0.1, etcd    machine N: eth0 10.99.0.1N in its namespace, default route to the hub

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { run, until } from '../compose/process.mjs';

/** Where the machines find etcd. */
export const ETCD = 'http://10.99.0.1:2379';

/**
 * Makes it; `namespace` names the namespace of the hub and of each of `machines`, `folder` is for etcd's data. What undoes
 * it is pushed on `undo`.
 */
export async function startWire({ namespace, machines, folder, undo }) {
  const hub = namespace('hub');
  undo.push(() => run('ip', ['netns', 'del', hub]));
  await run('ip', ['netns', 'add', hub]);
  const inHub = (words) => run('ip', ['-n', hub, ...words.split(' ')]);
  for (const words of [
    'link add wire type bridge',
    'address add 10.99.0.1/24 dev wire',
    'link set wire up',
    'link set lo up',
  ]) {
    await inHub(words);
  }
  for (const number of machines) {
    const vm = namespace(number);
    undo.push(() => run('ip', ['netns', 'del', vm]));
    await run('ip', ['netns', 'add', vm]);
    await inHub(`link add to${number} type veth peer name eth0 netns ${vm}`);
    await inHub(`link set to${number} master wire up`);
    const inVm = (words) => run('ip', ['-n', vm, ...words.split(' ')]);
    await inVm('link set lo up');
    await inVm(`address add 10.99.0.1${number}/24 dev eth0`);
    await inVm('link set eth0 up');
    await inVm('route add default via 10.99.0.1');
  }
  const data = join(folder, 'etcd');
  const urls = [
    '--listen-client-urls',
    ETCD,
    '--advertise-client-urls',
    ETCD,
    '--listen-peer-urls',
    'http://127.0.0.1:0',
  ];
  const etcd = spawn('ip', ['netns', 'exec', hub, 'etcd', '--data-dir', data, ...urls, '--log-level', 'error'], {
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => etcd.once('close', resolve));
  undo.push(async () => {
    etcd.kill();
    await ended;
  });
  const config = JSON.stringify({ Network: '10.5.0.0/16', Backend: { Type: 'vxlan' } });
  const put = ['netns', 'exec', hub, 'env', 'ETCDCTL_API=3', 'etcdctl', '--endpoints', ETCD];
  await until('etcd', 20, async () => (await run('ip', [...put, 'put', '/coreos.com/network/config', config])) && true);
}
