/** What a plan fetches: from components.yaml, the configuration and the lock file to addresses and digests. */
export { type Lock, lockText, type Pin, readLock, withPins } from './lock.ts';
export { placeComponents } from './place.ts';
export type { ComponentFile } from './resolve.ts';
export { unpinned } from './unpinned.ts';
