// Which machines, links and processes a scenario breaks: to mark them in a picture, and to know what is a flap. Pure.
//
// Taken from the steps alone, so that it is known before anything runs.

import type { Broken } from '../results/results-schema.ts';
import type { ClusterFacts } from './cluster-driver.ts';
import type { Scenario, Step } from './scenario-spec.ts';

type Argument = string | readonly (readonly string[])[] | Readonly<Record<string, unknown>>;

/** See the head of this file. */
export function brokenBy(
  { steps }: Scenario,
  { picture, etcdMembers }: Pick<ClusterFacts, 'picture' | 'etcdMembers'>,
): Broken {
  const names = new Set(steps.filter(({ role }) => role === 'fault').flatMap((step) => namesIn(step, etcdMembers)));
  const links = picture.links.filter(({ name }) => names.has(`link ${name}`));
  const machines = picture.machines.map(({ name }) => name).filter((name) => names.has(name));
  // The only cable of a node is the node, as far as the others can tell.
  const single = links
    .map(({ name }) => name)
    .filter((name) => picture.machines.some((machine) => machine.name === name));
  return {
    machines: [...new Set([...machines, ...single])],
    links: links.map(({ name }) => name),
    processes: [...names].filter((name) => name.includes('/') || etcdMembers.includes(name)),
  };
}

function namesIn({ name, argument }: Step, etcdMembers: readonly string[]): readonly string[] {
  const given = argument as Argument;
  if (name === 'burn') return [];
  if (typeof given === 'string') {
    if (name === 'link-down') return [`link ${given}`];
    if (['etcd-all', 'all'].includes(given)) return etcdMembers;
    return given === 'etcd-leader' ? [] : [given];
  }
  if (Array.isArray(given)) return (given as string[][]).flat();
  const { link, ...others } = given as Readonly<Record<string, unknown>>;
  const machines = ['node', 'process', 'from', 'to'].flatMap((key) =>
    typeof others[key] === 'string' ? [others[key]] : [],
  );
  return typeof link !== 'string' ? machines : [`link ${link}`];
}
