// flanneld: leases a subnet and carries packets to the others. See daemon.ts for what it is made of.
// Only argv, environment and exit codes are here.

import { runDaemon, runMain } from '../lib/run/lifecycle.ts';
import { createLogger } from '../lib/run/log.ts';
import { readConfig } from './config.ts';
import { startFlanneld } from './daemon.ts';

await runMain(async () => {
  const config = readConfig(process.argv.slice(2), process.env);
  const log = createLogger('flanneld', config.logLevel);
  await runDaemon(log, (context) => startFlanneld(config, context));
});
