import { pino } from 'pino';
import { startAgent } from '../agent.ts';
import { bytesOf, DEFAULT_CACHE_BYTES, proxyEnvironment } from '../config/settings.ts';
import { VERSION } from '../config/version.ts';

/** Works until SIGTERM or SIGINT. Throws what makes an agent unable to start. */
export async function runAgent(options: {
  state: string;
  logLevel: string;
  cache: string;
  bandwidth: string;
  standby: string;
  wrapper: readonly [string, ...string[]];
  exit: (code: number) => never;
}): Promise<void> {
  // systemd's journal has the time and the unit's name already.
  const logger = pino(
    { level: options.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: 2, sync: true }),
  );
  const agent = await startAgent({
    stateFolder: options.state,
    version: VERSION,
    wrapper: options.wrapper,
    standby: options.standby !== 'off',
    cacheBytes: bytesOf('cache', options.cache) ?? DEFAULT_CACHE_BYTES,
    bytesPerSecond: bytesOf('bandwidth', options.bandwidth),
    logger,
    proxy: proxyEnvironment(),
    onFatal: (error) => {
      logger.fatal({ report: error.report }, error.message);
      options.exit(1);
    },
  });
  const stop = (): void => {
    void agent.stop().then(() => options.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  await agent.ended.catch(async (thrown) => {
    await agent.stop();
    throw thrown;
  });
}
