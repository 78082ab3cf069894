// bgpd: says which prefix lives behind which node, and which node is alive. See daemon.ts for what it is made of.

import { runDaemon, runMain } from '../lib/run/lifecycle.ts';
import { createLogger } from '../lib/run/log.ts';
import { readConfig } from './config.ts';
import { startBgpd } from './daemon.ts';

await runMain(async () => {
  const config = readConfig(process.argv.slice(2), process.env);
  const log = createLogger('bgpd', config.logLevel);
  await runDaemon(log, (context) => startBgpd(config, context));
});
