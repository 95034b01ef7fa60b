import { Command } from 'commander';
import { DEFAULT_LISTEN } from '../../config/settings.ts';
import type { Cli } from '../cli.ts';
import { duration, httpsEndpoint, listenAddress } from '../options.ts';

interface Options {
  listen?: { host: string; port: number };
  advertise?: string[];
  untilIdle?: boolean;
  lease: number;
  connectTimeout: number;
}

export function serveCommand(cli: Cli): Command {
  const { settings } = cli.parts;
  const { host, port } = DEFAULT_LISTEN;
  const command = new Command('serve')
    .description('Be the controller: serve the agents and these commands')
    .option(
      '--listen <host:port>',
      `where agents connect (default: as before; at first ${host}:${port})`,
      listenAddress,
    )
    .option(
      '--advertise <url>',
      'how agents reach it, best first; may be repeated (default: as before; at first its own addresses)',
      httpsEndpoint,
    )
    .option('--until-idle', 'end when nothing is left to do')
    .option('--lease <duration>', 'how long agents may start new steps without contact', duration, 3600)
    .option('--connect-timeout <duration>', 'how long a run waits for a node that was given nothing yet', duration, 300)
    .addHelpText(
      'after',
      `
Examples:
  kk-controller serve
  kk-controller serve --listen 10.0.0.5:9443 --advertise https://10.0.0.5:9443
  kk-controller --state /srv/kk serve --lease 4h`,
    );
  return cli.action(command, async (options: Options) => {
    const stop = new AbortController();
    const stopListening = cli.parts.onStop(() => stop.abort());
    try {
      return await cli.parts.runServe(
        {
          stateFolder: cli.stateFolder,
          listen: options.listen ?? (settings.listen === undefined ? undefined : listenAddress(settings.listen)),
          advertise: options.advertise ?? settings.advertise,
          untilIdle: options.untilIdle ?? false,
          leaseSeconds: options.lease,
          connectTimeoutSeconds: options.connectTimeout,
        },
        { log: cli.parts.err, stop: stop.signal },
      );
    } finally {
      stopListening();
    }
  });
}
