// felix: makes the kernel's forwarding table agree with what the feed says.
//
// Reads argv and environment only; see daemon.ts for what it is made of.

import { runDaemon, runMain } from '../lib/run/lifecycle.ts';
import { createLogger } from '../lib/run/log.ts';
import { readConfig } from './config.ts';
import { startFelix } from './daemon.ts';

await runMain(async () => {
  const config = readConfig(process.argv.slice(2), process.env);
  const log = createLogger('felix', config.logLevel);
  await runDaemon(log, (context) => startFelix(config, context));
});
