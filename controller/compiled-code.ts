import { enableCompileCache } from 'node:module';
import { userInfo } from 'node:os';
import { join } from 'node:path';

/**
 * Compiled code is kept between calls, in the home that the user database names: whoever can write there decides what is run
 * here, so HOME, which sudo may leave as it was, is not asked. Where it cannot be made, nothing is kept.
 */
export function keepCompiledCode(): void {
  enableCompileCache(join(userInfo().homedir, '.cache', 'kk-controller'));
}
