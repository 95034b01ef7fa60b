/**
 * Loaded before a program (`node --import`): the program kills itself at a crash point. KK_TORTURE_CRASH=<point>:<n>: when
 * it passes that point for the n-th time; the point `any`: when it passes its n-th point whatever its name.
 */
import { flushCompileCache } from 'node:module';
import { crash } from '../../shared/crash.ts';

// Who is killed leaves no compiled code behind for its next life, unless it does so in time.
setTimeout(flushCompileCache, 1_000).unref();

const [wanted = '', count = '1'] = (process.env['KK_TORTURE_CRASH'] ?? '').split(':');
let left = Number(count);

if (wanted !== '') {
  crash.arm((point) => {
    if (wanted !== 'any' && wanted !== point) return;
    left -= 1;
    // SIGKILL takes the process with all its threads before this call returns.
    if (left === 0) process.kill(process.pid, 'SIGKILL');
  });
}
