// A compose project as the lab uses it: up, down, its containers, one of them started again. By the two command lines.
//
// The engine must be this machine's: what the lab does to a container, it does to processes and namespaces that it sees.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { run } from '../../ctl/child.ts';
import { poll } from '../../ctl/poll.ts';
import { EXIT, ExitError } from '../../lib/run/exit.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const SERVICE_LABEL = 'com.docker.compose.service';
/** How long the engine may take to notice that a container's process has ended. */
const NOTICE_TIMEOUT_MS = 10_000;

const inspectedSchema = z.array(
  z.object({
    Id: z.string(),
    LogPath: z.string(),
    State: z.object({ Running: z.boolean(), Pid: z.int() }),
    Config: z.object({ Labels: z.record(z.string(), z.string()) }),
    NetworkSettings: z.object({ Networks: z.record(z.string(), z.object({ IPAddress: z.string() })) }),
  }),
);

export interface Container {
  readonly id: string;
  readonly running: boolean;
  /** Its first process, as this machine numbers it; 0 where it does not run. */
  readonly pid: number;
  /** Where the engine writes what it prints. */
  readonly logPath: string;
  /** In the project's networks; some of them. */
  readonly addresses: readonly string[];
}

export class ComposeProject {
  readonly #name: string;
  readonly #compose: readonly string[];
  readonly #override: string;

  private constructor(name: string, compose: readonly string[], override: string) {
    this.#name = name;
    this.#compose = compose;
    this.#override = override;
  }

  /** `override`: path of a file to lay over docker-compose.yml. Throws `ExitError` where no engine or no compose is. */
  static async find(name: string, override: string): Promise<ComposeProject> {
    await run(['docker', 'info', '--format', '{{.ID}}']).catch((cause: unknown) => {
      const hint = '"node setup.mjs compose" installs one, "systemctl start docker" starts it';
      throw new ExitError(EXIT.environment, `lab: no docker engine answers: ${hint}`, { cause });
    });
    for (const command of [['docker-compose'], ['docker', 'compose']]) {
      const found = await run([...command, 'version']).then(
        () => true,
        () => false,
      );
      if (found) return new ComposeProject(name, command, override);
    }
    throw new ExitError(EXIT.environment, 'lab: missing: docker-compose. "node setup.mjs compose" installs it');
  }

  /** Builds what has changed and starts all. */
  async up(variables: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
    const env = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
    await run(['env', ...env, ...this.#order(), 'up', '--detach', '--build'], { signal });
  }

  /** Removes containers, networks and volumes; nothing to remove is fine. */
  async down(): Promise<void> {
    const label = ['--quiet', '--filter', `label=com.docker.compose.project=${this.#name}`];
    const lists = [
      ['ps', '--all'],
      ['network', 'ls'],
      ['volume', 'ls'],
    ].map((what) => run(['docker', ...what, ...label]));
    if ((await Promise.all(lists)).every((text) => text.trim() === '')) return;
    await run([...this.#order(), 'down', '--volumes', '--remove-orphans', '--timeout', '2']);
  }

  /** All containers by service. */
  async containers(): Promise<ReadonlyMap<string, Container>> {
    const filter = `label=com.docker.compose.project=${this.#name}`;
    const ids = (await run(['docker', 'ps', '--all', '--quiet', '--filter', filter])).split('\n').filter(Boolean);
    const inspected = inspectedSchema.parse(JSON.parse(await run(['docker', 'inspect', ...ids])));
    return new Map(
      inspected.map(({ Id, LogPath, State, Config, NetworkSettings }) => {
        const addresses = Object.values(NetworkSettings.Networks).map(({ IPAddress }) => IPAddress);
        const facts = { id: Id, running: State.Running, pid: State.Pid, logPath: LogPath, addresses };
        return [Config.Labels[SERVICE_LABEL] ?? '', facts] as const;
      }),
    );
  }

  /** The container of one service. Throws `ExitError` where there is none. */
  async container(service: string): Promise<Container> {
    const found = (await this.containers()).get(service);
    if (found !== undefined) return found;
    throw new ExitError(EXIT.internal, `lab: there is no container of ${service}`);
  }

  /** Starts a container whose process has ended, once the engine has noticed that. */
  async startAgain(service: string): Promise<Container> {
    const { id } = await this.container(service);
    const ended = await poll({ timeoutMs: NOTICE_TIMEOUT_MS, intervalMs: 20 }, async () => {
      const running = await run(['docker', 'inspect', '--format', '{{.State.Running}}', id]);
      return running.trim() === 'false' ? true : undefined;
    });
    if (ended !== true) throw new ExitError(EXIT.internal, `lab: the engine takes ${service} for running still`);
    await run(['docker', 'start', id]);
    return this.container(service);
  }

  #order(): readonly string[] {
    const files = [`${ROOT}docker-compose.yml`, ...(existsSync(this.#override) ? [this.#override] : [])];
    const flags = ['--project-name', this.#name, '--project-directory', ROOT];
    return [...this.#compose, ...flags, ...files.flatMap((file) => ['--file', file])];
  }
}
