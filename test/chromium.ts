// A Chromium without a window for tests of pages: DevTools protocol over two pipes, JSON messages that end with a NUL.
//
// No port is opened, so that any number of tests may run at once. What a page says on its console is collected.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { pathToFileURL } from 'node:url';

/** Debian's name of it; `undefined` where it is not installed. */
export const CHROMIUM = ['/usr/bin/chromium'].find((path) => spawnSync('test', ['-x', path]).status === 0);

const FLAGS = [
  ...['--headless=new', '--no-sandbox', '--disable-gpu', '--remote-debugging-pipe', '--disable-dev-shm-usage'],
  ...[
    '--no-first-run',
    '--hide-scrollbars',
    '--disable-extensions',
    '--disable-background-networking',
    '--disable-component-update',
  ],
];

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

export interface Look {
  readonly width: number;
  readonly height: number;
  readonly scheme: 'light' | 'dark';
  readonly media: 'screen' | 'print';
}

export class Browser {
  readonly folder: string;
  /** What pages said: errors of the console, exceptions, what the security policy refused, requests. */
  readonly complaints: string[] = [];
  readonly requests: string[] = [];
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #session: string | undefined;
  #last = 0;
  #loaded: (() => void) | undefined;

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child;
    this.folder = folder;
    let rest = '';
    const pipe = child.stdio[4] as Readable;
    pipe.setEncoding('utf8').on('data', (chunk: string) => {
      const messages = (rest + chunk).split('\0');
      rest = messages.pop() ?? '';
      for (const text of messages) this.#take(JSON.parse(text) as Message);
    });
    child.once('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('chromium has ended'));
    });
  }

  /** Starts one with an empty profile. */
  static async start(path: string): Promise<Browser> {
    const folder = await mkdtemp(join(tmpdir(), 'gingham-chromium-'));
    const argv = [...FLAGS, `--user-data-dir=${join(folder, 'profile')}`, 'about:blank'];
    const stdio = ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] as const;
    const child = spawn(path, argv, { stdio: [...stdio], env: { ...process.env, HOME: folder } });
    const browser = new Browser(child, folder);
    await browser.#attach();
    return browser;
  }

  /** Shows a text as the page of a file; resolves when it is laid out. */
  async open(html: string, look: Look): Promise<void> {
    const path = join(this.folder, 'page.html');
    await writeFile(path, html);
    await this.look(look);
    const loaded = new Promise<void>((resolve) => {
      this.#loaded = resolve;
    });
    await this.call('Page.navigate', { url: pathToFileURL(path).href });
    await loaded;
  }

  /** Changes window, colours and medium of the page that is shown. */
  async look({ width, height, scheme, media }: Look): Promise<void> {
    const features = [{ name: 'prefers-color-scheme', value: scheme }];
    await this.call('Emulation.setEmulatedMedia', { media, features });
    await this.call('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
  }

  /** The value of an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const answer = await this.call('Runtime.evaluate', { expression, returnByValue: true });
    const { result, exceptionDetails } = answer as { result: { value: T }; exceptionDetails?: { text: string } };
    if (exceptionDetails !== undefined) throw new Error(exceptionDetails.text);
    return result.value;
  }

  /** A PNG of the window; of the whole page with `isWhole`. */
  async screenshot(isWhole = false): Promise<Buffer> {
    const answer = await this.call('Page.captureScreenshot', { format: 'png', captureBeyondViewport: isWhole });
    return Buffer.from((answer as { data: string }).data, 'base64');
  }

  async pdf(): Promise<Buffer> {
    const answer = await this.call('Page.printToPDF', { preferCSSPageSize: true, printBackground: false });
    return Buffer.from((answer as { data: string }).data, 'base64');
  }

  call(method: string, params: object): Promise<unknown> {
    const id = ++this.#last;
    const pipe = this.#child.stdio[3] as Writable;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      const session = this.#session === undefined ? {} : { sessionId: this.#session };
      pipe.write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    });
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGKILL');
      await ended;
    }
    // Children of the browser write to the profile for a moment after it has gone.
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  async #attach(): Promise<void> {
    const { targetId } = (await this.call('Target.createTarget', { url: 'about:blank' })) as { targetId: string };
    const attached = await this.call('Target.attachToTarget', { targetId, flatten: true });
    this.#session = (attached as { sessionId: string }).sessionId;
    for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await this.call(`${domain}.enable`, {});
  }

  #take({ id, method, params, result, error }: Message): void {
    if (id !== undefined) {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error.message));
      return;
    }
    if (method === 'Page.loadEventFired') this.#loaded?.();
    if (method === 'Network.requestWillBeSent') {
      this.requests.push((params as { request: { url: string } }).request.url);
    }
    const isComplaint = method === 'Runtime.exceptionThrown' || method === 'Log.entryAdded';
    const isSaid = method === 'Runtime.consoleAPICalled' && (params as { type: string }).type === 'error';
    if (isComplaint || isSaid) this.complaints.push(JSON.stringify(params));
  }
}
