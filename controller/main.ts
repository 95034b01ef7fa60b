import { keepCompiledCode } from './compiled-code.ts';

// What is loaded from here on is kept.
keepCompiledCode();
const { runClient } = await import('./client.ts');
await runClient();
