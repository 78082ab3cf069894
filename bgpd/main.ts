// bgpd: says which prefix lives behind which node, and which node is alive.
//
// Only argv and environment here; see daemon.ts for what it is made of.

import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import { runDaemon, runMain } from '../lib/run/lifecycle.ts';
import { createLogger } from '../lib/run/log.ts';
import { readConfig } from './config.ts';
import { startBgpd } from './daemon.ts';

// grpc-js writes lines of its own to standard error; all that it says there also comes as an error to its caller.
setLogVerbosity(logVerbosity.NONE);
await runMain(async () => {
  const config = readConfig(process.argv.slice(2), process.env);
  const log = createLogger('bgpd', config.logLevel);
  await runDaemon(log, (context) => startBgpd(config, context));
});
