// Steps against etcd: who leads, a snapshot, its restore, and the loss of everything.
//
// A restore follows etcd's own procedure: members stopped, each given a new data folder from the snapshot, started again.

import { z } from 'zod';
import { EXIT, ExitError } from '../../lib/run/exit.ts';
import type { ClusterDriver } from './cluster-driver.ts';

const SNAPSHOT = '/tmp/gingham-lab-etcd.snapshot';

const statusSchema = z.array(
  z.object({
    Endpoint: z.string(),
    Status: z.object({ leader: z.string(), header: z.object({ member_id: z.string() }) }),
  }),
);

/** Names of all members. */
export function etcdAll({ facts }: ClusterDriver): readonly string[] {
  return facts.etcdMembers;
}

/** The member that leads. */
export async function etcdLeader(driver: ClusterDriver): Promise<string> {
  const { etcdEndpoints, etcdMembers } = driver.facts;
  const text = await etcdctl(driver, ['endpoint', 'status', '--write-out=json']);
  // The ids have 64 bits, more than JSON.parse keeps.
  const status = statusSchema.parse(JSON.parse(text.replaceAll(/"(leader|member_id)":(\d+)/g, '"$1":"$2"')));
  const leader = status.find(({ Status }) => Status.leader === Status.header.member_id);
  const name = etcdMembers[etcdEndpoints.indexOf(leader?.Endpoint ?? '')];
  if (name === undefined) throw new ExitError(EXIT.internal, `lab: no etcd member leads: ${text}`);
  return name;
}

export async function snapshotEtcd(driver: ClusterDriver): Promise<void> {
  const [endpoint = ''] = driver.facts.etcdEndpoints;
  const [member = ''] = driver.facts.etcdMembers;
  await driver.run(member, ['etcdctl', `--endpoints=${endpoint}`, 'snapshot', 'save', snapshotFile(driver)]);
}

/** Ends every member and starts it with what the snapshot holds. */
export async function restoreEtcd(driver: ClusterDriver): Promise<void> {
  const { etcdMembers, etcdEndpoints } = driver.facts;
  const isAlone = etcdMembers.length === 1;
  const peers = etcdEndpoints.map((endpoint) =>
    isAlone ? 'http://127.0.0.1:2380' : endpoint.replace(':2379', ':2380'),
  );
  const initial = etcdMembers.map((name, at) => `${name}=${peers[at]}`).join(',');
  const folders = await stopAndFindData(driver);
  for (const [at, member] of etcdMembers.entries()) {
    const folder = folders[at] ?? '';
    const flags = [`--name=${member}`, `--initial-cluster=${initial}`, `--initial-advertise-peer-urls=${peers[at]}`];
    await driver.run(member, ['rm', '-rf', folder]);
    await driver.run(member, [
      'etcdctl',
      'snapshot',
      'restore',
      snapshotFile(driver),
      ...flags,
      `--data-dir=${folder}`,
    ]);
  }
  for (const member of etcdMembers) await driver.start(member);
}

/** Ends every member and throws away all that it knew; the members stay down. */
export async function wipeEtcd(driver: ClusterDriver): Promise<void> {
  const folders = await stopAndFindData(driver);
  for (const [at, member] of driver.facts.etcdMembers.entries())
    await driver.run(member, ['rm', '-rf', folders[at] ?? '']);
}

async function stopAndFindData(driver: ClusterDriver): Promise<readonly string[]> {
  const folders = driver.facts.etcdDataFolders;
  // One that has ended already is as it is wanted.
  await Promise.all(driver.facts.etcdMembers.map((member) => driver.signal(member, 'SIGKILL').catch(() => undefined)));
  return folders;
}

function snapshotFile({ facts }: ClusterDriver): string {
  return `${SNAPSHOT}.${facts.picture.name}.${process.pid}`;
}

function etcdctl(driver: ClusterDriver, args: readonly string[]): Promise<string> {
  const [member = ''] = driver.facts.etcdMembers;
  return driver.run(member, ['etcdctl', `--endpoints=${driver.facts.etcdEndpoints.join(',')}`, ...args]);
}
