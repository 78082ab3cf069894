// A TCP stream per flow: a small record every few milliseconds, and at the other end the longest time without one.
//
// The receiver tells the gap; a connection that ends is made anew by the sender, which says so in the record. What is lost
// with the connection is not the point: an application sees the gap.

import { createServer, type Server, type Socket, connect as tcpConnect } from 'node:net';
import { monotonicUs } from '../../lib/run/event-ring.ts';
import { type ProbeFlow, TCP_PORT, type TcpHeard } from './probe-messages.ts';

/** Record: flow (u16), connection (u16). */
const RECORD_BYTES = 4;
const RECONNECT_MS = 50;

interface Hearing {
  records: number;
  lastUs: number;
  longestGapUs: number;
  gapStartUs: number | null;
  connections: number;
}

/** Listens, and notes for each flow what it hears. */
export class StreamReceiver {
  readonly #hearings = new Map<number, Hearing>();
  readonly #server: Server;

  constructor() {
    this.#server = createServer((socket) => this.#accept(socket)).listen(TCP_PORT, '0.0.0.0');
  }

  heard(): readonly TcpHeard[] {
    return [...this.#hearings].map(([id, { records, longestGapUs, gapStartUs, connections }]) => {
      return { id, records, longestGapUs, gapStartUs, connections };
    });
  }

  close(): void {
    this.#server.close();
  }

  #accept(socket: Socket): void {
    let rest: Buffer = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      const whole = rest.length - (rest.length % RECORD_BYTES);
      for (let at = 0; at < whole; at += RECORD_BYTES) this.#record(rest.readUInt16BE(at), rest.readUInt16BE(at + 2));
      rest = rest.subarray(whole);
    });
  }

  #record(id: number, connection: number): void {
    const nowUs = monotonicUs();
    const hearing = this.#hearings.get(id);
    if (hearing === undefined) {
      const first = { records: 1, lastUs: nowUs, longestGapUs: 0, gapStartUs: null, connections: connection };
      this.#hearings.set(id, first);
      return;
    }
    hearing.records++;
    hearing.connections = Math.max(hearing.connections, connection);
    if (nowUs - hearing.lastUs > hearing.longestGapUs) {
      hearing.longestGapUs = nowUs - hearing.lastUs;
      hearing.gapStartUs = hearing.lastUs;
    }
    hearing.lastUs = nowUs;
  }
}

/** Sends the records of one flow until the returned function is called. */
export function startStream({ id, to, intervalUs }: ProbeFlow): () => void {
  let socket: Socket | undefined;
  let connections = 0;
  let stopped = false;
  const record = Buffer.alloc(RECORD_BYTES);
  const dial = (): void => {
    if (stopped) return;
    const own = tcpConnect({ host: to, port: TCP_PORT, noDelay: true });
    own.on('connect', () => {
      connections++;
      socket = own;
    });
    own.on('error', () => undefined);
    own.on('close', () => {
      socket = undefined;
      setTimeout(dial, RECONNECT_MS);
    });
  };
  dial();
  const timer = setInterval(() => {
    // What does not drain is not piled up: the kernel's buffer is enough to show that the way is open again.
    if (socket === undefined || socket.writableLength > 1_024) return;
    record.writeUInt16BE(id, 0);
    record.writeUInt16BE(connections, 2);
    socket.write(Buffer.from(record));
  }, intervalUs / 1_000);
  return () => {
    stopped = true;
    clearInterval(timer);
    socket?.destroy();
  };
}
