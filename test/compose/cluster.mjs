// The compose project under test, as a few questions and orders: up, kill, healthy yet, what is left over.
//
// It runs docker-compose.yml as it lies in the repo; only the project's name is our own, so that two runs do not meet.

import { join } from 'node:path';
import { run, succeeds, until } from './process.mjs';

const ROOT = join(import.meta.dirname, '../..');
const SERVICE = '{{index .Config.Labels "com.docker.compose.service"}}';
const STATE = `${SERVICE} {{.State.Status}} {{.State.ExitCode}} {{if .State.Health}}{{.State.Health.Status}}{{end}}`;
/** Services that do their work once and end. */
const ONE_SHOT = ['config'];

/** `docker-compose`, or `docker compose` where only that one is installed; `undefined` where neither is. */
export async function findCompose(env) {
  for (const command of [['docker-compose'], ['docker', 'compose']]) {
    if (await succeeds(command[0], [...command.slice(1), 'version'], { env })) return command;
  }
  return undefined;
}

/** `compose`: from `findCompose`; `env` reaches the engine and may set the file's variables. */
export function cluster(compose, project, env) {
  const [command, ...first] = compose;
  const label = `label=com.docker.compose.project=${project}`;
  const orderCompose = (args, options) =>
    run(command, [...first, '--project-name', project, '--project-directory', ROOT, ...args], {
      env,
      cwd: ROOT,
      ...options,
    });
  const docker = (args, options) => run('docker', args, { env, ...options });
  const ids = async (...args) => (await docker([...args, '--quiet', '--filter', label])).split('\n').filter(Boolean);

  /** Every container by its service: `{ id, status, exitCode, health }`, health '' where it has no check. */
  const containers = async () => {
    const all = await ids('ps', '--all', '--no-trunc');
    if (all.length === 0) return new Map();
    const lines = (await docker(['inspect', '--format', STATE, ...all])).trim().split('\n');
    return new Map(
      lines.map((line, index) => {
        const [service, status, exitCode, health = ''] = line.split(' ');
        return [service, { id: all[index], status, exitCode: Number(exitCode), health }];
      }),
    );
  };

  return {
    containers,
    up: (...args) => orderCompose(['up', '--detach', ...args], { limitSeconds: 420 }),
    /** Again where it did not manage: on a busy machine compose gives up on containers that are still ending. */
    down: () =>
      until('compose down', 90, async () => {
        await orderCompose(['down', '--volumes', '--remove-orphans', '--timeout', '5'], { limitSeconds: 120 });
        return true;
      }),
    logs: () => orderCompose(['logs', '--no-color', '--tail', '12']),
    exec: (service, ...argv) => orderCompose(['exec', '-T', service, ...argv], { limitSeconds: 60 }),
    docker,
    /** For the commands of a page that are about this cluster. */
    page: { folder: ROOT, compose, env: { ...env, COMPOSE_PROJECT_NAME: project } },

    /** The services that are not as they should be yet, with the reason; empty when all are. */
    async unready() {
      const found = await containers();
      return [...found].flatMap(([service, { status, exitCode, health }]) => {
        if (ONE_SHOT.includes(service)) return status === 'exited' && exitCode === 0 ? [] : [`${service} ${status}`];
        return status === 'running' && (health === '' || health === 'healthy')
          ? []
          : [`${service} ${status} ${health}`];
      });
    },

    /** What carries the project's label still: containers, networks, volumes. */
    async leftOver() {
      return [...(await ids('ps', '--all')), ...(await ids('network', 'ls')), ...(await ids('volume', 'ls'))];
    },
  };
}
