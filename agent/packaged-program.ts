/**
 * Stands for ./program.ts in the packaged agent (scripts/bundle-agent.ts). There the whole agent is an asset beside the
 * wrapper: two megabytes that Node would read, check and prepare each time a command of a plan starts.
 */
import { getAsset, getAssetKeys, getRawAsset } from 'node:sea';
import { Script } from 'node:vm';

const SOURCE = 'program.js';
/** What V8 made of it; only in a package for the architecture it was packaged on. */
const CACHE = 'program.cache';

/** As that of ./program.ts. */
export async function runProgram(): Promise<void> {
  const cachedData = getAssetKeys().includes(CACHE) ? { cachedData: Buffer.from(getRawAsset(CACHE)) } : {};
  const script = new Script(getAsset(SOURCE, 'utf8'), { filename: SOURCE, ...cachedData });
  const module: { exports: { runProgram?: () => Promise<void> } } = { exports: {} };
  script.runInThisContext()(require, module);
  await module.exports.runProgram?.();
}
