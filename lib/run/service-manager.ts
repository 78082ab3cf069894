// Talks to the service manager that started this process (systemd): ready, stopping, and alive every so often.
//
// The protocol is sd_notify(3): one datagram of VARIABLE=value lines to the unix socket that NOTIFY_SOCKET names. Node.js
// has no unix datagrams, so the system calls are used; without NOTIFY_SOCKET nothing is loaded and nothing is sent.

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
/** Length of sun_path in struct sockaddr_un (include/uapi/linux/un.h). */
const SUN_PATH_LENGTH = 108;

export interface ServiceManager {
  /** It runs: what is ordered after it may start. */
  ready(): void;
  /** It was asked to stop, and does. */
  stopping(): void;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Where there is nobody to tell. */
const NOBODY: ServiceManager = { ready: () => undefined, stopping: () => undefined };

/**
 * The manager that `env` names. It is told that the process is alive for as long as the event loop turns, twice in each
 * WATCHDOG_USEC. Throws where NOTIFY_SOCKET is no address of a unix socket or nobody listens there.
 */
export async function openServiceManager(env: Environment = process.env): Promise<ServiceManager> {
  const path = env['NOTIFY_SOCKET'] ?? '';
  if (path === '') return NOBODY;
  const address = unixAddress(path);
  if (address === undefined) throw new Error(`NOTIFY_SOCKET=${path} is not accepted: it takes a path or @name`);
  const { SOCK, libcFunction, result, send, socket } = await import('../kernel/syscalls.ts');
  const connect = libcFunction<[number, Uint8Array, number]>(
    'int connect(int fd, const void *address, uint32_t length)',
  );
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK.nonBlock | SOCK.closeOnExec, 0);
  const connected = fd < 0 ? fd : result(connect(fd, address, address.length));
  if (connected < 0) throw new Error(`NOTIFY_SOCKET=${path}: nobody can be told there (errno ${-connected})`);
  // A full queue loses the message, as sd_notify does: the next sign of life is soon.
  const tell = (message: string): void => void send(fd, Buffer.from(message), message.length, 0);
  const everyMs = watchdogMs(env);
  if (everyMs !== undefined) setInterval(() => tell('WATCHDOG=1'), everyMs).unref();
  return { ready: () => tell('READY=1'), stopping: () => tell('STOPPING=1') };
}

/** struct sockaddr_un of a path, or of an abstract name, which is written with `@`; `undefined` for what is neither. */
export function unixAddress(path: string): Uint8Array | undefined {
  if (!path.startsWith('/') && !path.startsWith('@')) return undefined;
  const isAbstract = path.startsWith('@');
  const name = Buffer.from(isAbstract ? `\0${path.slice(1)}` : `${path}\0`);
  if (name.length > SUN_PATH_LENGTH) return undefined;
  const address = Buffer.alloc(2 + name.length);
  // The family is in the machine's byte order: little on every machine that Node.js is built for here.
  address.writeUInt16LE(AF_UNIX);
  name.copy(address, 2);
  return address;
}

/** Half of what the manager waits for a sign of life; `undefined` where it does not watch this process. */
export function watchdogMs({ WATCHDOG_USEC, WATCHDOG_PID }: Environment, pid = process.pid): number | undefined {
  const micros = Number(WATCHDOG_USEC ?? '');
  if (!(micros > 0) || (WATCHDOG_PID !== undefined && Number(WATCHDOG_PID) !== pid)) return undefined;
  return Math.max(1, Math.floor(micros / 2_000));
}
