// gRPC servers and clients on unix sockets: readable and writable by the owner only, and never two servers on one path.
//
// The confusing thing: a socket file outlives its process, and nothing in it says whether anybody still listens. A
// connection attempt tells: refused means dead, and the file may be replaced.
//
// The socket is bound inside a folder of mode 0700, made 0600 there, and renamed to its path: at no moment can anybody
// else connect. A umask would do the same for this file and, meanwhile, spoil every other file the process makes.

import { chmod, mkdtemp, rename, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { type ChannelOptions, Client, credentials, type Server, ServerCredentials } from '@grpc/grpc-js';
import { CHANNEL_OPTIONS } from './service.ts';

/** sun_path of struct sockaddr_un is 108 bytes with the final NUL (unix(7)). */
const SOCKET_PATH_LIMIT_BYTES = 107;

/** What `mkdtemp` appends, and the file in it. */
const TEMPORARY_SUFFIX_BYTES = '.XXXXXX/s'.length;

/** Time for ended calls to be flushed before connections are cut. */
const SHUTDOWN_GRACE_MS = 200;

export interface UnixServer {
  /** Removes the socket, then as `shutDown`. May be called twice. */
  close(): Promise<void>;
}

/**
 * Listens with `server` on the unix socket `path`, mode 0600. Rejects where the path is too long, its folder is missing
 * or not writable, or a living process listens there.
 */
export async function listenOnUnixSocket(server: Server, path: string): Promise<UnixServer> {
  const absolute = resolve(path);
  const room = SOCKET_PATH_LIMIT_BYTES - TEMPORARY_SUFFIX_BYTES;
  if (Buffer.byteLength(absolute) > room) throw new Error(`socket path ${absolute} is longer than ${room} bytes`);
  if (await answers(absolute)) throw new Error(`another process listens on ${absolute}`);
  const folder = await mkdtemp(`${absolute}.`);
  try {
    const temporary = join(folder, 's');
    await bind(server, `unix:${temporary}`);
    await chmod(temporary, 0o600);
    await rename(temporary, absolute);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    // First the file, so that nobody connects to a server that is going away; a successor may bind as soon as it is gone.
    await rm(absolute, { force: true });
    await shutDown(server);
  };
  return {
    close() {
      closing ??= close();
      return closing;
    },
  };
}

/** A client of the unix socket `path`. It does not connect before its first call; close it when the call has ended. */
export function connectUnixSocket(path: string, options: ChannelOptions = {}): Client {
  return new Client(`unix:${resolve(path)}`, credentials.createInsecure(), { ...CHANNEL_OPTIONS, ...options });
}

/**
 * Stops listening, gives calls that are ending a moment to bring their status across, then ends the rest.
 * A caller that wants its peers to know why ends its calls first: grpc-js ends streams without a word otherwise.
 */
export async function shutDown(server: Server): Promise<void> {
  await new Promise<void>((done) => {
    const timer = setTimeout(done, SHUTDOWN_GRACE_MS);
    server.tryShutdown(() => {
      clearTimeout(timer);
      done();
    });
  });
  server.forceShutdown();
}

function bind(server: Server, address: string): Promise<void> {
  return new Promise((done, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error) => {
      if (error === null) done();
      else reject(error);
    });
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      done(true);
    });
    socket.once('error', () => done(false));
  });
}
